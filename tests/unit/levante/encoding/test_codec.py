import base64
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levante.encoding import (
    BlobMissing,
    DecryptionFailed,
    EncodingMisconfigured,
    EncodingSettings,
    EncryptedStr,
    EncryptionMode,
    PayloadCodec,
    PayloadDamaged,
    PayloadMisplaced,
    PayloadNotEncodable,
    PayloadUndecodable,
    is_encoded,
    read_encoding_settings,
)
from levante.encoding.encryption import PayloadCipher
from levante.errors import ErrorCode
from tests.unit.levante.encoding.harness import ELSEWHERE, HERE, JSON, MAIN, OTHER, SECONDARY, Blobs, settings

FULL, PARTIAL = EncryptionMode.FULL, EncryptionMode.PARTIAL
LARGE = {"text": "fathom " * 300_000}

MODES = st.builds(
    settings,
    st.sampled_from([None, FULL, PARTIAL]),
    compress_from=st.sampled_from([None, 0, 100]),
    offload_from=st.sampled_from([None, 0, 100]),
)


def changed(envelope: dict[str, Any], content: bytes) -> dict[str, Any]:
    return {**envelope, "b64payload": base64.b64encode(content).decode()}


def content_of(envelope: dict[str, Any]) -> bytes:
    return base64.b64decode(envelope["b64payload"])


def field_with(content: bytes) -> bytes:
    """Encrypt something that is no text."""
    data = base64.b64encode(PayloadCipher(MAIN).encrypt(content)).decode()
    return json.dumps({"field_type": "__encrypted_str__", "data": data}).encode()


@given(value=JSON, chosen=MODES)
def test_value_when_encoded_and_decoded_then_it_is_the_same(value: Any, chosen: EncodingSettings) -> None:
    """Whatever is configured, what comes out is what went in."""
    codec = PayloadCodec(chosen, Blobs())
    sent = codec.encode(value, HERE)
    json.dumps(sent)
    assert codec.decode(sent, HERE) == value


@given(secret=st.text(alphabet="abcdefghij", min_size=12), chosen=st.sampled_from([FULL, PARTIAL]))
def test_secret_when_encoded_then_nothing_that_is_sent_shows_it(secret: str, chosen: EncryptionMode) -> None:
    """The service never sees the text of an encrypted field, in either mode."""
    codec = PayloadCodec(settings(chosen))
    value = {"name": "Ada", "ssn": EncryptedStr(data=secret).model_dump()}
    envelope = codec.encode(value, HERE)
    assert secret.encode() not in content_of(envelope)
    assert (b"Ada" in content_of(envelope)) is (chosen is PARTIAL)
    assert EncryptedStr.model_validate(codec.decode(envelope, HERE)["ssn"]).data == secret


@pytest.mark.parametrize("value", [None, 0, "", [], {}, {"a": [1]}, "text"])
def test_payload_when_nothing_is_to_be_done_then_it_is_sent_as_it_is(value: Any) -> None:
    """What is too small to compress or offload stays readable for the service."""
    codec = PayloadCodec(settings(PARTIAL, compress_from=1000, offload_from=1000), Blobs())
    assert codec.encode(value, HERE) == value
    assert codec.decode(value, HERE) == value


@pytest.mark.parametrize("chosen", [settings(), settings(compress_from=10**6), settings(FULL)])
@pytest.mark.parametrize(
    "value", [{"b64payload": "AAAA", "encoding_options": []}, {"b64payload": "x", "other": 1}, {"b64payload": None}]
)
def test_value_when_it_looks_like_an_encoded_one_then_it_comes_back_unchanged(chosen: EncodingSettings, value: Any) -> None:
    """A user's own object with the key `b64payload` is wrapped, so that no reader decodes it by mistake."""
    codec = PayloadCodec(chosen)
    sent = codec.encode(value, HERE)
    assert is_encoded(sent)
    assert sent != value
    assert codec.decode(sent, HERE) == value


def test_empty_payload_when_decoded_then_it_is_none() -> None:
    """`empty` says that there was no payload."""
    codec = PayloadCodec(settings(FULL))
    assert codec.decode({"b64payload": "", "encoding_options": [], "empty": True}, HERE) is None


def test_options_when_all_is_done_then_they_are_listed_in_the_order_of_doing() -> None:
    """Readers undo the list backwards; the order is that of the official client."""
    full = PayloadCodec(settings(FULL, compress_from=10, offload_from=10), Blobs())
    fields = PayloadCodec(settings(PARTIAL, compress_from=10, offload_from=10), Blobs())
    value = {"text": "x" * 500, "ssn": EncryptedStr(data="y" * 500).model_dump()}
    assert full.encode(value, HERE)["encoding_options"] == ["compressed", "offloaded", "encrypted"]
    assert fields.encode(value, HERE)["encoding_options"] == ["encrypted-partial", "compressed", "offloaded"]


