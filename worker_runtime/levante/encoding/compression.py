"""zstd, in an envelope of msgpack that says how it was compressed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from levante.encoding.errors import EncodingMisconfigured, PayloadDamaged

MAX_DECOMPRESSED_BYTES = 256 * 1024 * 1024
"""What a payload may grow to. A few KB can decompress to more than a worker has memory."""

_MISSING = "compression needs zstandard and msgpack: pip install 'levante[encoding]'"


def require_libraries() -> None:
    """Raises: EncodingMisconfigured when a library is not installed."""
    _libraries()


def compressed(data: bytes, level: int) -> bytes | None:
    """Compress, and put the result into its envelope; None when it would not be smaller."""
    zstandard, msgpack = _libraries()
    content: bytes = zstandard.ZstdCompressor(level=level).compress(data)
    if len(content) >= len(data):
        return None
    envelope: bytes = msgpack.packb({"compression": {"algorithm": "zstd", "level": level}, "payload": content})
    return envelope


def decompressed(envelope: bytes) -> bytes:
    """Take the data out of its envelope. Raises: PayloadDamaged, also for an algorithm that is not zstd."""
    zstandard, msgpack = _libraries()
    try:
        parts: Any = msgpack.unpackb(envelope)
        algorithm, content = parts["compression"]["algorithm"], parts["payload"]
    except (ValueError, TypeError, KeyError, msgpack.exceptions.UnpackException):
        raise PayloadDamaged("the envelope of a compressed payload cannot be read: it was cut or changed") from None
    if algorithm != "zstd" or not isinstance(content, bytes):
        raise PayloadDamaged("a payload is compressed in a way that is not known: known is zstd")
    try:
        size = zstandard.frame_content_size(content)
        if size > MAX_DECOMPRESSED_BYTES:
            raise PayloadDamaged(f"a compressed payload says that it has {size:,} bytes: {MAX_DECOMPRESSED_BYTES:,} fit")
        data: bytes = zstandard.ZstdDecompressor().decompress(
            content, max_output_size=MAX_DECOMPRESSED_BYTES, allow_extra_data=False
        )
    except zstandard.ZstdError:
        raise PayloadDamaged("a compressed payload cannot be decompressed: it was cut or changed") from None
    return data


def _libraries() -> tuple[ModuleType, ModuleType]:
    try:
        return import_module("zstandard"), import_module("msgpack")
    except ImportError:
        raise EncodingMisconfigured(_MISSING) from None
