"""One queue as data: what waits, what is held, what falls due. Nothing here knows a clock, blocks or locks.

A message belongs to a group, and a group with a held message gives out no more. A message of a standard queue is a
group of its own, and a delayed one is held by nobody, so one rule serves for all of them. No operation looks through
messages or groups: each costs O(log n) at most.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from levante_core.ports.queues import DEDUPLICATION_SECONDS, Backlog, HeldMessage, OutgoingMessage, ReceivedMessage


@dataclass(frozen=True, slots=True)
class QueueSizes:
    """How many messages a queue has. waiting: to be taken. in_flight: taken. delayed: not to be taken yet."""

    waiting: int = 0
    in_flight: int = 0
    delayed: int = 0

    def __add__(self, other: "QueueSizes") -> "QueueSizes":
        return QueueSizes(self.waiting + other.waiting, self.in_flight + other.in_flight, self.delayed + other.delayed)


@dataclass(slots=True, eq=False)
class _Group:
    """Messages of which at most one receive holds some at a time. `waiting` is a heap, in the order of acceptance."""

    name: str | None
    waiting: list[tuple[int, "_Message"]] = field(default_factory=list)
    held: int = 0


@dataclass(slots=True, eq=False)
class _Message:
    """A message that was accepted and not deleted. `due_at`: when it comes back by itself, None while it waits."""

    position: int
    body: str
    group: _Group
    sent_at: datetime
    due_at: datetime | None = None
    receipt: str | None = None
    receive_count: int = 0
    consumer: str | None = None


class _Agenda:
    """When held messages come back. Entries whose message has another due time by now are skipped."""

    def __init__(self) -> None:
        self._entries: list[tuple[datetime, int, _Message]] = []
        self._order = itertools.count()
        self._outdated = 0

    def __len__(self) -> int:
        return len(self._entries) - self._outdated

    def put(self, message: _Message, due_at: datetime) -> None:
        """Let the message come back then, and not at any time set before."""
        if message.due_at == due_at:
            return
        self.take_off(message)
        message.due_at = due_at
        heapq.heappush(self._entries, (due_at, next(self._order), message))

    def take_off(self, message: _Message) -> None:
        """Let the message not come back by itself."""
        if message.due_at is not None:
            message.due_at = None
            self._outdated += 1
            if self._outdated > 64 + len(self._entries) // 2:  # keeps the heap in proportion to what is held
                self._entries = [entry for entry in self._entries if entry[2].due_at == entry[0]]
                heapq.heapify(self._entries)
                self._outdated = 0

    def next_due(self) -> datetime | None:
        """When the next message comes back, None if none will."""
        while self._entries:
            due_at, _, message = self._entries[0]
            if message.due_at == due_at:
                return due_at
            heapq.heappop(self._entries)
            self._outdated -= 1
        return None

    def pop_due(self, now: datetime) -> Iterator[_Message]:
        """Take off what is due, earliest first."""
        while (due_at := self.next_due()) is not None and due_at <= now:
            message = heapq.heappop(self._entries)[2]
            message.due_at = None
            yield message


class QueueState:
    """The messages of one queue. Every method takes the time, or expects that `bring_back_due` was called for it."""

    def __init__(self, receipts: Iterator[str]) -> None:
        self._receipts = receipts
        self._positions = itertools.count()
        self._groups: dict[str, _Group] = {}
        self._available: deque[_Group] = deque()
        self._held: dict[str, _Message] = {}
        self._held_by: dict[str, set[str]] = {}
        self._agenda = _Agenda()
        self._accepted: deque[tuple[datetime, str]] = deque()
        self._accepted_ids: set[str] = set()

    @property
    def is_available(self) -> bool:
        """Whether there is a message to take."""
        return bool(self._available)

    @property
    def has_held(self) -> bool:
        """Whether some message is in flight."""
        return bool(self._held)

    def sizes(self) -> QueueSizes:
        """Count the messages by what may be done with them."""
        unnamed = sum(len(group.waiting) for group in self._available if group.name is None)
        waiting = unnamed + sum(len(group.waiting) for group in self._groups.values())
        return QueueSizes(waiting, len(self._held), len(self._agenda) - len(self._held))

    def backlog(self) -> Backlog:
        """Count the messages, and say since when the oldest of those waits that may be taken."""
        groups = [*self._groups.values(), *(group for group in self._available if group.name is None)]
        sent = (message.sent_at for group in groups for _, message in group.waiting)
        sizes = self.sizes()
        return Backlog(sizes.waiting, sizes.in_flight, sizes.delayed, min(sent, default=None))

    def next_due(self) -> datetime | None:
        """When the next message becomes available by itself."""
        return self._agenda.next_due()

    def accept(self, sent: OutgoingMessage, now: datetime) -> None:
        """Take a message in, unless its deduplication id was accepted within five minutes, dealt with or not."""
        if sent.deduplication_id is not None and not self._is_first(sent.deduplication_id, now):
            return
        group = _Group(None) if sent.group is None else self._groups.setdefault(sent.group, _Group(sent.group))
        message = _Message(next(self._positions), sent.body, group, sent_at=now)
        if sent.delay_seconds:
            group.held += 1
            self._agenda.put(message, now + timedelta(seconds=sent.delay_seconds))
            return
        heapq.heappush(group.waiting, (message.position, message))
        if group.held == 0 and len(group.waiting) == 1:
            self._available.append(group)

    def take(self, limit: int, consumer: str | None, visible_again_at: datetime) -> list[ReceivedMessage]:
        """Hand out messages: the group that has been available for longest first, and all it has before the next."""
        taken: list[ReceivedMessage] = []
        while self._available and len(taken) < limit:
            group = self._available.popleft()
            while group.waiting and len(taken) < limit:
                taken.append(self._hold(heapq.heappop(group.waiting)[1], consumer, visible_again_at))
        return taken

    def is_held(self, group_name: str) -> bool:
        """Whether some message of a group is in flight."""
        group = self._groups.get(group_name)
        return group is not None and group.held > 0

    def consumer_of(self, group_name: str) -> str | None:
        """Name who holds a message of a group, if somebody does."""
        if not self.is_held(group_name):
            return None
        consumers = (message.consumer for message in self._held.values() if message.group.name == group_name)
        return next(consumers, None)

    def restore(self, held: HeldMessage, now: datetime, visible_again_at: datetime) -> None:
        """Hold a message of a queue that was lost, before whatever waits in its group."""
        name = held.group
        group = _Group(None) if name is None else self._groups.setdefault(name, _Group(name))
        message = _Message(-next(self._positions), held.body, group, sent_at=now)
        if group in self._available:
            self._available.remove(group)
        message.receipt, message.consumer, message.receive_count = held.receipt, held.consumer, 1
        group.held += 1
        self._held[held.receipt] = message
        self._held_by.setdefault(held.consumer, set()).add(held.receipt)
        self._agenda.put(message, visible_again_at)

    def postpone(self, until: datetime) -> None:
        """Let no message in flight come back before this time."""
        for message in self._held.values():
            if message.due_at is not None and message.due_at < until:
                self._agenda.put(message, until)

    def extend(self, receipt: str, visible_again_at: datetime) -> bool:
        """Let a held message come back at another time. False if the receipt is lost."""
        message = self._held.get(receipt)
        if message is None:
            return False
        self._agenda.put(message, visible_again_at)
        return True

    def hand_back(self, receipt: str) -> bool:
        """Make a held message available again, in its old place. False if the receipt is lost."""
        message = self._held.get(receipt)
        if message is None:
            return False
        self._bring_back(message)
        return True

    def hand_back_all(self, consumer: str) -> None:
        """Make everything available again that a consumer holds."""
        for receipt in tuple(self._held_by.get(consumer, ())):
            self.hand_back(receipt)

    def delete(self, receipt: str) -> None:
        """Remove a held message. A lost receipt is ignored."""
        message = self._held.get(receipt)
        if message is not None:
            self._let_go(message)

    def bring_back_due(self, now: datetime) -> None:
        """Make available what is due: visibility that ended, delays that are over."""
        for message in self._agenda.pop_due(now):
            self._bring_back(message)

    def _is_first(self, deduplication_id: str, now: datetime) -> bool:
        """Remember an id from its first acceptance on; a repeat does not prolong that."""
        forgotten = now - timedelta(seconds=DEDUPLICATION_SECONDS)
        while self._accepted and self._accepted[0][0] <= forgotten:
            self._accepted_ids.remove(self._accepted.popleft()[1])
        if deduplication_id in self._accepted_ids:
            return False
        self._accepted.append((now, deduplication_id))
        self._accepted_ids.add(deduplication_id)
        return True

    def _hold(self, message: _Message, consumer: str | None, visible_again_at: datetime) -> ReceivedMessage:
        receipt = next(self._receipts)
        message.receipt, message.consumer = receipt, consumer
        message.receive_count += 1
        message.group.held += 1
        self._held[receipt] = message
        if consumer is not None:
            self._held_by.setdefault(consumer, set()).add(receipt)
        self._agenda.put(message, visible_again_at)
        return ReceivedMessage(message.body, receipt, message.receive_count, message.sent_at, message.group.name)

    def _bring_back(self, message: _Message) -> None:
        heapq.heappush(message.group.waiting, (message.position, message))
        self._let_go(message)

    def _let_go(self, message: _Message) -> None:
        """Hold the message no longer; a group of which nothing is held is available, or gone if it is empty."""
        self._agenda.take_off(message)
        if message.receipt is not None:
            del self._held[message.receipt]
            self._leave_consumer(message, message.receipt)
        message.receipt = message.consumer = None
        group = message.group
        group.held -= 1
        if group.held == 0 and group.waiting:
            self._available.append(group)
        elif group.held == 0 and group.name is not None:
            del self._groups[group.name]

    def _leave_consumer(self, message: _Message, receipt: str) -> None:
        if message.consumer is not None:
            held = self._held_by[message.consumer]
            held.discard(receipt)
            if not held:
                del self._held_by[message.consumer]
