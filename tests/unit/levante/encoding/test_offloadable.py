from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from pydantic import BaseModel, TypeAdapter, ValidationError

from levante.context import WorkflowContext, current_workflow
from levante.encoding import (
    BlobMissing,
    BlobStorageSettings,
    DecryptionFailed,
    EncodingMisconfigured,
    EncodingSettings,
    EncryptionMode,
    FieldOffloader,
    OffloadableField,
    OffloadableModel,
    OffloadingSettings,
    PayloadContext,
    PayloadDamaged,
    PayloadMisplaced,
)
from levante.errors import WorkflowsException
from tests.unit.levante.encoding.harness import ELSEWHERE, HERE, JSON, OTHER, Blobs, settings


class Page(BaseModel):
    number: int


class Transcript(OffloadableModel):
    audio_id: str
    text: OffloadableField[str] = OffloadableField(value="")
    pages: OffloadableField[list[Page]] = OffloadableField(value=[])


PAYLOAD = Transcript(
    audio_id="a", text=OffloadableField(value="word " * 100), pages=OffloadableField(value=[Page(number=7)])
)


def as_json(model: BaseModel) -> Any:
    return model.model_dump(mode="json")


def test_fields_when_offloaded_and_restored_then_they_have_their_values_and_types() -> None:
    """What an activity gives is what the next one gets."""
    offloader = FieldOffloader(settings(offload_fields_from=0), Blobs())
    sent = offloader.offload(as_json(PAYLOAD), HERE)
    assert "word" not in str(sent)
    restored = Transcript.model_validate(offloader.restore(sent, HERE))
    assert restored.text.get_value() == "word " * 100
    assert restored.pages.get_value() == [Page(number=7)]


@given(value=JSON)
def test_value_when_offloaded_in_any_place_then_it_is_restored(value: Any) -> None:
    """Fields are found wherever they are, and None is a value."""
    offloader = FieldOffloader(settings(EncryptionMode.FULL, compress_from=50, offload_fields_from=0), Blobs())
    field = OffloadableField[Any](value=value).model_dump(mode="json")
    payload = {"list": [1, {"deep": field}], "plain": value}
    assert offloader.restore(offloader.offload(payload, HERE), HERE) == payload


def test_field_when_small_then_it_stays_and_a_large_one_beside_it_does_not() -> None:
    """Each field is a blob of its own, and its size counts alone."""
    blobs = Blobs()
    sent = FieldOffloader(settings(offload_fields_from=100), blobs).offload(as_json(PAYLOAD), HERE)
    assert sent["pages"]["value"] == [{"number": 7}]
    assert sent["text"]["value"] is None
    [key] = blobs.kept
    assert key == sent["text"]["blob_ref"]
    assert key.startswith("temporal-activity-payload/default/order-1/sha256:")


def test_value_in_a_workflow_when_asked_for_then_it_is_refused() -> None:
    """get_value() belongs in activities, whether the value happens to be at hand or not."""
    token = current_workflow.set(cast("WorkflowContext", object()))
    try:
        with pytest.raises(WorkflowsException, match="get_value\\(\\) is for activities"):
            PAYLOAD.text.get_value()
    finally:
        current_workflow.reset(token)


def test_value_when_it_was_not_restored_then_the_error_says_so() -> None:
    """A caller who reads a result outside activities has only the reference."""
    sent = FieldOffloader(settings(offload_fields_from=0), Blobs()).offload(as_json(PAYLOAD), HERE)
    with pytest.raises(WorkflowsException, match="in activities only"):
        Transcript.model_validate(sent).text.get_value()


def test_field_when_passed_through_a_workflow_then_the_reference_is_left_as_it_is() -> None:
    """Workflow code passes fields on without reading or writing a blob."""
    blobs = Blobs()
    offloader = FieldOffloader(settings(offload_fields_from=0), blobs)
    sent = offloader.offload(as_json(PAYLOAD), HERE)
    kept = dict(blobs.kept)
    passed_on = as_json(Transcript.model_validate(sent))
    assert offloader.offload(passed_on, HERE) == sent
    assert blobs.kept == kept


def test_field_when_offloading_is_off_then_it_travels_with_its_value() -> None:
    """Without a store nothing changes."""
    offloader = FieldOffloader(EncodingSettings())
    sent = offloader.offload(as_json(PAYLOAD), HERE)
    assert sent == as_json(PAYLOAD)
    assert offloader.restore(sent, HERE) == sent


def test_field_when_the_reader_has_no_store_then_the_error_names_the_variable() -> None:
    """A worker that cannot restore a field says what it needs."""
    sent = FieldOffloader(settings(offload_fields_from=0), Blobs()).offload(as_json(PAYLOAD), HERE)
    with pytest.raises(EncodingMisconfigured, match="ACTIVITY_ATTRIBUTES_OFFLOADING__STORAGE_CONFIG"):
        FieldOffloader(EncodingSettings()).restore(sent, HERE)