def test_content_when_compression_does_not_pay_then_it_is_left() -> None:
    """Compressed only if that is smaller."""
    codec = PayloadCodec(settings(compress_from=0))
    assert codec.encode("a", HERE) == "a"
    assert codec.encode("a" * 1000, HERE)["encoding_options"] == ["compressed"]


def test_sizes_when_at_the_limit_then_compressed_and_offloaded_and_below_it_not() -> None:
    """min_size_bytes counts the bytes of the JSON text: two more than this string has."""
    blobs = Blobs()
    codec = PayloadCodec(settings(offload_from=100), blobs)
    assert codec.encode("x" * 97, HERE) == "x" * 97
    assert blobs.kept == {}
    assert codec.encode("x" * 98, HERE)["encoding_options"] == ["offloaded"]
    assert PayloadCodec(settings(compress_from=100)).encode("x" * 97, HERE) == "x" * 97
    assert PayloadCodec(settings(compress_from=100)).encode("x" * 98, HERE)["encoding_options"] == ["compressed"]


def test_payload_when_offloaded_again_then_it_is_the_same_blob() -> None:
    """Blobs are named by their content, below namespace and execution, each quoted."""
    blobs = Blobs()
    codec = PayloadCodec(settings(offload_from=0), blobs)
    assert codec.encode("x", HERE) == codec.encode("x", HERE)
    [key] = blobs.kept
    assert key.startswith("temporal-payload/default/order-1/sha256:")
    assert blobs.kept[key] == b'"x"'


def test_value_when_encrypted_twice_then_no_two_results_are_the_same() -> None:
    """Nonces are random, so encoding is not repeatable and has no place in replayed code."""
    codec = PayloadCodec(settings(FULL))
    assert len({codec.encode("x", HERE)["b64payload"] for _ in range(50)}) == 50


def test_payload_when_keys_rotate_then_old_and_new_ones_are_read() -> None:
    """A worker with the new main key and the old one as secondary reads both, and writes with the new one."""
    old = PayloadCodec(settings(FULL, main=SECONDARY))
    rotated = PayloadCodec(settings(FULL, main=MAIN, secondary=SECONDARY))
    new = PayloadCodec(settings(FULL, main=MAIN))
    assert rotated.decode(old.encode("x", HERE), HERE) == "x"
    assert new.decode(rotated.encode("x", HERE), HERE) == "x"
    with pytest.raises(DecryptionFailed):
        old.decode(rotated.encode("x", HERE), HERE)


@pytest.mark.parametrize("mode", [FULL, PARTIAL])
def test_payload_when_no_key_fits_then_decryption_failed_and_no_key_is_told(
    mode: EncryptionMode, caplog: pytest.LogCaptureFixture
) -> None:
    """The error says what to do, and neither it nor the log holds a key or the payload."""
    caplog.set_level(logging.DEBUG)
    envelope = PayloadCodec(settings(mode)).encode({"ssn": EncryptedStr(data="12-34").model_dump()}, HERE)
    with pytest.raises(DecryptionFailed, match="another key") as caught:
        PayloadCodec(settings(mode, main=OTHER, secondary=SECONDARY)).decode(envelope, HERE)
    for secret in (MAIN, OTHER, SECONDARY, "12-34", envelope["b64payload"]):
        assert secret not in f"{caught.value} {caplog.text}"


@given(value=JSON, chosen=MODES, data=st.data())
def test_payload_when_cut_then_it_is_damaged_or_not_decrypted_but_never_another_value(
    value: Any, chosen: EncodingSettings, data: st.DataObject
) -> None:
    """A cut is told by its own class of error; only plain text may be cut into other JSON, as numbers can."""
    codec = PayloadCodec(chosen, Blobs())
    envelope = codec.encode(value, HERE)
    if not is_encoded(envelope):
        return
    content = content_of(envelope)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises((PayloadDamaged, DecryptionFailed)):
        codec.decode(changed(envelope, cut), HERE)


