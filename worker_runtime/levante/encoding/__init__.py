"""Payloads that the service cannot read: compression, offloading and encryption by workers and clients.

The form is that of the official client's `mistralai.extra.workflows.encoding`: either side reads what the other writes.
"""

from levante.encoding.codec import PayloadCodec
from levante.encoding.encrypted_fields import EncryptedStr
from levante.encoding.errors import (
    BlobMissing,
    BlobStoreFailed,
    DecryptionFailed,
    EncodingMisconfigured,
    PayloadDamaged,
    PayloadMisplaced,
    PayloadNotEncodable,
    PayloadTooLarge,
    PayloadUndecodable,
)
from levante.encoding.events import decode_event_payload, encode_event_payload, encrypted_pointers
from levante.encoding.offloadable import FieldOffloader, OffloadableField, OffloadableModel
from levante.encoding.settings import (
    BlobStorageSettings,
    CompressionSettings,
    EncodingSettings,
    EncryptionMode,
    EncryptionSettings,
    OffloadingSettings,
    ZstdSettings,
    read_encoding_settings,
)
from levante.encoding.stores.blobs import BlobStore
from levante.encoding.wire import PayloadContext
from levante_core.protocol import is_encoded

EncryptedStrField = EncryptedStr
"""The vendor's name, for code that comes from there."""

__all__ = [
    "BlobMissing",
    "BlobStorageSettings",
    "BlobStore",
    "BlobStoreFailed",
    "CompressionSettings",
    "DecryptionFailed",
    "EncodingMisconfigured",
    "EncodingSettings",
    "EncryptedStr",
    "EncryptedStrField",
    "EncryptionMode",
    "EncryptionSettings",
    "FieldOffloader",
    "OffloadableField",
    "OffloadableModel",
    "OffloadingSettings",
    "PayloadCodec",
    "PayloadContext",
    "PayloadDamaged",
    "PayloadMisplaced",
    "PayloadNotEncodable",
    "PayloadTooLarge",
    "PayloadUndecodable",
    "ZstdSettings",
    "decode_event_payload",
    "encode_event_payload",
    "encrypted_pointers",
    "is_encoded",
    "read_encoding_settings",
]