def test_field_when_it_comes_from_another_execution_then_it_is_restored_but_not_from_another_namespace() -> None:
    """A child reads what its parent passes on; namespaces are kept apart."""
    offloader = FieldOffloader(settings(offload_fields_from=0), Blobs())
    sent = offloader.offload(as_json(PAYLOAD), HERE)
    assert offloader.restore(sent, ELSEWHERE) == as_json(PAYLOAD)
    with pytest.raises(PayloadMisplaced):
        offloader.restore(sent, PayloadContext(namespace="other", execution_id="order-1"))


def test_encrypted_blob_when_moved_to_another_execution_then_it_does_not_open() -> None:
    """With full encryption the content of a field is bound to the folder that it was written to."""
    blobs = Blobs()
    offloader = FieldOffloader(settings(EncryptionMode.FULL, offload_fields_from=0), blobs)
    sent = offloader.offload(as_json(PAYLOAD), HERE)
    assert all(b"word" not in content for content in blobs.kept.values())
    key = sent["text"]["blob_ref"]
    moved = key.replace("order-1", "order-2")
    blobs.kept[moved] = blobs.kept[key]
    sent["text"]["blob_ref"] = moved
    with pytest.raises(DecryptionFailed):
        offloader.restore(sent, HERE)


def test_encrypted_field_when_no_key_fits_then_decryption_failed() -> None:
    """Fields are told apart from damaged ones as payloads are."""
    blobs = Blobs()
    sent = FieldOffloader(settings(EncryptionMode.FULL, offload_fields_from=0), blobs).offload(as_json(PAYLOAD), HERE)
    reader = FieldOffloader(settings(EncryptionMode.FULL, main=OTHER, offload_fields_from=0), blobs)
    with pytest.raises(DecryptionFailed):
        reader.restore(sent, HERE)


@pytest.mark.parametrize(
    "key", ["temporal-payload/default/order-1/sha256:" + "0" * 64, "x", "temporal-activity-payload/default/x"]
)
def test_reference_when_it_leads_elsewhere_then_nothing_is_read(key: str) -> None:
    """A caller who makes up a reference reads nothing but fields of the namespace."""
    blobs = Blobs()
    blobs.kept[key] = b'"secret"'
    field = {"field_type": "__offloadable__", "value": None, "blob_ref": key}
    with pytest.raises(PayloadMisplaced):
        FieldOffloader(settings(offload_fields_from=0), blobs).restore(field, HERE)


@pytest.mark.parametrize(
    ("change", "error"), [({"blob_ref": 7}, PayloadDamaged), ({"encoding_options": ["offloaded"]}, PayloadDamaged)]
)
def test_field_when_it_is_nonsense_then_it_is_damaged(change: dict[str, Any], error: type[Exception]) -> None:
    """Errors are of the known classes."""
    offloader = FieldOffloader(settings(offload_fields_from=0), Blobs())
    sent = offloader.offload(as_json(PAYLOAD), HERE)
    with pytest.raises(error):
        offloader.restore({**sent["text"], **change}, HERE)


def test_blob_when_expired_or_replaced_then_the_errors_differ() -> None:
    """What is gone is missing; what is another is damaged."""
    blobs = Blobs()
    offloader = FieldOffloader(settings(offload_fields_from=0), blobs)
    sent = offloader.offload(as_json(PAYLOAD), HERE)
    blobs.kept = dict.fromkeys(blobs.kept, b'"other"')
    with pytest.raises(PayloadDamaged):
        offloader.restore(sent, HERE)
    blobs.kept.clear()
    with pytest.raises(BlobMissing):
        offloader.restore(sent, HERE)


def test_field_when_its_value_has_another_type_then_the_model_refuses_it() -> None:
    """A restored value is validated as any other, and the error does not quote it."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(OffloadableField[int]).validate_python({"field_type": "__offloadable__", "value": "secret"})
    assert "secret" not in str(caught.value)


def test_store_when_none_is_given_then_the_one_of_the_settings_is_opened(tmp_path: Path) -> None:
    """Fields have a store of their own, apart from that of whole payloads."""
    place = BlobStorageSettings(storage_provider="directory", directory=str(tmp_path))
    chosen = EncodingSettings(activity_attributes_offloading=OffloadingSettings(storage_config=place, min_size_bytes=0))
    sent = FieldOffloader(chosen).offload(as_json(PAYLOAD), HERE)
    assert FieldOffloader(chosen).restore(sent, HERE) == as_json(PAYLOAD)
    assert len(list(tmp_path.iterdir())) == 2