@given(value=JSON, position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_ciphertext_when_a_bit_changes_then_decryption_fails(value: Any, position: int, flip: int) -> None:
    """AES-GCM authenticates nonce, content and tag."""
    codec = PayloadCodec(settings(FULL))
    envelope = codec.encode(value, HERE)
    content = bytearray(content_of(envelope))
    content[position % len(content)] ^= flip
    with pytest.raises(DecryptionFailed):
        codec.decode(changed(envelope, bytes(content)), HERE)


@pytest.mark.parametrize("mode", [None, FULL])
def test_offloaded_payload_when_given_to_another_execution_then_it_is_misplaced(mode: EncryptionMode | None) -> None:
    """A reference belongs to the execution that its key names."""
    codec = PayloadCodec(settings(mode, offload_from=0), Blobs())
    with pytest.raises(PayloadMisplaced, match="order-2"):
        codec.decode(codec.encode("x", HERE), ELSEWHERE)


def test_blob_when_swapped_for_another_then_the_payload_is_damaged() -> None:
    """What comes back has to have the hash that its key names."""
    blobs = Blobs()
    codec = PayloadCodec(settings(offload_from=0), blobs)
    first, second = codec.encode("first", HERE), codec.encode("second", HERE)
    one, two = blobs.kept
    blobs.kept[one], blobs.kept[two] = blobs.kept[two], blobs.kept[one]
    for envelope in (first, second):
        with pytest.raises(PayloadDamaged, match="cut or replaced"):
            codec.decode(envelope, HERE)


def test_blob_when_expired_then_it_is_missing() -> None:
    """A blob that is gone is an error of its own class."""
    blobs = Blobs()
    codec = PayloadCodec(settings(offload_from=0), blobs)
    envelope = codec.encode("x", HERE)
    blobs.kept.clear()
    with pytest.raises(BlobMissing):
        codec.decode(envelope, HERE)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"", []),
        (b"no json", []),
        (b"x", ["compressed"]),
        (b"\x81\xa1a\xa1b", ["compressed"]),
        (b'{"key": 1}', ["offloaded"]),
        (b"{}", ["offloaded"]),
        (b"[]", ["offloaded"]),
        (b"x", ["encrypted"]),
        (b'{"field_type": "__encrypted_str__"}', ["encrypted-partial"]),
        (b'{"field_type": "__encrypted_str__", "data": "no base64"}', ["encrypted-partial"]),
        pytest.param(field_with(b"\xff"), ["encrypted-partial"], id="no text in a field"),
        (b"1", ["encrypted-by-rot13"]),
        (b"1", "encrypted"),
        (b'{"key": "x"}', ["offloaded", "offloaded"]),
    ],
)
def test_nonsense_when_decoded_then_it_is_damaged(content: bytes, options: Any) -> None:
    """Whatever a caller sends as an encoded payload, the answer is one class of error."""
    codec = PayloadCodec(settings(FULL, offload_from=0), Blobs())
    with pytest.raises(PayloadDamaged):
        codec.decode({"b64payload": base64.b64encode(content).decode(), "encoding_options": options}, HERE)


@given(content=st.binary(max_size=200), options=st.lists(st.sampled_from(["encrypted", "encrypted-partial", "compressed"])))
def test_random_bytes_when_decoded_then_the_error_is_of_the_known_class(content: bytes, options: list[str]) -> None:
    """No bytes make the codec raise anything but its own errors."""
    codec = PayloadCodec(settings(FULL))
    envelope = {"b64payload": base64.b64encode(content).decode(), "encoding_options": ["compressed", *options]}
    with pytest.raises(PayloadUndecodable):
        codec.decode(envelope, HERE)


@pytest.mark.parametrize(
    "key",
    [
        "temporal-payload/default/order-1/secrets",
        "temporal-payload/default/order-1/sub/sha256:" + "0" * 64,
        "temporal-payload/default/order-1/../order-2/sha256:" + "0" * 64,
        "temporal-payload/other/order-1/sha256:" + "0" * 64,
        "sha256:" + "0" * 64,
        "/etc/passwd",
        "",
    ],
)
def test_reference_when_it_leads_elsewhere_then_nothing_is_read(key: str) -> None:
    """A caller cannot make a worker read what is not a payload of the execution."""
    blobs = Blobs()
    blobs.kept[key] = b'"secret"'
    envelope = {
        "b64payload": base64.b64encode(json.dumps({"key": key}).encode()).decode(),
        "encoding_options": ["offloaded"],
    }
    with pytest.raises(PayloadMisplaced):
        PayloadCodec(settings(offload_from=0), blobs).decode(envelope, HERE)


@pytest.mark.parametrize(
    ("encoder", "variable"),
    [(settings(FULL), "TEMPORAL_PAYLOAD_ENCRYPTION__MODE"), (settings(offload_from=0), "TEMPORAL_PAYLOAD_OFFLOADING")],
)
def test_payload_when_the_reader_is_not_configured_then_the_error_names_the_variable(
    encoder: EncodingSettings, variable: str
) -> None:
    """A worker without key or store says what it needs."""
    envelope = PayloadCodec(encoder, Blobs()).encode("x", HERE)
    with pytest.raises(EncodingMisconfigured, match=variable):
        PayloadCodec(EncodingSettings()).decode(envelope, HERE)


