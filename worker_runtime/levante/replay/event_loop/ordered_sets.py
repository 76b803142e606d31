"""Sets that keep the order of what is put in, in place of those that asyncio makes on the loop of a run.

`as_completed` makes a set of the coroutines that it is given, `wait` of futures, `TaskGroup` of tasks. The order of a plain
set follows from the addresses of its members, so each replay would start, cancel or return them in another order.
"""

# The methods are those of set.
# ruff: noqa: D102

from __future__ import annotations

import asyncio
import builtins
from asyncio import taskgroups, tasks
from collections.abc import Iterable, Iterator, MutableSet
from functools import wraps
from itertools import chain
from typing import Any, TypeVar

T = TypeVar("T")

_add: Any = builtins.set.add
_add_all: Any = builtins.set.update
_discard: Any = builtins.set.discard


class OrderedSet(MutableSet[T], builtins.set[T]):  # type: ignore[misc,metaclass]  # the operators are those of MutableSet
    """A set whose members come in the order in which they were added; so do those of what is made of it."""

    def __init__(self, members: Iterable[T] = ()) -> None:
        self._members = dict.fromkeys(members)
        _add_all(self, self._members)

    def __iter__(self) -> Iterator[T]:
        return iter(self._members)

    def __contains__(self, value: object) -> bool:
        return value in self._members

    def __len__(self) -> int:
        return len(self._members)

    def __and__(self, other: Any) -> Any:
        return self.intersection(other) if isinstance(other, Iterable) else NotImplemented

    def __repr__(self) -> str:
        return "{" + ", ".join(map(repr, self._members)) + "}" if self._members else "set()"

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedSet, (list(self._members),)

    def add(self, value: T) -> None:
        self._members[value] = None
        _add(self, value)

    def discard(self, value: T) -> None:
        self._members.pop(value, None)
        _discard(self, value)

    def copy(self) -> OrderedSet[T]:
        return OrderedSet(self)

    def union(self, *others: Iterable[Any]) -> OrderedSet[Any]:
        return OrderedSet(chain(self, *others))

    def intersection(self, *others: Iterable[Any]) -> OrderedSet[T]:
        among = [builtins.set(other) for other in others]
        return OrderedSet(member for member in self if all(member in other for other in among))

    def difference(self, *others: Iterable[Any]) -> OrderedSet[T]:
        without = builtins.set(chain(*others))
        return OrderedSet(member for member in self if member not in without)

    def symmetric_difference(self, other: Iterable[T]) -> OrderedSet[T]:
        others = OrderedSet(other)
        return OrderedSet(chain(self.difference(others), others.difference(self)))

    def update(self, *others: Iterable[Any]) -> None:
        for member in chain(*others):
            self.add(member)

    def intersection_update(self, *others: Iterable[Any]) -> None:
        self._keep(self.intersection(*others))

    def difference_update(self, *others: Iterable[Any]) -> None:
        self._keep(self.difference(*others))

    def symmetric_difference_update(self, other: Iterable[T]) -> None:
        self._keep(self.symmetric_difference(other))

    def _keep(self, members: OrderedSet[T]) -> None:
        for member in self.difference(members):
            self.discard(member)
        self.update(members)


def order_sets_of_asyncio(loop_type: type) -> None:
    """Let asyncio make ordered sets on loops of this type; elsewhere it makes those that it always made.

    Its functions find `set` among the globals of their modules, so code that has imported them already gets it as well. Only
    `all_tasks` has to be replaced itself.
    """

    def make_set(members: Iterable[Any] = ()) -> Any:
        is_ordered = isinstance(asyncio._get_running_loop(), loop_type)  # noqa: SLF001 - None, where there is none
        return OrderedSet(members) if is_ordered else builtins.set(members)

    for module in (tasks, taskgroups):
        module.set = make_set  # type: ignore[attr-defined]
    all_tasks = tasks.all_tasks

    @wraps(all_tasks)
    def all_tasks_in_order(loop: asyncio.AbstractEventLoop | None = None) -> Any:
        loop = loop or asyncio.get_running_loop()
        return OrderedSet(sorted(all_tasks(loop), key=hash)) if isinstance(loop, loop_type) else all_tasks(loop)

    asyncio.all_tasks = tasks.all_tasks = all_tasks_in_order
