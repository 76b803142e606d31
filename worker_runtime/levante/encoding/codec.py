"""Payloads as the service sees them, and back."""

from __future__ import annotations

from functools import partial

from pydantic_core import from_json, to_json

from levante.encoding.errors import EncodingMisconfigured, PayloadDamaged, PayloadMisplaced, PayloadNotEncodable
from levante.encoding.limits import Budget
from levante.encoding.settings import EncodingSettings
from levante.encoding.stores.blobs import PAYLOAD_PREFIX, BlobStore, execution_folder, fetch, folder_of, keep
from levante.encoding.stores.stores import open_blob_store
from levante.encoding.transforms import Transforms
from levante.encoding.wire import Encoded, PayloadContext, could_be_taken_for_encoded
from levante.encoding.wire import from_json as encoded_from_json
from levante.errors import ErrorCode
from levante_core.protocol import Json, is_encoded, problem_with


class PayloadCodec:
    """Encodes inputs and results before they are sent, and decodes them after they have come. For any number of threads.

    Both may read or write blobs and work through megabytes, so they belong on a thread and never into workflow code.
    Encoding the same value twice gives different results (nonces are random): what was recorded is not encoded again.
    """

    def __init__(self, settings: EncodingSettings, blobs: BlobStore | None = None) -> None:
        """Use the settings. blobs: in place of the store that they describe. Raises: EncodingMisconfigured."""
        self._offloading = settings.payload_offloading
        self._transforms = Transforms(settings)
        self._blobs = blobs
        self._most_bytes = settings.max_payload_bytes
        if blobs is None and self._offloading:
            self._blobs = open_blob_store(self._offloading.storage_config, self._most_bytes)
        self.is_active = bool(settings.payload_offloading or settings.payload_compression or settings.payload_encryption)
        """Whether `encode` ever does more than to check the size. `decode` is needed in any case."""

    def encode(self, value: Json, context: PayloadContext, *, what: str = "the payload") -> Json:
        """Return what is sent in place of a value: the value itself where nothing was to be done.

        what: names the payload in errors. A repeat keeps the same blob again. Cost: one write of a blob, if offloaded.
        Raises: PayloadNotEncodable, also when the result is over the limit of the service; BlobStoreFailed.
        """
        sent = value
        if self.is_active or could_be_taken_for_encoded(value):
            encoded = self._transforms.do(value, partial(self._offload, context))
            if encoded.transforms or could_be_taken_for_encoded(value):
                sent = encoded.to_json()
        _, problem = problem_with(what, sent)
        if problem:
            raise PayloadNotEncodable(problem, ErrorCode.INPUT_SIZE_EXCEEDED_ERROR)
        return sent

    def decode(self, value: Json, context: PayloadContext, budget: Budget | None = None) -> Json:
        """Return the value that was encoded; a plain one as it is. Cost: one read of a blob, if offloaded.

        budget: of all that is decoded together; each payload has the limit of the settings as well.
        Raises: PayloadUndecodable, by its subclass; EncodingMisconfigured when a key or a store is missing; BlobStoreFailed.
        """
        if not is_encoded(value):
            return value
        encoded = encoded_from_json(value)
        return None if encoded is None else self.undo(encoded, context, budget)

    def undo(self, encoded: Encoded, context: PayloadContext, budget: Budget | None = None) -> Json:
        """Return the value behind bytes. Raises: as `decode`."""
        return self._transforms.undo(encoded, partial(self._fetch, context), budget=budget)

    @property
    def transforms(self) -> Transforms:
        """What it does apart from offloading."""
        return self._transforms

    def _offload(self, context: PayloadContext, content: bytes) -> bytes | None:
        if self._offloading is None or len(content) < self._offloading.min_size_bytes:
            return None
        return to_json({"key": keep(self._store(), execution_folder(PAYLOAD_PREFIX, context), content)})

    def _fetch(self, context: PayloadContext, reference: bytes) -> bytes:
        try:
            key = from_json(reference)["key"]
        except (ValueError, TypeError, KeyError):
            key = None
        if not isinstance(key, str):
            raise PayloadDamaged("the reference of an offloaded payload cannot be read")
        if folder_of(key) != execution_folder(PAYLOAD_PREFIX, context):
            raise PayloadMisplaced(f"a payload of execution {context.execution_id!r} refers to a blob of another one")
        return fetch(self._store(), key, self._most_bytes)

    def _store(self) -> BlobStore:
        if self._blobs is None:
            raise EncodingMisconfigured("a payload is offloaded: set TEMPORAL_PAYLOAD_OFFLOADING__STORAGE_CONFIG__...")
        return self._blobs
