"""Fields that stay in a blob store while workflow code passes them from activity to activity.

In a payload such a field is `{"field_type": "__offloadable__", "value": ..., "blob_ref": ..., "encoding_options": [...]}`,
where either value or blob_ref is null. Only our workers read it. Source: SDK contract, section 7 (read 2026-11-23).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Generic, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from levante.context import current_workflow
from levante.encoding.errors import EncodingMisconfigured, PayloadDamaged, PayloadMisplaced
from levante.encoding.limits import PAYLOADS_AT_ONCE, Budget
from levante.encoding.settings import EncodingSettings
from levante.encoding.stores.blobs import FIELD_PREFIX, BlobStore, execution_folder, fetch, folder_of, keep, namespace_folder
from levante.encoding.stores.stores import open_blob_store
from levante.encoding.transforms import Transforms
from levante.encoding.trees import with_replaced
from levante.encoding.wire import Encoded, PayloadContext, transforms_of
from levante.errors import ErrorCode, WorkflowsException
from levante_core.protocol import Json

T = TypeVar("T")

FIELD_TYPE: Final = "__offloadable__"


class OffloadableField(BaseModel, Generic[T]):
    """A value that may be kept elsewhere: `OffloadableField(value=...)`. Each is a blob of its own."""

    model_config = ConfigDict(hide_input_in_errors=True)

    field_type: Literal["__offloadable__"] = Field(default=FIELD_TYPE, repr=False)
    value: T | None = None
    blob_ref: str | None = None
    encoding_options: tuple[str, ...] = Field(default=(), repr=False)

    def get_value(self) -> T:
        """Return the value. Raises: WorkflowsException in workflow code, where it may not be at hand: pass the field on."""
        if current_workflow.get() is not None:
            raise _unavailable("get_value() is for activities: workflow code passes the field on as it is")
        if self.blob_ref is not None:
            raise _unavailable("the value of an offloaded field is at hand in activities only")
        return cast("T", self.value)


class OffloadableModel(BaseModel):
    """A model with fields that may be offloaded. Defaults are checked, so that a field knows the type of its value."""

    model_config = ConfigDict(validate_default=True)


class FieldOffloader:
    """Takes the values of offloadable fields out of the inputs and results of activities, and puts them back.

    To be used on a thread, as PayloadCodec; before its `encode`, and after its `decode`. For any number of threads.
    """

    def __init__(self, settings: EncodingSettings, blobs: BlobStore | None = None) -> None:
        """Use the settings. blobs: in place of the store that they describe. Raises: EncodingMisconfigured."""
        self._offloading = settings.activity_attributes_offloading
        self._transforms = Transforms(settings)
        self._blobs = blobs
        self._most_bytes = settings.max_payload_bytes
        if blobs is None and self._offloading:
            self._blobs = open_blob_store(self._offloading.storage_config, self._most_bytes)

    def offload(self, value: Json, context: PayloadContext) -> Json:
        """Return the value with its large fields replaced by references. Cost: a write per large field.

        Blobs are compressed and encrypted as payloads are. Raises: PayloadNotEncodable, BlobStoreFailed.
        """
        return with_replaced(value, partial(self._offloaded, context)) if self._offloading else value

    def restore(self, value: Json, context: PayloadContext) -> Json:
        """Return the value with all its fields in place. Cost: a read per reference.

        Fields may come from other executions of the namespace. All of them together may have PAYLOADS_AT_ONCE times the size
        of one payload. Raises: as `PayloadCodec.decode`.
        """
        return with_replaced(value, partial(self._restored, context, Budget(PAYLOADS_AT_ONCE * self._most_bytes)))

    def _offloaded(self, context: PayloadContext, field: dict[str, Json]) -> Json:
        if field.get("field_type") != FIELD_TYPE:
            return None
        least = self._offloading.min_size_bytes if self._offloading else 0
        if field.get("blob_ref") is not None or len(to_json(field.get("value"))) < least:
            return field
        folder = execution_folder(FIELD_PREFIX, context)
        encoded = self._transforms.do(field.get("value"), bound_to=folder.encode())
        key = keep(self._store(), folder, encoded.content)
        return {**field, "value": None, "blob_ref": key, "encoding_options": [step.value for step in encoded.transforms]}

    def _restored(self, context: PayloadContext, budget: Budget, field: dict[str, Json]) -> Json:
        if field.get("field_type") != FIELD_TYPE:
            return None
        key = field.get("blob_ref")
        if key is None:
            return field
        if not isinstance(key, str):
            raise PayloadDamaged("the reference of an offloaded field cannot be read")
        folder = folder_of(key)
        if folder.rpartition("/")[0] != namespace_folder(FIELD_PREFIX, context.namespace):
            raise PayloadMisplaced("an offloaded field refers to a blob that is not one of this namespace's fields")
        encoded = Encoded(fetch(self._store(), key, self._most_bytes), transforms_of(field.get("encoding_options")))
        value = self._transforms.undo(encoded, _no_further_reference, folder.encode(), budget)
        return {**field, "value": value, "blob_ref": None, "encoding_options": []}

    def _store(self) -> BlobStore:
        if self._blobs is None:
            raise EncodingMisconfigured("a field is offloaded: set ACTIVITY_ATTRIBUTES_OFFLOADING__STORAGE_CONFIG__...")
        return self._blobs


def _no_further_reference(_reference: bytes) -> Any:
    raise PayloadDamaged("the blob of an offloaded field is itself a reference")


def _unavailable(problem: str) -> WorkflowsException:
    return WorkflowsException(problem, code=ErrorCode.EXECUTION_ERROR)
