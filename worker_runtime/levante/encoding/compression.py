"""zstd, in an envelope of msgpack that says how it was compressed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from levante.encoding.errors import EncodingMisconfigured, PayloadDamaged
from levante.encoding.limits import MAX_PAYLOAD_BYTES, too_large

CHUNK_BYTES = 256
"""Of compressed data between two looks at the size: they cannot become more than 8 MiB, 128 KiB for each block of 4 bytes.

Source: RFC 8878, section 3.1.1.2, RLE blocks and Block_Maximum_Size (read 2026-11-30).
"""
MOST_ENTRIES = 16
"""Of an envelope, and values within it: ours has two entries, of which one has two."""

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


def decompressed(envelope: bytes, most_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
    """Take the data out of its envelope.

    A few KB can decompress to more than a worker has memory, so the size is looked at while it grows.
    Raises: PayloadTooLarge; PayloadDamaged, also for an algorithm that is not zstd.
    """
    zstandard, msgpack = _libraries()
    try:
        parts = _unpacked(envelope, msgpack)
        algorithm, content = parts["compression"]["algorithm"], parts["payload"]
    except (ValueError, TypeError, KeyError, msgpack.exceptions.UnpackException):
        raise PayloadDamaged("the envelope of a compressed payload cannot be read: it was cut or changed") from None
    if algorithm != "zstd" or not isinstance(content, bytes):
        raise PayloadDamaged("a payload is compressed in a way that is not known: known is zstd")
    try:
        return _expanded(content, most_bytes, zstandard)
    except zstandard.ZstdError:
        raise PayloadDamaged("a compressed payload cannot be decompressed: it was cut or changed") from None


def _unpacked(envelope: bytes, msgpack: ModuleType) -> Any:
    """Read msgpack that has few values: one byte of it can become an object of a hundred."""
    count = 0

    def counted(value: Any) -> Any:
        nonlocal count
        count += 1
        if count > MOST_ENTRIES:
            raise ValueError("more values than an envelope has")
        return value

    limits = {"max_array_len": MOST_ENTRIES, "max_map_len": MOST_ENTRIES, "max_ext_len": 0}
    return msgpack.unpackb(envelope, object_hook=counted, list_hook=counted, **limits)


def _expanded(content: bytes, most_bytes: int, zstandard: ModuleType) -> bytes:
    if zstandard.frame_content_size(content) > most_bytes:
        raise too_large(most_bytes)
    window = 1 << max(most_bytes - 1, 2**20).bit_length()
    stream = zstandard.ZstdDecompressor(max_window_size=window).decompressobj()
    parts: list[bytes] = []
    room = most_bytes
    for place in range(0, len(content), CHUNK_BYTES):
        if stream.eof:
            raise PayloadDamaged("a compressed payload goes on after its end")
        parts.append(stream.decompress(content[place : place + CHUNK_BYTES]))
        room -= len(parts[-1])
        if room < 0:
            raise too_large(most_bytes)
    if not stream.eof or stream.unused_data:
        raise PayloadDamaged("a compressed payload is not one frame of zstd: it was cut or changed")
    return b"".join(parts)


def _libraries() -> tuple[ModuleType, ModuleType]:
    try:
        return import_module("zstandard"), import_module("msgpack")
    except ImportError:
        raise EncodingMisconfigured(_MISSING) from None
