"""Reading items: whatever is stored, who reads it gets what it says, or hears which part cannot be read, and why.

Every function that reads an item is a reader, so that stored data leads to no other error than Unreadable. Loops park what
raises it, and listings leave it out.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from pydantic import ValidationError

from levante_core.domain.executions.execution import RunKey
from levante_core.errors import InconsistentHistory, Unavailable, Unreadable, loggable
from levante_core.ports.item_store import Item, Key, Scalar

logger = logging.getLogger("levante.records")

P = ParamSpec("P")
T = TypeVar("T")

WHAT_TO_DO = (
    "`levante parked list` shows what waits for it; restore it from a backup, or upgrade if a later version wrote it; an "
    "execution can be terminated meanwhile"
)
_SECRET = ("K#", "Q#")
"""Partitions whose names come from secrets."""


def reader(read: Callable[Concatenate[Item, P], T]) -> Callable[Concatenate[Item, P], T]:
    """Let a function that reads an item raise Unreadable for whatever it cannot read, and Unavailable; nothing else."""

    @wraps(read)
    def contained(item: Item, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(item, *args, **kwargs)
        except (Unavailable, Unreadable):
            raise
        except Exception as error:
            raise unreadable(item.key, _last_looked_at(item, lambda noted: read(noted, *args, **kwargs)), error) from error

    contained.__dict__["is_reader"] = True
    return cast("Callable[Concatenate[Item, P], T]", contained)


def readable(items: Iterable[Item], read: Callable[[Item], T]) -> Iterator[T]:
    """Read the items of several owners, each by itself. One that cannot be read is left out, and logged."""
    for item in items:
        try:
            yield read(item)
        except Unreadable as error:
            logger.warning("left out: %s", loggable(error))


def unreadable(key: Key, part: str, error: Exception) -> Unreadable:
    """Make the error that says what cannot be read, where, why, and what to do. It quotes no content."""
    place = f"{key.partition[:10]}..." if key.partition.startswith(_SECRET) else f"{key.partition} {key.sort}"
    return Unreadable(f"{part} of item {place!r} cannot be read: {_why(error)}. {WHAT_TO_DO}")


def missing_batch(run: RunKey, expected: int, actual: int) -> Unreadable:
    """Make the error that says that a history has a hole."""
    return Unreadable(
        f"the history of execution {run.execution_id!r}, run {run.run_id}, cannot be read: batch {expected} is missing, "
        f"before batch {actual}. {WHAT_TO_DO}"
    )


def problems_in(error: ValidationError) -> str:
    """Say what is wrong with a document, without its content."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems[:3])


# --- attributes -------------------------------------------------------------------------------------------------------


def text(attributes: Mapping[str, Scalar], name: str) -> str:
    """Read a text. Raises: KeyError, TypeError, which readers explain."""
    value = attributes[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def text_if_any(attributes: Mapping[str, Scalar], name: str) -> str | None:
    """Read a text that may be null, or left out. Raises: as `text`."""
    return None if attributes.get(name) is None else text(attributes, name)


def number(attributes: Mapping[str, Scalar], name: str) -> int:
    """Read a whole number. Raises: as `text`."""
    value = attributes[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise TypeError(f"{name} is no whole number")
    return int(value)


def flag(attributes: Mapping[str, Scalar], name: str) -> bool:
    """Read whether something is so. Raises: as `text`."""
    value = attributes[name]
    if not isinstance(value, bool):
        raise TypeError(f"{name} is neither true nor false")
    return value


def moment(attributes: Mapping[str, Scalar], name: str) -> datetime:
    """Read a time. Raises: as `text`, and ValueError."""
    at = datetime.fromisoformat(text(attributes, name))
    if at.tzinfo is None:
        raise ValueError(f"{name} has no time zone")
    return at


def moment_if_any(attributes: Mapping[str, Scalar], name: str) -> datetime | None:
    """Read a time that may be null, or left out. Raises: as `moment`."""
    return None if attributes.get(name) is None else moment(attributes, name)


# --- inside -----------------------------------------------------------------------------------------------------------


class _Noted(Mapping[str, Any]):
    """A mapping that notes what is looked at."""

    def __init__(self, mapping: Mapping[str, Any], kind: str, looked_at: list[str]) -> None:
        self._mapping = mapping
        self._kind = kind
        self._looked_at = looked_at

    def __getitem__(self, name: str) -> Any:
        self._looked_at.append(f"{self._kind} {name!r}")
        return self._mapping[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self._mapping)


def _last_looked_at(item: Item, read: Callable[[Item], object]) -> str:
    """Read once more, to find which part it was: so what can be read costs nothing for it."""
    looked_at = ["what is stored"]
    attributes = _Noted(item.attributes, "attribute", looked_at)
    documents = _Noted(item.documents, "document", looked_at)
    try:
        read(replace(item, attributes=attributes, documents=documents))
    except Exception:  # noqa: BLE001 - the one that is explained
        return looked_at[-1]
    return looked_at[0]


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return problems_in(error)
    if isinstance(error, KeyError):
        return "it is missing"
    if isinstance(error, InconsistentHistory):
        return str(error)
    return "it is not of the form that this version knows"
