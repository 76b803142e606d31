"""What a payload may be: the rules about size and depth, for the API and for workers alike."""

from collections.abc import Iterable
from typing import TypeGuard

from pydantic_core import to_json

from levante_core.domain.frozen import Json, is_finite

MAX_PAYLOAD_BYTES = 2 * 1024 * 1024
"""Of one input or result. Source: SDK contract, section 7 (read 2026-11-23)."""
MAX_PAYLOAD_DEPTH = 100
"""Nested arrays and objects: well below the 200 at which JSON parsers give up, and messages wrap payloads in some more."""


_KEYS_OF_ENCODED = {"b64payload", "encoding_options", "empty", "input_hash"}


def is_encoded(value: Json) -> TypeGuard[dict[str, Json]]:
    """Tell the object of an encoded payload from a plain one. input_hash comes with the inputs of schedules.

    Source: REST contract §6 (read 2026-11-23).
    """
    return isinstance(value, dict) and isinstance(value.get("b64payload"), str) and value.keys() <= _KEYS_OF_ENCODED


def problem_with(what: str, value: Json, *, of_any_size: bool = False) -> tuple[int, str | None]:
    """Return the size of a JSON value in bytes, and what is wrong with it, if anything is.

    of_any_size: it becomes smaller before it is sent, and is looked at again then.
    """
    text = to_json(value, inf_nan_mode="constants")
    if len(text) > MAX_PAYLOAD_BYTES and not of_any_size:
        problem = f"{what} has {len(text):,} bytes, and 2 MB fit: store the data elsewhere and pass a reference"
        return len(text), problem
    if text.count(b"[") + text.count(b"{") > MAX_PAYLOAD_DEPTH and _is_deeper_than(MAX_PAYLOAD_DEPTH, value):
        return len(text), f"{what} is nested more than {MAX_PAYLOAD_DEPTH} levels deep: flatten it"
    if (b"Infinity" in text or b"NaN" in text) and not is_finite(value):
        return len(text), f"{what} holds a number that JSON does not know (infinity or NaN): leave it out"
    return len(text), None


def _is_deeper_than(depth: int, value: Json) -> bool:
    level: list[Json] = [value]
    for _ in range(depth):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return any(isinstance(item, dict | list | tuple) for item in level)


def _children(value: Json) -> Iterable[Json]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()
