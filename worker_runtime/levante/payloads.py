"""How large what is sent may be, checked before it is sent."""

from __future__ import annotations

from pydantic_core import to_json

from levante_core.protocol import Failure, Json

MAX_PAYLOAD_BYTES = 2 * 1024 * 1024
"""Of one input or result. Source: SDK contract, section 7 (read 2026-11-23)."""


def size_bytes(value: Json) -> int:
    """Return the size of a JSON value as it is sent."""
    return len(to_json(value))


def too_large(what: str, size: int) -> Failure:
    """Make the failure of something that cannot be recorded."""
    message = f"{what} has {size:,} bytes, more than the {MAX_PAYLOAD_BYTES:,} that fit: store the data and pass a reference"
    return Failure(type="PayloadTooLarge", message=message, non_retryable=True)
