"""Search keys of executions, as workflow code sets them. Source: SDK contract §1 and §4 (read 2026-11-23)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic_core import to_json

from levante.errors import ErrorCode, WorkflowsException
from levante_core.protocol import (
    INTERNAL_PREFIX,
    MOST_KEYS,
    MOST_VALUE_CHARACTERS,
    Json,
    SearchKeys,
    SearchKeysChanged,
    changed,
    problem_with_key,
    problem_with_size,
)

_SHORT_CHARACTERS = 400
"""So many of each value fit, whatever they are."""


def addition(values: Mapping[str, str | None]) -> SearchKeysChanged:
    """Make the change that adds keys. Values are cut at 8,192 characters. Raises: WorkflowsException."""
    for key, value in values.items():
        _check(key)
        if value is not None and not isinstance(value, str):
            raise _refused(f"the value of search key {key!r} has to be text or None, not {type(value).__name__}")
        if value is not None and _has_half_a_character(value):
            raise _refused(f"the value of search key {key!r} has half a character, which no UTF-8 text has")
    return SearchKeysChanged(values={key: _cut(value) for key, value in values.items()})


def removal(keys: Iterable[str]) -> SearchKeysChanged:
    """Make the change that removes keys. Raises: WorkflowsException."""
    names = (keys,) if isinstance(keys, str) else tuple(keys)
    for key in names:
        _check(key)
    return SearchKeysChanged(removed=names)


def extraction(paths: Iterable[str], value: Json) -> SearchKeysChanged:
    """Make the change that adds what is found in an input at dotted paths; what is not there is left out.

    Where the values are too large together, they are cut further.
    """
    found = {path: at_path for path in paths for at_path in _at(value, path.split("."))}
    values = {path: _cut(_text(at_path)) for path, at_path in found.items()}
    if problem_with_size(values):
        values = {path: value and value[:_SHORT_CHARACTERS] for path, value in values.items()}
    return SearchKeysChanged(values=values)


def after_change(keys: SearchKeys, change: SearchKeysChanged) -> SearchKeys:
    """Return the keys after a change. Raises: WorkflowsException when they are too many or too large."""
    now = changed(keys, change)
    own = [key for key in now if not key.startswith(INTERNAL_PREFIX)]
    if len(own) > MOST_KEYS:
        raise _refused(f"an execution has {MOST_KEYS} search keys at most, this would make {len(own)}: remove some first")
    problem = problem_with_size(now)
    if problem:
        raise _refused(problem)
    return now


def _check(key: Any) -> None:
    is_text = isinstance(key, str) and not _has_half_a_character(key)
    problem = problem_with_key(key) if is_text else "is no text"
    if problem:
        raise _refused(f"search key {key!r} {problem}")


def _has_half_a_character(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _at(value: Json, path: list[str]) -> Iterator[Json]:
    """Yield what is at a path, if anything is."""
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return
        value = value[name]
    yield value


def _text(value: Json) -> str | None:
    return value if value is None or isinstance(value, str) else to_json(value).decode()


def _cut(value: str | None) -> str | None:
    return None if value is None else value[:MOST_VALUE_CHARACTERS]


def _refused(problem: str) -> WorkflowsException:
    return WorkflowsException(problem, status=422, code=ErrorCode.INVALID_ARGUMENTS_ERROR)
