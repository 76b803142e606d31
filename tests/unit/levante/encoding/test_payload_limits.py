"""What an outsider's payload may cost a worker: bytes, objects, reads, and none of its event loop's time."""

import asyncio
import base64
import threading
import tracemalloc
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import zstandard

from levante.encoding import (
    BlobStorageSettings,
    EncodingMisconfigured,
    EncodingSettings,
    EncryptionMode,
    FieldOffloader,
    PayloadCodec,
    PayloadDamaged,
    PayloadNotEncodable,
    PayloadTooLarge,
    compression,
    read_encoding_settings,
)
from levante.encoding.limits import OVERHEAD_BYTES, PAYLOADS_AT_ONCE, parsed
from levante.encoding.stores.directory_store import DirectoryBlobs
from levante.encoding.stores.stores import open_blob_store
from levante.errors import to_failure
from levante.worker.payloads import Payloads
from levante_core.protocol import Fact, SignalReceived
from tests.unit.levante.encoding.harness import HERE, Blobs, settings

msgpack: Any = import_module("msgpack")  # has no types
MOST = 10_000


def limited(base: EncodingSettings | None = None, most: int = MOST) -> EncodingSettings:
    return (base or EncodingSettings()).model_copy(update={"max_payload_bytes": most})


def compressed(content: bytes) -> dict[str, Any]:
    """A payload as any caller may send it."""
    frame = zstandard.ZstdCompressor().compress(content)
    packed = msgpack.packb({"compression": {"algorithm": "zstd", "level": 3}, "payload": frame})
    return {"b64payload": base64.b64encode(packed).decode(), "encoding_options": ["compressed"], "empty": False}


def text_of(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


def test_payload_when_it_expands_then_it_is_read_up_to_the_limit_and_refused_above() -> None:
    """The error says what is the limit, and that another try is in vain."""
    codec = PayloadCodec(limited())
    assert codec.decode(compressed(text_of(MOST)), HERE) == "x" * (MOST - 2)
    with pytest.raises(PayloadTooLarge, match="more than 10,000 bytes") as raised:
        codec.decode(compressed(text_of(MOST + 1)), HERE)
    assert to_failure(raised.value).non_retryable


@pytest.mark.parametrize("with_size", [True, False])
def test_payload_when_it_is_a_bomb_then_little_of_it_is_ever_expanded(*, with_size: bool) -> None:
    """The size is looked at while it grows: 29 KB would be 240 MB."""
    compressor = zstandard.ZstdCompressor(write_content_size=with_size).compressobj()
    frame = b"".join(compressor.compress(b"[]," * 1_000_000) for _ in range(80)) + compressor.flush()
    packed = msgpack.packb({"compression": {"algorithm": "zstd", "level": 3}, "payload": frame})
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge):
            compression.decompressed(packed)
        assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(b"\xdd\x00\x10\x00\x00" + b"\x90" * 2**20, id="a million arrays"),
        pytest.param(b"\xdc\x00\x10" * 20_000 + b"\xc0" * 20_000, id="a deep one"),
        pytest.param(msgpack.packb({"compression": {"algorithm": "zstd"}, "payload": [[[]] * 9] * 9}), id="a tree"),
        pytest.param(msgpack.packb({str(n): n for n in range(1000)}), id="many entries"),
        pytest.param(b"\xc9\xff\xff\xff\xff\x01", id="an extension"),
    ],
)
def test_envelope_when_it_has_many_values_then_it_is_damaged(packed: bytes) -> None:
    """One byte of msgpack becomes an object of a hundred."""
    with pytest.raises(PayloadDamaged):
        compression.decompressed(packed)


@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 1_000_000, b"[" + b"9" * 5000 + b"]", b"", b"\xff", b'"\\ud800"'],
)
def test_json_when_it_is_deep_or_has_endless_numbers_then_it_is_damaged(text: bytes) -> None:
    """The parser gives up early."""
    with pytest.raises(PayloadDamaged):
        parsed(text)


