"""Races: what somebody else does between what a writer has read and what it writes, and which conditions there are."""

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TypeVar

from levante_core.adapters.offloading import OffloadingStore
from levante_core.ports.item_store import ConditionFailed, Item, ItemStore, Key, Page, Query, Write
from levante_core.ports.surroundings import PayloadStore

Test = TypeVar("Test", bound=Callable[..., object])

CONDITIONS = (
    *("Absent", "Matches", "AbsentOrMatches", "open_run", "open_run_as_read", "closed_run", "unchanged_run"),
    "progress_update",
)
"""What makes a condition of a write, functions of the storage included."""


class RacingStore(OffloadingStore):
    """A store in which somebody else acts, once, right before a write or a read."""

    def __init__(self, store: ItemStore, payloads: PayloadStore) -> None:
        super().__init__(store, payloads)
        self._awaited: Iterator[None] | None = None
        self._is_awaited: Callable[[str | Write], object] = bool

    def before_write(
        self, act: Callable[[], object], *, of: Callable[[Write], object] = lambda write: write.condition, nth: int = 1
    ) -> AbstractContextManager[None]:
        """Let somebody act right before the n-th write of a kind; any that has a condition unless said otherwise."""
        return self._overtaken(act, lambda step: not isinstance(step, str) and of(step), nth)

    def before_read(self, act: Callable[[], object], partition: str, *, nth: int = 1) -> AbstractContextManager[None]:
        """Let somebody act right before the n-th look at a partition: what was read earlier is old by then."""
        return self._overtaken(act, lambda step: step == partition, nth)

    @contextmanager
    def _overtaken(self, act: Callable[[], object], is_awaited: Callable[[str | Write], object], nth: int) -> Iterator[None]:
        self._is_awaited, self._awaited = is_awaited, _acting(act, nth)
        next(self._awaited)
        yield
        assert self._awaited is None, "nobody was overtaken"

    def get(self, key: Key) -> Item | None:
        """See ItemStore."""
        self._meet(key.partition)
        return super().get(key)

    def query(self, query: Query) -> Page:
        """See ItemStore."""
        if query.index is None:
            self._meet(query.partition)
        return super().query(query)

    def write(self, *writes: Write) -> None:
        """See ItemStore."""
        self._meet(*writes)
        super().write(*writes)

    def write_each(self, groups: Sequence[Sequence[Write]]) -> list[ConditionFailed | None]:
        """See ItemStore."""
        self._meet(*chain.from_iterable(groups))
        return super().write_each(groups)

    def _meet(self, *steps: str | Write) -> None:
        """Go on towards the act, if this is what it waits for; what the act itself does is not met."""
        if self._awaited and any(map(self._is_awaited, steps)):
            awaited, self._awaited = self._awaited, None
            with suppress(StopIteration):
                next(awaited)
                self._awaited = awaited


def _acting(act: Callable[[], object], nth: int) -> Iterator[None]:
    for _ in range(nth):
        yield
    act()


def races(*conditions: str) -> Callable[[Test], Test]:
    """Say which conditions a test is about, as `conditions_in` names them."""
    assert conditions
    return lambda test: test


def raced_in(paths: Iterable[Path]) -> list[str]:
    """Return the conditions that the tests in these files are about."""
    calls = (node for path in paths for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return [ast.literal_eval(argument) for call in calls if _called(call) == "races" for argument in call.args]


def conditions_in(path: Path) -> list[str]:
    """Name the conditions that a module makes: `module.function condition`, with a number from the second of a kind on."""
    found: list[str] = []

    def visit(node: ast.AST, owner: str) -> None:
        if isinstance(node, ast.FunctionDef):
            owner = f"{path.stem}.{node.name}" if owner == path.stem else owner
        if isinstance(node, ast.Call) and _called(node) in CONDITIONS:
            name = f"{owner} {_called(node)}"
            number = sum(one.split(" ")[:2] == name.split(" ") for one in found) + 1
            found.append(name if number == 1 else f"{name} {number}")
        for child in ast.iter_child_nodes(node):
            visit(child, owner)

    visit(ast.parse(path.read_text()), path.stem)
    return found


def _called(call: ast.Call) -> str | None:
    """Return the name of what is called, whatever it is an attribute of."""
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", None)
