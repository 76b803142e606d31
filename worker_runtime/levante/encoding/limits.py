"""How large payloads may be in plain, and what is counted against that while they are decoded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydantic_core import from_json

from levante.encoding.errors import PayloadDamaged, PayloadTooLarge
from levante_core.protocol import Json

MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
"""Of one payload in plain, unless LEVANTE_MAX_PAYLOAD_BYTES says otherwise.

The worst of so many bytes, `[[],[],...`, take 450 MB of memory and half a second.
"""
PAYLOADS_AT_ONCE: Final = 4
"""Payloads that are decoded together, such as those of one history, may have so many times the size of one."""
OVERHEAD_BYTES: Final = 1024
"""What nonce, tag and envelope may add to the bytes of a payload."""
_LARGE_BYTES = 256 * 1024


class Budget:
    """How many bytes may still be decoded, for one payload or for several that belong together."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.left = most_bytes

    def spend(self, size_bytes: int) -> None:
        """Count bytes. Raises: PayloadTooLarge."""
        if size_bytes > self.left:
            raise too_large(self._most_bytes)
        self.left -= size_bytes


def too_large(most_bytes: int) -> PayloadTooLarge:
    """Return the error that says what is the limit."""
    return PayloadTooLarge(
        f"payloads that are decoded together have more than {most_bytes:,} bytes in plain: keep the data elsewhere and pass "
        "a reference, or set LEVANTE_MAX_PAYLOAD_BYTES of all workers that read them"
    )


def parsed(text: bytes) -> Json:
    """Read JSON. Raises: PayloadDamaged.

    The garbage collector rests while a large text is read: otherwise it looks through the growing value again and again, for
    seconds in which no other thread can run.
    """
    try:
        if len(text) < _LARGE_BYTES:
            return from_json(text)
        with _without_collection():
            return from_json(text)
    except ValueError:
        raise PayloadDamaged("a decoded payload is no JSON: it was changed, or a transform is not listed") from None


@contextmanager
def _without_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
