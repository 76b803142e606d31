"""Fields that stay encrypted while the payload around them can be read.

In a payload such a field is `{"field_type": "__encrypted_str__", "data": ...}`: that is how the official client knows it.
Source: SDK contract, section 7, and REST contract, section 6 (read 2026-11-23).
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from levante.encoding.encryption import PayloadCipher
from levante.encoding.errors import PayloadDamaged, PayloadNotEncodable
from levante.encoding.trees import with_replaced
from levante.encoding.wire import from_base64, to_base64
from levante_core.protocol import Json

FIELD_TYPE: Final = "__encrypted_str__"
SHOWN = "<encrypted>"


class EncryptedStr(BaseModel):
    """A string that the service never sees, in inputs, results and states: `EncryptedStr(data="...")`.

    Mode `partial` encrypts these fields, `full` everything. Without encryption they travel as they are. Printed, logged or
    formatted, the value does not show; `data` holds it.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    field_type: Literal["__encrypted_str__"] = Field(default=FIELD_TYPE, repr=False)
    data: str = Field(repr=False)

    def __str__(self) -> str:
        return SHOWN

    def __repr__(self) -> str:
        return f"{type(self).__name__}({SHOWN})"


def is_encrypted_field(value: Json) -> bool:
    """Tell whether a JSON object stands for an encrypted string. What is inside it is data, not further fields."""
    return isinstance(value, dict) and value.get("field_type") == FIELD_TYPE


def with_fields_encrypted(value: Json, cipher: PayloadCipher) -> Json:
    """Encrypt the fields; returns the very value when it has none. Raises: PayloadNotEncodable."""

    def encrypted(field: dict[str, Json]) -> Json:
        if not is_encrypted_field(field):
            return None
        if not isinstance(field.get("data"), str):
            raise PayloadNotEncodable("`data` of an encrypted field has to be a string")
        return {**field, "data": to_base64(cipher.encrypt(field["data"].encode()))}

    return with_replaced(value, encrypted)


def with_fields_decrypted(value: Json, cipher: PayloadCipher) -> Json:
    """Decrypt the fields. Raises: PayloadDamaged, DecryptionFailed."""

    def decrypted(field: dict[str, Json]) -> Json:
        if not is_encrypted_field(field):
            return None
        try:
            return {**field, "data": cipher.decrypt(from_base64(field.get("data"))).decode()}
        except UnicodeDecodeError:
            raise PayloadDamaged("an encrypted field does not hold text") from None

    return with_replaced(value, decrypted)