def test_compressed_payload_when_nothing_is_configured_then_it_is_read_all_the_same() -> None:
    """The envelope says how to decompress."""
    envelope = PayloadCodec(settings(compress_from=0)).encode("x" * 1000, HERE)
    assert PayloadCodec(EncodingSettings()).decode(envelope, HERE) == "x" * 1000


@pytest.mark.parametrize("chosen", [settings(), settings(FULL), settings(PARTIAL)])
def test_payload_when_over_two_megabytes_once_encoded_then_it_is_refused_with_its_name(chosen: EncodingSettings) -> None:
    """The size counts as it is sent, before it is sent."""
    with pytest.raises(PayloadNotEncodable, match=r"^the result has 2,\d{3},\d{3} bytes, and 2 MB fit") as caught:
        PayloadCodec(chosen).encode(LARGE, HERE, what="the result")
    assert caught.value.code is ErrorCode.INPUT_SIZE_EXCEEDED_ERROR


@pytest.mark.parametrize("chosen", [settings(FULL, compress_from=1024), settings(FULL, offload_from=1024)])
def test_payload_when_large_but_small_once_encoded_then_it_is_sent(chosen: EncodingSettings) -> None:
    """Compression and offloading let payloads through that would not fit."""
    codec = PayloadCodec(chosen, Blobs())
    envelope = codec.encode(LARGE, HERE)
    assert len(envelope["b64payload"]) < 10_000
    assert codec.decode(envelope, HERE) == LARGE


@pytest.mark.parametrize(
    "value", [float("nan"), [float("inf")], "\ud800", {"a": object()}], ids=["nan", "inf", "surrogate", "object"]
)
@pytest.mark.parametrize("chosen", [settings(FULL), settings(PARTIAL), settings(offload_from=0)])
def test_value_when_it_is_no_json_then_it_is_refused_before_anything_is_kept(chosen: EncodingSettings, value: Any) -> None:
    """What no reader could read is not written."""
    blobs = Blobs()
    with pytest.raises(PayloadNotEncodable) as caught:
        PayloadCodec(chosen, blobs).encode(value, HERE)
    assert caught.value.code is ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR
    assert blobs.kept == {}


def test_value_when_nested_too_deep_to_be_read_then_it_is_refused() -> None:
    """Encryption hides the depth from the service, so the writer looks at it."""
    value: Any = 1
    for _ in range(300):
        value = [value]
    with pytest.raises(PayloadNotEncodable):
        PayloadCodec(settings(FULL)).encode(value, HERE)


def test_encrypted_field_when_its_data_is_no_text_then_it_is_refused() -> None:
    """A field that cannot be encrypted is not sent in plain."""
    with pytest.raises(PayloadNotEncodable, match="has to be a string"):
        PayloadCodec(settings(PARTIAL)).encode({"field_type": "__encrypted_str__", "data": 7}, HERE)


def test_store_when_none_is_given_then_the_one_of_the_settings_is_opened(tmp_path: Path) -> None:
    """Settings are enough to encode here and decode elsewhere."""
    environment = {
        "TEMPORAL_PAYLOAD_OFFLOADING__STORAGE_CONFIG__STORAGE_PROVIDER": "directory",
        "TEMPORAL_PAYLOAD_OFFLOADING__STORAGE_CONFIG__DIRECTORY": str(tmp_path),
        "TEMPORAL_PAYLOAD_OFFLOADING__MIN_SIZE_BYTES": "0",
    }
    writer, reader = (PayloadCodec(read_encoding_settings(environment)) for _ in range(2))
    assert reader.decode(writer.encode({"a": 1}, HERE), HERE) == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_codec_when_many_threads_use_it_then_each_gets_its_own_value() -> None:
    """One codec serves all threads of a worker."""
    codec = PayloadCodec(settings(FULL, secondary=OTHER, compress_from=10, offload_from=10), Blobs())
    ready = threading.Barrier(8)

    def there_and_back(number: int) -> bool:
        ready.wait(timeout=10)
        values = [{"number": number, "text": f"{number}-{turn} " * 200} for turn in range(50)]
        return all(codec.decode(codec.encode(value, HERE), HERE) == value for value in values)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(there_and_back, range(8))) == [True] * 8


def test_encrypted_string_when_shown_then_the_text_does_not() -> None:
    """Logs and traces show `<encrypted>`."""
    secret = EncryptedStr(data="12-34")
    for shown in (str(secret), repr(secret), f"{secret}", repr([secret])):
        assert "12-34" not in shown
        assert "<encrypted>" in shown
