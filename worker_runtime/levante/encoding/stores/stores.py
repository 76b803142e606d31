"""Which blob store a provider's name means.

`s3` and `directory` are built in. Any other name, such as `azure` or `gcs`, is looked up among the entry points of the
group `levante.blob_stores`: each is a function that takes the BlobStorageSettings and returns a BlobStore.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from levante.encoding.errors import EncodingMisconfigured
from levante.encoding.limits import MAX_PAYLOAD_BYTES
from levante.encoding.settings import BlobStorageSettings
from levante.encoding.stores.blobs import BlobStore
from levante.encoding.stores.directory_store import DirectoryBlobs

ENTRY_POINTS = "levante.blob_stores"


def open_blob_store(settings: BlobStorageSettings, most_bytes: int = MAX_PAYLOAD_BYTES) -> BlobStore:
    """Open the store that the settings describe. most_bytes: of a blob that is read. Raises: EncodingMisconfigured."""
    match settings.storage_provider:
        case "s3":
            return _open_s3(settings, most_bytes)
        case "directory":
            return DirectoryBlobs(Path(settings.directory or ""), most_bytes)
        case provider:
            return _open_offered(provider, settings)


def _open_s3(settings: BlobStorageSettings, most_bytes: int) -> BlobStore:
    try:
        from levante.encoding.stores.s3_store import open_s3  # noqa: PLC0415 - boto3 is an extra
    except ModuleNotFoundError as error:
        raise EncodingMisconfigured(f"offloading to S3 needs {error.name}: pip install 'levante[aws]'") from None
    return open_s3(settings, most_bytes)


def _open_offered(provider: str, settings: BlobStorageSettings) -> BlobStore:
    offered = entry_points(group=ENTRY_POINTS)
    if provider not in offered.names:
        known = ", ".join(sorted({"s3", "directory", *offered.names}))
        raise EncodingMisconfigured(
            f"no blob store {provider!r}: there are {known}. Install a package that offers it as an entry point of the "
            f"group {ENTRY_POINTS}, or give PayloadCodec a BlobStore of your own"
        )
    opened: BlobStore = offered[provider].load()(settings)
    return opened
