import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levante.encoding import (
    EncodingMisconfigured,
    EncodingSettings,
    EncryptionMode,
    PayloadCodec,
    read_encoding_settings,
)
from levante.encoding.encryption import PayloadCipher
from levante.errors import ErrorCode
from tests.unit.levante.encoding.harness import HERE, MAIN, SECONDARY, Blobs, settings

ENCRYPTION, OFFLOADING = "TEMPORAL_PAYLOAD_ENCRYPTION", "TEMPORAL_PAYLOAD_OFFLOADING"
COMPRESSION, FIELDS = "TEMPORAL_PAYLOAD_COMPRESSION", "ACTIVITY_ATTRIBUTES_OFFLOADING"


def test_settings_when_nothing_is_set_then_nothing_is_done() -> None:
    """Encoding is opt-in; empty variables count as unset."""
    assert read_encoding_settings({"PATH": "/bin", f"{ENCRYPTION}__MODE": ""}) == EncodingSettings()
    assert not PayloadCodec(EncodingSettings()).is_active


def test_settings_when_all_variables_are_set_then_each_is_read() -> None:
    """The names are the contract's; what is not set has the contract's defaults."""
    read = read_encoding_settings(
        {
            f"{ENCRYPTION}__MODE": "partial",
            f"{ENCRYPTION}__MAIN_KEY": f"{MAIN}\n",
            f"{ENCRYPTION}__SECONDARY_KEY": SECONDARY,
            f"{COMPRESSION}__MIN_SIZE_BYTES": "2048",
            f"{COMPRESSION}__ALGORITHM_CONFIG__LEVEL": "9",
            f"{OFFLOADING}__STORAGE_CONFIG__BUCKET_NAME": "payloads",
            f"{OFFLOADING}__STORAGE_CONFIG__AWS_SECRET_ACCESS_KEY": "hush",
            f"{FIELDS}__MIN_SIZE_BYTES": "10",
            f"{FIELDS}__STORAGE_CONFIG__STORAGE_PROVIDER": "directory",
            f"{FIELDS}__STORAGE_CONFIG__DIRECTORY": "/var/lib/blobs",
        }
    )
    assert read.payload_encryption
    assert read.payload_encryption.mode is EncryptionMode.PARTIAL
    assert read.payload_encryption.main_key.get_secret_value() == MAIN
    assert read.payload_encryption.secondary_key
    assert read.payload_compression
    assert (read.payload_compression.min_size_bytes, read.payload_compression.algorithm_config.level) == (2048, 9)
    assert read.payload_offloading
    assert read.payload_offloading.min_size_bytes == 1024 * 1024
    assert read.payload_offloading.storage_config.storage_provider == "s3"
    assert read.activity_attributes_offloading
    assert read.activity_attributes_offloading.storage_config.directory == "/var/lib/blobs"
    for secret in (MAIN, SECONDARY, "hush"):
        assert secret not in f"{read} {read!r} {read.model_dump_json()}"


