"""The machine's own clock and randomness, behind the ports."""

import secrets
import uuid
from datetime import UTC, datetime


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)


class RandomIds:
    """Ids and secrets from the operating system's random source."""

    def uuid(self) -> str:
        """A new random UUID in its usual text form."""
        return str(uuid.uuid4())

    def secret(self) -> str:
        """A new unguessable URL-safe text of 256 bits."""
        return secrets.token_urlsafe(32)
