"""Search keys: what executions are found by, beside ids and names. Never encrypted."""

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Literal, TypeAlias

from pydantic import Field
from pydantic_core import to_json

from levante_core.domain.frozen import Frozen

SearchKeys: TypeAlias = Mapping[str, str | None]
"""Values by key. None: the key is there, without a value."""

MOST_KEYS = 20
"""Of an execution, and in one call; keys of the SDK itself are not counted. Source: REST contract §1.5 (read 2026-11-23)."""
MOST_KEY_CHARACTERS = 256
MOST_VALUE_CHARACTERS = 8192
MOST_BYTES = 64 * 1024
"""Of all keys and values of an execution together, as a JSON text: they are kept where listings read them."""
INTERNAL_PREFIX = "internal."


class SearchKeysChanged(Frozen):
    """The execution is to be found by these keys, with these values, and no longer by those removed.

    Nothing in the course of a run depends on it, so replay does not compare it.
    """

    kind: Literal["search_keys_changed"] = "search_keys_changed"
    values: SearchKeys = Field(default_factory=dict)
    """Values by key; null is a key without a value."""
    removed: tuple[str, ...] = ()
    """The keys that are taken away."""


def changed(keys: SearchKeys, change: SearchKeysChanged) -> SearchKeys:
    """Return the keys after a change."""
    kept = {key: value for key, value in keys.items() if key not in change.removed}
    return {**kept, **change.values}


def after(keys: SearchKeys, events: Iterable[object]) -> SearchKeys:
    """Return the keys after some events of a history."""
    return reduce(changed, (event for event in events if isinstance(event, SearchKeysChanged)), keys)


def problem_with_size(keys: SearchKeys) -> str | None:
    """Say what is wrong if keys and values are too large together."""
    size = len(to_json(keys))
    if size <= MOST_BYTES:
        return None
    return f"search keys and values would have {size:,} bytes together, and {MOST_BYTES:,} fit: set shorter values"


def problem_with_key(key: str) -> str | None:
    """Say what is wrong with a key that users choose."""
    if not key.strip():
        return "is blank"
    if len(key) > MOST_KEY_CHARACTERS:
        return f"has {len(key)} characters, and may have {MOST_KEY_CHARACTERS}"
    if ":" in key or key.endswith("="):
        return "has a ':' or ends with '=', by which searches tell keys from values"
    if key.startswith(INTERNAL_PREFIX):
        return f"begins with {INTERNAL_PREFIX!r}, which is reserved"
    return None
