import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levante.encoding import (
    DecryptionFailed,
    EncodingSettings,
    EncryptedStr,
    EncryptionMode,
    PayloadCodec,
    PayloadDamaged,
    decode_event_payload,
    encode_event_payload,
    encrypted_pointers,
)
from levante.encoding.encryption import PayloadCipher
from tests.unit.levante.encoding.harness import HERE, JSON, MAIN, OTHER, Blobs, settings

FULL, PARTIAL = EncryptionMode.FULL, EncryptionMode.PARTIAL
OPERATIONS = st.lists(
    st.fixed_dictionaries({"op": st.sampled_from(["add", "replace", "append"]), "path": st.text(), "value": JSON}),
    max_size=4,
)
PAYLOADS = st.fixed_dictionaries({"type": st.just("json"), "value": JSON}) | st.fixed_dictionaries(
    {"type": st.just("json_patch"), "value": OPERATIONS}
)
CHOSEN = st.builds(settings, st.sampled_from([None, FULL, PARTIAL]), compress_from=st.sampled_from([None, 50]))


def patch(path: str, value: Any) -> dict[str, Any]:
    return {"type": "json_patch", "value": [{"op": "replace", "path": path, "value": value}], "encoding_options": None}


@given(payload=PAYLOADS, chosen=CHOSEN)
def test_payload_when_encoded_and_decoded_then_its_value_is_the_same(
    payload: dict[str, Any], chosen: EncodingSettings
) -> None:
    """States and patches come back whole in every mode."""
    codec = PayloadCodec(chosen)
    decoded = decode_event_payload(codec, encode_event_payload(codec, payload), HERE)
    assert (decoded["type"], decoded["value"]) == (payload["type"], payload["value"])


def test_payload_when_offloading_is_on_then_events_are_not_offloaded() -> None:
    """Events are read by browsers, which reach no blob store."""
    blobs = Blobs()
    payload = encode_event_payload(PayloadCodec(settings(offload_from=0), blobs), {"type": "json", "value": "x" * 100})
    assert payload == {"type": "json", "value": "x" * 100}
    assert blobs.kept == {}


def test_patch_when_fields_are_encrypted_then_only_values_that_touch_them_are_hidden() -> None:
    """A reader without a key still sees which part of the state changes."""
    codec = PayloadCodec(settings(PARTIAL))
    steps = [
        {"op": "replace", "path": "/name", "value": "Ada"},
        {"op": "add", "path": "/ssn", "value": EncryptedStr(data="12-34").model_dump()},
    ]
    sent = encode_event_payload(codec, {"type": "json_patch", "value": steps})
    assert sent["encoding_options"] == ["encrypted-partial"]
    assert sent["value"][0] == steps[0]
    assert sent["value"][1]["value"]["type"] == "__encrypted__"
    assert "12-34" not in str(sent)


@pytest.mark.parametrize("path", ["/people/0/ssn/data", "/people/0/ssn"])
def test_patch_when_it_changes_the_text_inside_an_encrypted_field_then_it_is_hidden(path: str) -> None:
    """The state says where its encrypted fields are: a patch of the text alone does not show that."""
    codec = PayloadCodec(settings(PARTIAL))
    state = {"people": [{"ssn": EncryptedStr(data="12-34").model_dump()}]}
    sent = encode_event_payload(codec, patch(path, "56-78"), encrypted_at=encrypted_pointers(state))
    assert "56-78" not in str(sent)
    assert decode_event_payload(codec, sent, HERE)["value"][0]["value"] == "56-78"


@pytest.mark.parametrize("path", ["/people/1", "/people/0/ssnx", "/people/0"])
def test_patch_when_it_is_beside_an_encrypted_field_then_it_stays_readable(path: str) -> None:
    """Places are compared step by step."""
    state = {"people": [{"ssn": EncryptedStr(data="12-34").model_dump()}]}
    payload = patch(path, "56-78")
    assert encode_event_payload(PayloadCodec(settings(PARTIAL)), payload, encrypted_at=encrypted_pointers(state)) == payload


def test_pointers_when_names_hold_slashes_and_tildes_then_they_are_escaped() -> None:
    """As RFC 6901 has it."""
    secret = EncryptedStr(data="x").model_dump()
    assert encrypted_pointers({"a/b": {"c~d": [secret]}, "e": secret}) == {"/a~1b/c~0d/0", "/e"}
    assert encrypted_pointers(secret) == {""}


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "json", "value": "no base64", "encoding_options": ["encrypted"]},
        {"type": "json", "value": 7, "encoding_options": ["encrypted"]},
        {"type": "json", "value": "AAAA", "encoding_options": ["rot13"]},
        {
            "type": "json_patch",
            "value": [{"op": "add", "path": "/", "value": {"type": "__encrypted__", "value": 7}}],
            "encoding_options": ["encrypted-partial"],
        },
    ],
)
def test_payload_when_it_is_nonsense_then_it_is_damaged(payload: dict[str, Any]) -> None:
    """The error is of the known class."""
    with pytest.raises(PayloadDamaged):
        decode_event_payload(PayloadCodec(settings(PARTIAL)), payload, HERE)


def test_patch_when_an_encrypted_value_is_no_json_then_it_is_damaged() -> None:
    """What was encrypted is checked as well."""
    value = {"type": "__encrypted__", "value": base64.b64encode(PayloadCipher(MAIN).encrypt(b"{")).decode()}
    with pytest.raises(PayloadDamaged, match="no JSON"):
        decode_event_payload(
            PayloadCodec(settings(PARTIAL)), {**patch("/", value), "encoding_options": ["encrypted-partial"]}, HERE
        )


@pytest.mark.parametrize("mode", [FULL, PARTIAL])
def test_payload_when_no_key_fits_then_decryption_failed(mode: EncryptionMode) -> None:
    """Events are told apart from damaged ones as payloads are."""
    sent = encode_event_payload(PayloadCodec(settings(mode)), patch("/ssn", EncryptedStr(data="12-34").model_dump()))
    with pytest.raises(DecryptionFailed):
        decode_event_payload(PayloadCodec(settings(mode, main=OTHER)), sent, HERE)
