"""The difference between two states, as operations of a JSON patch."""

from __future__ import annotations

from collections.abc import Iterator

from levante_core.protocol import Json, PatchOperation


def difference(old: Json, new: Json, path: str = "") -> Iterator[PatchOperation]:
    """Yield what turns one JSON value into another.

    Objects are compared member by member; a text that has grown is appended to; anything else is replaced as a whole.
    Source: RFC 6902 and 6901 (read 2026-11-23); `append` is the contract's own (REST contract, section 5).
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [key for key in old if key not in new]:
            yield PatchOperation(op="remove", path=f"{path}/{_escaped(key)}")
        for key, value in new.items():
            place = f"{path}/{_escaped(key)}"
            if key in old:
                yield from difference(old[key], value, place)
            else:
                yield PatchOperation(op="add", path=place, value=value)
    elif isinstance(old, str) and isinstance(new, str) and new.startswith(old):
        if len(new) > len(old):
            yield PatchOperation(op="append", path=path, value=new[len(old) :])
    elif not _is_same(old, new):
        yield PatchOperation(op="replace", path=path, value=new)


def _is_same(one: Json, other: Json) -> bool:
    """Compare JSON values, for which true is not 1, as it is in Python."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return all(map(_is_same, one, other))
    return True


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
