"""Capabilities: signed texts that say what their bearer may do. Whoever has one may; no one else can make it.

A capability is `version.kind.claims.mac`: claims are JSON in URL-safe base64, mac is the HMAC-SHA256 of `kind.claims` under
the installation's key of that version. Its bearer can derive a narrower one, which names further claims and is signed with
the mac of the first in place of a key: `version.kind.claims.kind.claims.mac`. The first cannot be had back from it.
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Claims: TypeAlias = Sequence[str | int | None]

ATTEMPT = "attempt"
"""The kind that lets its bearer say how an activity attempt goes, and how it ended."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One kind with its claims, as written."""

    kind: str
    claims: str

    @classmethod
    def of(cls, kind: str, claims: Claims) -> "Statement":
        """Write claims."""
        return cls(kind, _text(json.dumps(claims, separators=(",", ":")).encode()))

    def signed_with(self, key: bytes) -> bytes:
        """Return the mac."""
        return hmac.digest(key, f"{self.kind}.{self.claims}".encode(), "sha256")

    def read(self) -> list[str | int | None]:
        """Return the claims. Raises: ValueError."""
        try:
            claims = json.loads(_bytes(self.claims))
        except RecursionError:
            raise ValueError("claims are a list") from None
        if not isinstance(claims, list):
            raise ValueError("claims are a list")  # noqa: TRY004 - one error for whatever is no capability
        return claims


@dataclass(frozen=True, slots=True)
class Capability:
    """A capability taken apart, not verified: statements, the first of which is signed with the key of the version."""

    version: int
    statements: tuple[Statement, ...]
    mac: bytes

    @classmethod
    def parse(cls, text: str) -> "Capability":
        """Take a text apart. Raises: ValueError."""
        version, *parts, mac = text.split(".")
        if len(parts) not in {2, 4}:
            raise ValueError("a capability has four or six parts")
        statements = tuple(Statement(*pair) for pair in zip(parts[::2], parts[1::2], strict=True))
        return cls(int(version), statements, _bytes(mac))

    @classmethod
    def signed(cls, version: int, key: bytes, statement: Statement) -> "Capability":
        """Make one with a key of the installation."""
        return cls(version, (statement,), statement.signed_with(key))

    def derived(self, statement: Statement) -> "Capability":
        """Make a narrower one."""
        return Capability(self.version, (*self.statements, statement), statement.signed_with(self.mac))

    def is_signed_with(self, key: bytes) -> bool:
        """Tell whether this was made with the key, in the time that it always takes."""
        mac = key
        for statement in self.statements:
            mac = statement.signed_with(mac)
        return hmac.compare_digest(mac, self.mac)

    def __str__(self) -> str:
        parts = [part for statement in self.statements for part in (statement.kind, statement.claims)]
        return ".".join([str(self.version), *parts, _text(self.mac)])


def attempt_token(run_token: str, *, seq: int, scheduled_in: int, attempt: int) -> str:
    """Derive the token of an attempt from that of its run, for an activity that runs in place. Raises: ValueError."""
    return str(Capability.parse(run_token).derived(Statement.of(ATTEMPT, (seq, scheduled_in, attempt))))


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
