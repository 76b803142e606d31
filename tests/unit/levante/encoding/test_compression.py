from importlib import import_module
from typing import Any

import pytest
import zstandard

from levante.encoding import PayloadDamaged, PayloadTooLarge, compression

msgpack: Any = import_module("msgpack")  # has no types

DATA = b"fathom " * 1000


def envelope(content: Any, algorithm: Any = "zstd") -> bytes:
    packed: bytes = msgpack.packb({"compression": {"algorithm": algorithm, "level": 3}, "payload": content})
    return packed


def test_envelope_when_unpacked_then_it_says_how_it_was_compressed() -> None:
    """Readers need no configuration: algorithm and level are in the envelope."""
    packed = compression.compressed(DATA, 5)
    assert packed is not None
    unpacked = msgpack.unpackb(packed)
    assert unpacked["compression"] == {"algorithm": "zstd", "level": 5}
    assert zstandard.ZstdDecompressor().decompress(unpacked["payload"]) == DATA


@pytest.mark.parametrize("with_size", [True, False])
def test_frame_when_it_tells_its_size_or_not_then_it_is_read(*, with_size: bool) -> None:
    """Other writers stream, and then the frame does not know its size."""
    frame = zstandard.ZstdCompressor(write_content_size=with_size).compress(DATA)
    assert compression.decompressed(envelope(frame)) == DATA


@pytest.mark.parametrize("with_size", [True, False])
def test_frame_when_it_would_grow_over_the_limit_then_it_is_refused(*, with_size: bool) -> None:
    """A few bytes cannot fill a worker's memory; what has just the size that is allowed is read."""
    frame = zstandard.ZstdCompressor(write_content_size=with_size).compress(DATA)
    assert compression.decompressed(envelope(frame), len(DATA)) == DATA
    with pytest.raises(PayloadTooLarge, match="more than 6,999 bytes"):
        compression.decompressed(envelope(frame), len(DATA) - 1)


@pytest.mark.parametrize("with_size", [True, False])
@pytest.mark.parametrize("cut", [1, 10, 20])
def test_frame_when_cut_then_it_is_damaged(*, with_size: bool, cut: int) -> None:
    """Half a frame is not read as half the data."""
    frame = zstandard.ZstdCompressor(write_content_size=with_size).compress(DATA)
    with pytest.raises(PayloadDamaged):
        compression.decompressed(envelope(frame[:-cut]))


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc1",
        msgpack.packb([1]),
        msgpack.packb({"payload": b""}),
        msgpack.packb({"compression": 7, "payload": b""}),
        envelope(b"no frame"),
        envelope("text"),
        envelope(b"", algorithm="gzip"),
        envelope(zstandard.ZstdCompressor().compress(DATA) + b"more"),
    ],
)
def test_envelope_when_it_is_none_then_it_is_damaged(packed: bytes) -> None:
    """Anything but zstd in its envelope is one class of error."""
    with pytest.raises(PayloadDamaged):
        compression.decompressed(packed)