def test_compression_when_only_its_algorithm_is_named_then_it_is_on_with_level_three_from_one_megabyte() -> None:
    """One variable of a group turns it on."""
    read = read_encoding_settings({f"{COMPRESSION}__ALGORITHM_CONFIG__ALGORITHM": "zstd"})
    assert read.payload_compression
    assert (read.payload_compression.min_size_bytes, read.payload_compression.algorithm_config.level) == (1024 * 1024, 3)


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({f"{ENCRYPTION}__MAIN_KEY": MAIN}, f"{ENCRYPTION}__MODE: is missing"),
        ({f"{ENCRYPTION}__MODE": "full"}, f"{ENCRYPTION}__MAIN_KEY: is missing"),
        ({f"{ENCRYPTION}__MODE": "strong", f"{ENCRYPTION}__MAIN_KEY": MAIN}, f"{ENCRYPTION}__MODE: "),
        (
            {f"{ENCRYPTION}__MODE": "full", f"{ENCRYPTION}__MAIN_KEY": "a1b2"},
            f"{ENCRYPTION}__MAIN_KEY: has to be an AES key",
        ),
        ({f"{ENCRYPTION}__MODE": "full", f"{ENCRYPTION}__MAIN_KEYS": MAIN}, f"{ENCRYPTION}__MAIN_KEY"),
        (
            {f"{ENCRYPTION}__MODE": "full", f"{ENCRYPTION}__MAIN_KEY": MAIN, f"{ENCRYPTION}__KEY": MAIN},
            f"{ENCRYPTION}__KEY: is not a setting",
        ),
        (
            {f"{ENCRYPTION}__MODE": "full", f"{ENCRYPTION}__MAIN_KEY": MAIN, f"{ENCRYPTION}__SECONDARY_KEY": "zz" * 32},
            f"{ENCRYPTION}__SECONDARY_KEY: has to be an AES key",
        ),
        ({ENCRYPTION: MAIN}, f"{ENCRYPTION}: is set in parts, such as {ENCRYPTION}__MODE"),
        ({f"{ENCRYPTION}__MODE": "full", f"{ENCRYPTION}__MODE__X": "1"}, f"{ENCRYPTION}__MODE__X: {ENCRYPTION}__MODE is"),
        ({f"{COMPRESSION}__MIN_SIZE_BYTES": "1 MB"}, f"{COMPRESSION}__MIN_SIZE_BYTES: "),
        ({f"{COMPRESSION}__ALGORITHM_CONFIG__LEVEL": "23"}, f"{COMPRESSION}__ALGORITHM_CONFIG__LEVEL: "),
        ({f"{COMPRESSION}__ALGORITHM_CONFIG__ALGORITHM": "gzip"}, f"{COMPRESSION}__ALGORITHM_CONFIG__ALGORITHM: "),
        ({f"{OFFLOADING}__MIN_SIZE_BYTES": "1"}, f"{OFFLOADING}__STORAGE_CONFIG: is missing"),
        (
            {f"{OFFLOADING}__STORAGE_CONFIG__PREFIX": "p"},
            f"{OFFLOADING}__STORAGE_CONFIG__BUCKET_NAME: the storage provider 's3' needs it",
        ),
        (
            {f"{FIELDS}__STORAGE_CONFIG__STORAGE_PROVIDER": "directory"},
            f"{FIELDS}__STORAGE_CONFIG__DIRECTORY: the storage provider 'directory' needs it",
        ),
    ],
)
def test_variable_when_wrong_then_the_error_names_it_and_shows_no_value(environment: dict[str, str], variable: str) -> None:
    """Whoever deploys a worker learns what to change, and no key gets into a log."""
    with pytest.raises(EncodingMisconfigured) as caught:
        read_encoding_settings(environment)
    assert str(caught.value).startswith(variable)
    assert caught.value.code is ErrorCode.WORKER_RUNTIME_CONFIG_ERROR
    for value in (MAIN, SECONDARY, "a1b2", "zz" * 32):
        assert value not in str(caught.value)
    assert caught.value.__cause__ is None


@given(key=st.text(alphabet="ÀÉÑ", min_size=1, max_size=70))
def test_key_when_it_is_none_then_it_is_refused_without_being_shown(key: str) -> None:
    """Keys are hex of 128, 192 or 256 bits, which are what the official client takes."""
    with pytest.raises(ValueError, match="has to be an AES key") as caught:
        settings(EncryptionMode.FULL, main=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", ["xyz", "0" * 63])
def test_cipher_when_given_no_key_then_it_refuses_it(key: str) -> None:
    """Also where the key does not come from settings."""
    with pytest.raises(EncodingMisconfigured, match="has to be an AES key"):
        PayloadCipher(MAIN, key)


@pytest.mark.parametrize("digits", [32, 48, 64])
def test_key_when_it_has_an_aes_size_then_it_encrypts(digits: int) -> None:
    """128 and 192 bits are read and written too: payloads of existing clients may need them."""
    assert PayloadCodec(settings(EncryptionMode.FULL, main="A" * digits)).is_active


@pytest.mark.parametrize(
    ("library", "chosen"),
    [
        ("cryptography.exceptions", settings(EncryptionMode.FULL)),
        ("zstandard", settings(compress_from=0)),
        ("msgpack", settings(compress_from=0)),
    ],
)
def test_library_when_not_installed_then_the_error_names_the_extra(
    library: str, chosen: EncodingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker says at its start what it lacks, not at the first large payload."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(EncodingMisconfigured, match=r"pip install 'levante\[encoding\]'"):
        PayloadCodec(chosen)


def test_libraries_when_nothing_is_configured_then_none_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is for those who turn encoding on."""
    for library in ("cryptography.exceptions", "zstandard", "msgpack", "boto3"):
        monkeypatch.setitem(sys.modules, library, None)
    codec = PayloadCodec(settings(offload_from=10**6), Blobs())
    assert codec.encode({"a": 1}, HERE) == {"a": 1}
