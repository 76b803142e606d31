"""Payloads of stream events: `{"type": "json" | "json_patch", "value": ..., "encoding_options": [...]}`.

Encoded, the value is base64 of what the transforms left. Of a patch in mode `partial`, operations stay readable and the
values that touch encrypted fields become `{"type": "__encrypted__", "value": base64}`. Nothing is offloaded.
Source: REST contract, section 5, and the official client (read 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from levante.encoding.codec import PayloadCodec
from levante.encoding.encrypted_fields import is_encrypted_field
from levante.encoding.encryption import PayloadCipher
from levante.encoding.errors import PayloadDamaged
from levante.encoding.trees import pointers
from levante.encoding.wire import Encoded, PayloadContext, Transform, from_base64, to_base64, transforms_of
from levante_core.protocol import Json

ENCRYPTED_VALUE = "__encrypted__"


def encrypted_pointers(state: Json) -> frozenset[str]:
    """Name the places of encrypted fields in a state as JSON pointers, for the patches that change it."""
    return frozenset(pointers(state, is_encrypted_field))


def encode_event_payload(
    codec: PayloadCodec, payload: Mapping[str, Json], *, encrypted_at: Collection[str] = ()
) -> dict[str, Json]:
    """Return the payload as it is published; unchanged where nothing was to be done.

    encrypted_at: of a patch, where the state that it changes has encrypted fields. A patch does not show that by itself:
    its operation may replace the text inside a field. Raises: PayloadNotEncodable.
    """
    transforms, value = codec.transforms, payload["value"]
    if payload["type"] == "json_patch" and transforms.encrypts_fields:
        operations = [_with_value_encrypted(step, transforms.cipher, encrypted_at) for step in value]
        if all(new is old for new, old in zip(operations, value, strict=True)):
            return dict(payload)
        return {**payload, "value": operations, "encoding_options": [Transform.PARTIALLY_ENCRYPTED.value]}
    encoded = transforms.do(value)
    if not encoded.transforms:
        return dict(payload)
    return {**payload, "value": to_base64(encoded.content), "encoding_options": [step.value for step in encoded.transforms]}


def decode_event_payload(codec: PayloadCodec, payload: Mapping[str, Json], context: PayloadContext) -> dict[str, Json]:
    """Return the payload with its value in plain. Raises: as `PayloadCodec.decode`."""
    done, value = transforms_of(payload.get("encoding_options")), payload["value"]
    if not done:
        return dict(payload)
    if Transform.PARTIALLY_ENCRYPTED in done and isinstance(value, list):
        value = [_with_value_decrypted(step, codec.transforms.cipher) for step in value]
    else:
        value = codec.undo(Encoded(from_base64(value), done), context)
    return {**payload, "value": value, "encoding_options": []}


def _with_value_encrypted(operation: Json, cipher: PayloadCipher, encrypted_at: Collection[str]) -> Json:
    path, value = str(operation.get("path", "")), operation.get("value")
    touches = any(path == place or path.startswith(f"{place}/") for place in encrypted_at)
    if not touches and next(pointers(value, is_encrypted_field), None) is None:
        return operation
    return {**operation, "value": {"type": ENCRYPTED_VALUE, "value": to_base64(cipher.encrypt(to_json(value)))}}


def _with_value_decrypted(operation: Json, cipher: PayloadCipher) -> Json:
    value: Any = operation.get("value")
    if not isinstance(value, dict) or value.get("type") != ENCRYPTED_VALUE:
        return operation
    try:
        return {**operation, "value": from_json(cipher.decrypt(from_base64(value.get("value"))))}
    except ValueError:
        raise PayloadDamaged("an encrypted value of a patch is no JSON") from None
