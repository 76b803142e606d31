"""A store and queues that fail as those of AWS may, by a schedule that a test chooses."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from functools import partial
from random import Random
from typing import Protocol, TypeVar

from levante_core.errors import Unavailable
from levante_core.ports.item_store import ConditionFailed, Item, ItemStore, Key, Page, Query, Write
from levante_core.ports.queues import Backlog, HeldMessage, OutgoingMessage, Queues, ReceivedMessage

T = TypeVar("T")

LATE_SECONDS = 400.0
"""Longer than a FIFO queue drops repeats, and than a task is believed without being asked about."""


class Fate(Enum):
    """What becomes of an operation.

    REFUSED: nothing is done, and Unavailable says so. UNANSWERED: it is done, and Unavailable is all that the caller hears.
    CRASHED: nothing is done, and the error is none that anybody expects. LOST: nothing is done, and the caller hears of
    success. DOUBLED: done twice. LATE: success as well, but it is done after LATE_SECONDS.
    """

    DONE = auto()
    REFUSED = auto()
    UNANSWERED = auto()
    CRASHED = auto()
    LOST = auto()
    DOUBLED = auto()
    LATE = auto()


class Faults(Protocol):
    """Decides what becomes of each operation. Its name says who does what: `stream.send`, `api.write`."""

    def fate(self, operation: str) -> Fate:
        """Decide."""
        ...


class _NoFaults:
    def fate(self, operation: str) -> Fate:
        return Fate.DONE


NO_FAULTS: Faults = _NoFaults()


@dataclass
class OneFault:
    """The operation at one position, counted from 1 over all operations of a kind, fails; the others do not.

    It counts while it is armed; at position 0 it does nothing else.
    """

    kind: str
    position: int
    how: Fate
    is_armed: bool = False
    count: int = 0

    def fate(self, operation: str) -> Fate:
        """See Faults."""
        if not self.is_armed or operation.rpartition(".")[2] != self.kind:
            return Fate.DONE
        self.count += 1
        return self.how if self.count == self.position else Fate.DONE


@dataclass
class Outage:
    """These operations fail, in this way, for as long as it lasts. met: how many did."""

    operations: Collection[str]
    how: Fate = Fate.REFUSED
    is_on: bool = True
    met: int = 0

    def fate(self, operation: str) -> Fate:
        """See Faults."""
        if not self.is_on or operation not in self.operations:
            return Fate.DONE
        self.met += 1
        return self.how


@dataclass
class RandomFaults:
    """Operations fail with the given probabilities. rates: by operation, or by kind of operation, then by fate."""

    seed: int
    rates: Mapping[str, Mapping[Fate, float]]
    met: Counter[tuple[str, Fate]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311 - chooses faults, keeps no secrets

    def fate(self, operation: str) -> Fate:
        """See Faults."""
        rates = self.rates.get(operation) or self.rates.get(operation.rpartition(".")[2]) or {}
        drawn = self._random.random()
        for fate, rate in rates.items():
            if drawn < rate:
                self.met[operation, fate] += 1
                return fate
            drawn -= rate
        return Fate.DONE


@dataclass
class Operations:
    """The operations of one program."""

    program: str
    faults: Faults

    def carry_out(self, kind: str, whole: Callable[[], T], *, part: Callable[[], object], lost: T) -> T:
        """Do what a caller asked for, or not. part: what is done all the same when the call is refused."""
        match self.faults.fate(f"{self.program}.{kind}"):
            case Fate.REFUSED:
                part()
                raise Unavailable(f"{self.program}: {kind} is refused, on purpose")
            case Fate.UNANSWERED:
                self._done_unheard(whole)
                raise Unavailable(f"{self.program}: {kind} is done, but nobody says so, on purpose")
            case Fate.CRASHED:
                raise RuntimeError(f"{self.program}: {kind} fails, on purpose")
            case Fate.LOST:
                return lost
            case Fate.LATE:
                asyncio.get_running_loop().call_later(LATE_SECONDS, whole)
                return lost
            case Fate.DOUBLED:
                whole()
                return whole()
            case _:
                return whole()

    @staticmethod
    def _done_unheard(whole: Callable[[], object]) -> None:
        try:
            whole()
        except ConditionFailed:
            return


def _nothing() -> None:
    return None


class FaultyStore:
    """An ItemStore that fails at times."""

    def __init__(self, store: ItemStore, operations: Operations) -> None:
        self._store = store
        self._operations = operations

    def get(self, key: Key) -> Item | None:
        """See ItemStore."""
        return self._operations.carry_out("read", lambda: self._store.get(key), part=_nothing, lost=None)

    def write(self, *writes: Write) -> None:
        """See ItemStore."""
        self._operations.carry_out("write", lambda: self._store.write(*writes), part=_nothing, lost=None)

    def write_each(self, groups: Sequence[Sequence[Write]]) -> list[ConditionFailed | None]:
        """See ItemStore. When it is refused, half of the groups were carried out."""
        if not groups:
            return []
        half = groups[: len(groups) // 2]
        return self._operations.carry_out(
            "write", lambda: self._store.write_each(groups), part=lambda: self._store.write_each(half), lost=[]
        )

    def query(self, query: Query) -> Page:
        """See ItemStore."""
        return self._operations.carry_out("read", lambda: self._store.query(query), part=_nothing, lost=Page([]))


class CountingStore(FaultyStore):
    """Fails never, and counts the reads and the writes that are tried. items: handed out by queries."""

    def __init__(self, store: ItemStore) -> None:
        super().__init__(store, Operations("counted", self))
        self.reads = self.items = self.writes = 0

    def fate(self, operation: str) -> Fate:
        """See Faults."""
        self.reads += operation.endswith("read")
        self.writes += operation.endswith("write")
        return Fate.DONE

    def query(self, query: Query) -> Page:
        """See ItemStore."""
        page = super().query(query)
        self.items += len(page.items)
        return page


class OvertakenStore(FaultyStore):
    """Lets somebody else act right before the first write, with all that the writer knows read already."""

    def __init__(self, store: ItemStore, act: Callable[[], object]) -> None:
        super().__init__(store, Operations("overtaken", NO_FAULTS))
        self._acts = iter([act])

    def write(self, *writes: Write) -> None:
        """See ItemStore."""
        self._overtake()
        super().write(*writes)

    def write_each(self, groups: Sequence[Sequence[Write]]) -> list[ConditionFailed | None]:
        """See ItemStore."""
        self._overtake()
        return super().write_each(groups)

    def _overtake(self) -> None:
        for act in self._acts:
            act()


class FaultyQueues:
    """Queues that fail at times. delivered: counts the messages that each queue hands out."""

    def __init__(self, queues: Queues, operations: Operations, delivered: Counter[str]) -> None:
        self._queues = queues
        self._delivered = delivered
        self._operations = operations

    @property
    def forgot_before(self) -> datetime | None:
        """See Queues."""
        return self._queues.forgot_before

    def ensure(self, queue: str) -> None:
        """See Queues."""
        self._queues.ensure(queue)

    def restore(self, queue: str, messages: Sequence[HeldMessage], visibility_seconds: float) -> Sequence[str]:
        """See Queues."""
        return self._queues.restore(queue, messages, visibility_seconds)

    def send(self, queue: str, messages: Sequence[OutgoingMessage]) -> None:
        """See Queues. When it is refused, half of the messages were accepted."""
        half = messages[: len(messages) // 2]
        self._operations.carry_out(
            "send", lambda: self._queues.send(queue, messages), part=lambda: self._queues.send(queue, half), lost=None
        )

    def receive(
        self, queue: str, *, limit: int, wait_seconds: float, visibility_seconds: float, consumer: str | None = None
    ) -> list[ReceivedMessage]:
        """See Queues."""

        def receive() -> list[ReceivedMessage]:
            received = self._queues.receive(
                queue, limit=limit, wait_seconds=wait_seconds, visibility_seconds=visibility_seconds, consumer=consumer
            )
            self._delivered[queue] += len(received)
            return received

        return self._operations.carry_out("receive", receive, part=_nothing, lost=[])

    def extend(self, queue: str, receipts: Sequence[str], visibility_seconds: float) -> list[str]:
        """See Queues."""
        extend = partial(self._queues.extend, queue, receipts, visibility_seconds)
        return self._operations.carry_out("extend", extend, part=_nothing, lost=[])

    def backlog(self, queue: str) -> Backlog:
        """See Queues."""
        return self._queues.backlog(queue)

    def is_attended(self, queue: str) -> bool | None:
        """See Queues."""
        return self._queues.is_attended(queue)

    def consumer_of(self, queue: str, group: str) -> str | None:
        """See Queues."""
        return self._queues.consumer_of(queue, group)

    def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """See Queues."""
        delete = partial(self._queues.delete, queue, receipts)
        self._operations.carry_out("delete", delete, part=_nothing, lost=None)
