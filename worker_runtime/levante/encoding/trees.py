"""Objects of one kind, wherever they are in a JSON value. What is inside one of them is not searched."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from levante_core.protocol import Json


def with_replaced(value: Json, replacement: Callable[[dict[str, Json]], Json]) -> Json:
    """Replace the objects for which `replacement` gives something other than None.

    Returns the very value when there is none; what is returned shares with it what did not change.
    """
    if isinstance(value, dict):
        replaced = replacement(value)
        if replaced is not None:
            return replaced
        fields = {name: with_replaced(child, replacement) for name, child in value.items()}
        return fields if any(fields[name] is not child for name, child in value.items()) else value
    if isinstance(value, list):
        items = [with_replaced(child, replacement) for child in value]
        return items if any(item is not child for item, child in zip(items, value, strict=True)) else value
    return value


def pointers(value: Json, is_wanted: Callable[[dict[str, Json]], bool], place: str = "") -> Iterator[str]:
    """Name the places of the wanted objects as JSON pointers. Source: RFC 6901 (read 2026-11-23)."""
    if isinstance(value, dict):
        if is_wanted(value):
            yield place
            return
        for name, child in value.items():
            step = name.replace("~", "~0").replace("/", "~1")
            yield from pointers(child, is_wanted, f"{place}/{step}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from pointers(child, is_wanted, f"{place}/{index}")