@pytest.mark.parametrize("mode", [None, EncryptionMode.FULL, EncryptionMode.PARTIAL])
@pytest.mark.parametrize("compress_from", [None, 10])
@pytest.mark.parametrize("offload_from", [None, 10])
def test_payload_when_it_can_be_written_then_it_can_be_read(
    mode: EncryptionMode | None, compress_from: int | None, offload_from: int | None
) -> None:
    """Just below the limit, whatever is done to it; just above, it is refused when it is written."""
    if mode is None and compress_from is None and offload_from is None:
        return
    codec = PayloadCodec(limited(settings(mode, compress_from=compress_from, offload_from=offload_from)), Blobs())
    largest: Any = "x" * (MOST - 2)
    assert codec.decode(codec.encode(largest, HERE), HERE) == largest
    with pytest.raises(PayloadNotEncodable, match="LEVANTE_MAX_PAYLOAD_BYTES"):
        codec.encode(largest + "x", HERE)
    fields: Any = [{"field_type": "__encrypted_str__", "data": "a"} for _ in range(60)]
    assert codec.decode(codec.encode(fields, HERE), HERE) == fields


def test_payloads_when_they_are_decoded_together_then_they_share_a_limit() -> None:
    """A hundred signals of 29 KB are as bad as one large one; what is plain counts nothing."""

    def facts(count: int, size: int) -> list[Fact]:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        signals = [SignalReceived(number=n + 1, name="s", input=compressed(text_of(size)), at=at) for n in range(count)]
        return [Fact(key=f"M{one.number}", input=one) for one in signals]

    payloads = Payloads(limited(), "default")
    found = asyncio.run(payloads.decoded_facts(facts(PAYLOADS_AT_ONCE, MOST), "e", {}))
    assert [len(one.input.input) for one in found] == [MOST - 2] * PAYLOADS_AT_ONCE  # type: ignore[union-attr] # signals
    with pytest.raises(PayloadTooLarge):
        asyncio.run(payloads.decoded_facts(facts(PAYLOADS_AT_ONCE * 2, MOST - 1000), "e", {}))


def test_fields_when_many_refer_to_one_blob_then_they_are_not_all_fetched() -> None:
    """A reference has a hundred bytes, and what it refers to may have megabytes."""
    blobs = Blobs()
    offloader = FieldOffloader(limited(settings(offload_fields_from=10)), blobs)
    (field,) = offloader.offload([{"field_type": "__offloadable__", "value": "x" * (MOST - 2)}], HERE)
    assert len(offloader.restore([field] * PAYLOADS_AT_ONCE, HERE)) == PAYLOADS_AT_ONCE
    with pytest.raises(PayloadTooLarge):
        offloader.restore([field] * (PAYLOADS_AT_ONCE + 1), HERE)


def test_blob_when_it_is_too_large_then_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    """Whoever put it there; stores of others are looked at afterwards."""
    DirectoryBlobs(tmp_path).put("k", b"x" * (MOST + OVERHEAD_BYTES))
    place = BlobStorageSettings(storage_provider="directory", directory=str(tmp_path))
    assert len(open_blob_store(place, MOST).get("k")) == MOST + OVERHEAD_BYTES
    with pytest.raises(PayloadTooLarge):
        open_blob_store(place, MOST - 1).get("k")
    writer = PayloadCodec(limited(settings(offload_from=0), 2 * MOST), blobs := Blobs())
    sent = writer.encode("x" * (MOST + OVERHEAD_BYTES), HERE)
    with pytest.raises(PayloadTooLarge):
        PayloadCodec(limited(settings(offload_from=0)), blobs).decode(sent, HERE)


def test_payload_when_it_is_encoded_then_the_loop_does_not_decode_it() -> None:
    """Also in a worker that encodes nothing itself: what it is sent is not its choice."""
    payloads = Payloads(EncodingSettings(), "default")
    seen: list[str] = []
    codec: Any = payloads._codec
    decode = codec.decode

    def noted(*args: Any) -> Any:
        seen.append(threading.current_thread().name)
        return decode(*args)

    codec.decode = noted
    assert asyncio.run(payloads.decoded(compressed(b"[1]"), "e")) == [1]
    assert asyncio.run(payloads.decoded([1], "e")) == [1]
    assert len(seen) == 1
    assert seen[0].startswith("payloads")


def test_limit_when_it_is_set_then_it_is_read_from_the_environment() -> None:
    """A wrong one names the variable."""
    assert read_encoding_settings({"LEVANTE_MAX_PAYLOAD_BYTES": "5000000"}).max_payload_bytes == 5_000_000
    assert read_encoding_settings({"LEVANTE_MAX_PAYLOAD_BYTES": ""}) == EncodingSettings()
    for wrong in ("0", "many"):
        with pytest.raises(EncodingMisconfigured, match="LEVANTE_MAX_PAYLOAD_BYTES"):
            read_encoding_settings({"LEVANTE_MAX_PAYLOAD_BYTES": wrong})
