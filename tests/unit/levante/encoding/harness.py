"""What the tests of payload encoding stand on: settings of each kind, and a blob store that can be looked into."""

from hypothesis import strategies as st

from levante.encoding import (
    BlobMissing,
    BlobStorageSettings,
    CompressionSettings,
    EncodingSettings,
    EncryptionMode,
    OffloadingSettings,
    PayloadContext,
)

MAIN, SECONDARY, OTHER = "a1" * 32, "b2" * 32, "c3" * 32
HERE = PayloadContext(namespace="default", execution_id="order-1")
ELSEWHERE = PayloadContext(namespace="default", execution_id="order-2")

ENCRYPTED_FIELDS = st.builds(lambda data: {"field_type": "__encrypted_str__", "data": data}, st.text())
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | ENCRYPTED_FIELDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


class Blobs:
    """A blob store in memory."""

    def __init__(self, folder: str = "") -> None:
        self._folder = folder
        self.kept: dict[str, bytes] = {}

    def put(self, key: str, content: bytes) -> None:
        self.kept[self._folder + key] = content

    def get(self, key: str) -> bytes:
        if self._folder + key not in self.kept:
            raise BlobMissing(key)
        return self.kept[self._folder + key]


def open_container(settings: BlobStorageSettings) -> Blobs:
    """What a package would offer as an entry point."""
    return Blobs(f"{settings.container_name}/")


def settings(
    mode: EncryptionMode | None = None,
    *,
    main: str = MAIN,
    secondary: str | None = None,
    compress_from: int | None = None,
    offload_from: int | None = None,
    offload_fields_from: int | None = None,
) -> EncodingSettings:
    """Build settings; what is None is off. Sizes in bytes."""
    return EncodingSettings.model_validate(
        {
            "payload_encryption": mode and {"mode": mode, "main_key": main, "secondary_key": secondary},
            "payload_compression": None if compress_from is None else CompressionSettings(min_size_bytes=compress_from),
            "payload_offloading": _offloading(offload_from),
            "activity_attributes_offloading": _offloading(offload_fields_from),
        }
    )


def _offloading(least: int | None) -> OffloadingSettings | None:
    place = BlobStorageSettings(storage_provider="directory", directory="unused")
    return None if least is None else OffloadingSettings(storage_config=place, min_size_bytes=least)
