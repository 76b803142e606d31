"""Tokens by which whoever has one ends an activity attempt that goes on outside of workers.

They say which attempt is meant; it takes a key of the workspace to use one.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from pydantic import ValidationError

from levante_core.errors import InvalidInput
from levante_core.protocol.activities import AttemptRef


def token_of(attempt: AttemptRef) -> str:
    """Write an attempt as a token: URL-safe text."""
    return urlsafe_b64encode(attempt.model_dump_json().encode()).decode().rstrip("=")


def attempt_of(token: str) -> AttemptRef:
    """Read a token. Raises: InvalidInput."""
    try:
        return AttemptRef.model_validate_json(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, ValidationError):
        problem = "this is no task token: give the whole of what activity.info().task_token was"
        raise InvalidInput.at(("body", "task_token"), problem) from None
