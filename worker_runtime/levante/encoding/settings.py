"""How payloads are encoded: from arguments, or from the environment and `.env` with the contract's names.

Source: SDK contract, section 7, and the official client's configuration classes (read 2026-11-23).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from levante.encoding.encryption import WRONG_KEY, is_key
from levante.encoding.errors import EncodingMisconfigured
from levante.encoding.limits import MAX_PAYLOAD_BYTES
from levante_core.protocol.local_key import ENV_FILE

"""In the working directory alone: a directory above it may belong to somebody else."""
LARGE_BYTES = 1024 * 1024
"""From here on, payloads are compressed and offloaded unless the settings say otherwise."""

_NEEDED = {"s3": "bucket_name", "directory": "directory"}
"""Which field the built-in providers cannot do without."""

_VARIABLES = {
    "payload_offloading": "TEMPORAL_PAYLOAD_OFFLOADING",
    "payload_compression": "TEMPORAL_PAYLOAD_COMPRESSION",
    "payload_encryption": "TEMPORAL_PAYLOAD_ENCRYPTION",
    "activity_attributes_offloading": "ACTIVITY_ATTRIBUTES_OFFLOADING",
}


_MOST_BYTES = "LEVANTE_MAX_PAYLOAD_BYTES"


class EncryptionMode(StrEnum):
    """full: whole payloads. partial: the fields that are EncryptedStr."""

    FULL = "full"
    PARTIAL = "partial"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class BlobStorageSettings(_Settings):
    """Where offloaded payloads go. What a provider does not know is there for those that know it.

    storage_provider: `s3`, `directory`, or one that an entry point offers (see `levante.encoding.stores.stores`).
    """

    storage_provider: str = "s3"
    prefix: str | None = None
    directory: Annotated[str | None, Field(validate_default=True)] = None
    bucket_name: Annotated[str | None, Field(validate_default=True)] = None
    region_name: str | None = None
    endpoint_url: str | None = None
    aws_access_key_id: SecretStr | None = None
    aws_secret_access_key: SecretStr | None = None
    container_name: str | None = None
    azure_connection_string: SecretStr | None = None
    azure_storage_account_url: str | None = None
    bucket_id: str | None = None

    @field_validator("directory", "bucket_name")
    @classmethod
    def _is_there_if_needed(cls, value: str | None, info: ValidationInfo) -> str | None:
        provider = info.data.get("storage_provider")
        if not value and _NEEDED.get(str(provider)) == info.field_name:
            raise ValueError(f"the storage provider {provider!r} needs it")
        return value


class OffloadingSettings(_Settings):
    """What has min_size_bytes or more is kept in the blob store, and a reference to it is sent."""

    storage_config: BlobStorageSettings
    min_size_bytes: Annotated[int, Field(ge=0)] = LARGE_BYTES


class ZstdSettings(_Settings):
    """How zstd compresses."""

    algorithm: Literal["zstd"] = "zstd"
    level: Annotated[int, Field(ge=1, le=22)] = 3
    """1 is fastest, 22 is smallest."""


class CompressionSettings(_Settings):
    """What has min_size_bytes or more is compressed, if that makes it smaller."""

    min_size_bytes: Annotated[int, Field(ge=0)] = LARGE_BYTES
    algorithm_config: ZstdSettings = ZstdSettings()


class EncryptionSettings(_Settings):
    """The keys are AES keys in hex. The main key encrypts; the secondary one is tried when the main one does not fit."""

    mode: EncryptionMode
    main_key: SecretStr
    secondary_key: SecretStr | None = None

    @field_validator("main_key", "secondary_key")
    @classmethod
    def _is_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not is_key(key.get_secret_value()):
            raise ValueError(WRONG_KEY)
        return key


class EncodingSettings(_Settings):
    """What is None is not done. activity_attributes_offloading: where the values of OffloadableField go.

    max_payload_bytes: what one payload may have in plain, to be encoded or decoded.
    """

    payload_offloading: OffloadingSettings | None = None
    payload_compression: CompressionSettings | None = None
    payload_encryption: EncryptionSettings | None = None
    activity_attributes_offloading: OffloadingSettings | None = None
    max_payload_bytes: Annotated[int, Field(ge=1)] = MAX_PAYLOAD_BYTES


def read_encoding_settings(environment: Mapping[str, str] | None = None) -> EncodingSettings:
    """Build the settings from variables such as TEMPORAL_PAYLOAD_ENCRYPTION__MAIN_KEY; empty ones count as unset.

    environment: None reads that of the process, and `.env`.
    Raises: EncodingMisconfigured, which names the variable and never holds its value.
    """
    if environment is None:
        try:
            environment = variables()
        except (OSError, UnicodeDecodeError) as error:
            raise EncodingMisconfigured(unreadable(error)) from None
    values: dict[str, Any] = {
        field: found for field, variable in _VARIABLES.items() if (found := _nested(variable, environment)) is not None
    }
    if environment.get(_MOST_BYTES):
        values["max_payload_bytes"] = environment[_MOST_BYTES]
    try:
        return EncodingSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise EncodingMisconfigured(f"{_variable(first['loc'])}: {_sentence(first)}") from None


def variables() -> Mapping[str, str]:
    """Return what is set and not empty: the environment goes before `.env`. Raises: OSError; UnicodeDecodeError."""
    return {**variables_in_file(), **{name: value for name, value in os.environ.items() if value}}


def variables_in_file() -> Mapping[str, str]:
    """Return what `.env` in the working directory sets, if it is there. Raises: OSError; UnicodeDecodeError."""
    in_file = dotenv_values(ENV_FILE) if os.path.isfile(ENV_FILE) else {}  # noqa: PTH113 - a name, as pydantic-settings takes
    return {name: value for name, value in in_file.items() if value}


def unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Say why `.env` cannot be read, and nothing of what it holds."""
    return f"{ENV_FILE} cannot be read: {error.strerror if isinstance(error, OSError) else 'it is no UTF-8'}"


def _nested(variable: str, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Collect what is set below a variable: `A__B__C=x` is {"b": {"c": "x"}}. None when nothing is."""
    root: dict[str, Any] = {}
    if environment.get(variable):
        raise EncodingMisconfigured(f"{variable}: is set in parts, such as {variable}__{_EXAMPLES[variable]}")
    for name in sorted(environment):
        if not name.startswith(f"{variable}__") or not environment[name]:
            continue
        *groups, last = name.removeprefix(f"{variable}__").lower().split("__")
        section = root
        for group in groups:
            section = section.setdefault(group, {})
            if not isinstance(section, dict):
                raise EncodingMisconfigured(f"{name}: {name.rpartition('__')[0]} is a value and has no parts")
        section[last] = environment[name].strip()
    return root or None


_EXAMPLES = {
    "TEMPORAL_PAYLOAD_OFFLOADING": "STORAGE_CONFIG__BUCKET_NAME",
    "TEMPORAL_PAYLOAD_COMPRESSION": "MIN_SIZE_BYTES",
    "TEMPORAL_PAYLOAD_ENCRYPTION": "MODE",
    "ACTIVITY_ATTRIBUTES_OFFLOADING": "STORAGE_CONFIG__BUCKET_NAME",
}


def _variable(place: tuple[int | str, ...]) -> str:
    if place[0] == "max_payload_bytes":
        return _MOST_BYTES
    return "__".join([_VARIABLES[str(place[0])], *(str(step).upper() for step in place[1:])])


def _sentence(problem: Mapping[str, Any]) -> str:
    match problem["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a setting"
        case _:
            return str(problem["msg"]).removeprefix("Value error, ")
