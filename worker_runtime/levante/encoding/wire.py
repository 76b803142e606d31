"""The form of an encoded payload. Source: REST contract, section 6 (read 2026-11-23)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from levante.encoding.errors import PayloadDamaged
from levante_core.protocol import Json


class Transform(StrEnum):
    """What was done to a payload, as `encoding_options` names it."""

    PARTIALLY_ENCRYPTED = "encrypted-partial"
    COMPRESSED = "compressed"
    OFFLOADED = "offloaded"
    ENCRYPTED = "encrypted"


@dataclass(frozen=True, slots=True)
class PayloadContext:
    """Whose payload it is: for the result of a child, or the input that it is started with, the child's.

    namespace: what `whoami` tells, which is the workspace.
    """

    namespace: str
    execution_id: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """The bytes that the transforms left, and the transforms in the order in which they were applied."""

    content: bytes
    transforms: tuple[Transform, ...]

    def to_json(self) -> dict[str, Json]:
        """Return the object that is sent in place of the payload."""
        return {"b64payload": to_base64(self.content), "encoding_options": list(self.transforms), "empty": False}


def could_be_taken_for_encoded(value: Json) -> bool:
    """Tell whether some reader takes the plain value for an encoded one. The official client looks at one key only."""
    return isinstance(value, dict) and "b64payload" in value


def from_json(value: Mapping[str, Json]) -> Encoded | None:
    """Read the object of an encoded payload; None for an empty one. Raises: PayloadDamaged."""
    if value.get("empty") is True:
        return None
    return Encoded(from_base64(value["b64payload"]), transforms_of(value.get("encoding_options")))


def transforms_of(options: Json) -> tuple[Transform, ...]:
    """Read a list of transforms. Raises: PayloadDamaged when it is none, or names one that is unknown or there twice."""
    if options is None:
        return ()
    if not isinstance(options, Sequence) or isinstance(options, str):
        raise PayloadDamaged("encoding_options is not a list")
    try:
        transforms = tuple(Transform(option) for option in options)
    except ValueError:
        known = ", ".join(Transform)
        raise PayloadDamaged(f"encoding_options names a transform that is not known; known are {known}") from None
    if len(set(transforms)) < len(transforms):
        raise PayloadDamaged("encoding_options names a transform twice")
    return transforms


def to_base64(content: bytes) -> str:
    """Write bytes as text."""
    return base64.b64encode(content).decode()


def from_base64(text: Any) -> bytes:
    """Read bytes. Raises: PayloadDamaged."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise PayloadDamaged("an encoded payload is not base64: it was cut or changed") from None
