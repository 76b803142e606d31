"""Queues in this process: names, callers that wait, and one lock around the state of each queue.

The queues are gone when the process ends, which is allowed: everything in them can be derived from the table.
"""

import itertools
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from levante_core.adapters.message_rules import check_message
from levante_core.errors import NotFound
from levante_core.ports.queues import Backlog, HeldMessage, OutgoingMessage, ReceivedMessage
from levante_core.ports.surroundings import Clock
from levante_local.greenlets import Signal
from levante_local.queues.state import QueueSizes, QueueState

RESTORED_WITHIN = timedelta(seconds=10)
"""So long after the start of this process, workers may present leases that an earlier one gave them."""
STALLED_AFTER = timedelta(seconds=3)
HEARD_WITHIN = timedelta(seconds=2)
ATTENDED_WITHIN = timedelta(seconds=1)
"""Between two polls of a worker there are moments without it."""


class _Served:
    """A queue and the receivers that wait at it, in line, each with the time at which it looks again by itself."""

    def __init__(self, receipts: Iterator[str]) -> None:
        self.state = QueueState(receipts)
        self._line: OrderedDict[Signal, datetime] = OrderedDict()
        self._left_at: datetime | None = None

    def is_attended(self, now: datetime) -> bool:
        """Whether somebody waits or holds a message, or did so a moment ago."""
        was_there = self._left_at is not None and now - self._left_at <= ATTENDED_WITHIN
        return self.state.has_held or bool(self._line) or was_there

    def line_up(self, deadline: datetime) -> tuple[Signal, datetime]:
        """Join the line. Returns the signal to wait for, and until when."""
        signal = Signal()
        until = min(deadline, self.state.next_due() or deadline)
        self._line[signal] = until
        return signal, until

    def leave(self, signal: Signal, now: datetime) -> None:
        """Leave the line, if still in it."""
        self._left_at = now
        self._line.pop(signal, None)

    def wake_if_needed(self) -> None:
        """Wake the first in line if there is something to take, or something due before anyone would look again."""
        due_at = self.state.next_due()
        if self._line and (self.state.is_available or (due_at and due_at < min(self._line.values()))):
            self.wake_first()

    def wake_first(self) -> None:
        """Let the first in line look again."""
        signal, _ = self._line.popitem(last=False)
        signal.give()

    def wake_all(self) -> None:
        """Let everybody look again."""
        while self._line:
            self.wake_first()


class InProcessQueues:
    """Queues with the semantics of SQS, for one process; thread safe, and idle while nothing is due.

    A receipt is lost as soon as its visibility has ended, whether or not the message was received again. SQS does so
    for FIFO queues ("The receipt handle has expired"; Source: API reference, DeleteMessage, read 2026-11-23); for
    standard queues it may be more lenient, and nobody should count on that.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._made_at = clock.now()
        self._seen_alive_at: datetime | None = None
        self._lock = threading.Lock()
        self._queues: dict[str, _Served] = {}
        self._process = secrets.token_urlsafe(16)  # a receipt of an earlier process must not fit a message of this one
        self._receipts = (f"{self._process}.{number}" for number in itertools.count())

    @property
    def forgot_before(self) -> datetime:
        """See Queues: what an earlier process was sent ended with it."""
        return self._made_at

    def ensure(self, queue: str) -> None:
        """Create the queue unless it is there."""
        with self._lock:
            if queue not in self._queues:
                self._queues[queue] = _Served(self._receipts)

    def sizes(self) -> dict[str, QueueSizes]:
        """Count the messages of each queue."""
        with self._lock:
            return {name: served.state.sizes() for name, served in self._queues.items()}

    def send(self, queue: str, messages: Sequence[OutgoingMessage]) -> None:
        """Send messages in order, all or none.

        Raises: NotFound for an unknown queue; ValueError for a message that a queue of this kind does not take.
        """
        for message in messages:
            check_message(queue, message)
        with self._change(queue) as (state, now):
            for message in messages:
                state.accept(message, now)

    def receive(
        self, queue: str, *, limit: int, wait_seconds: float, visibility_seconds: float, consumer: str | None = None
    ) -> list[ReceivedMessage]:
        """Take up to `limit` messages, waiting up to `wait_seconds` for the first.

        A receiver that waits is woken by what happens, or at the time at which something falls due; it never polls.
        Whoever leaves, in whatever way, wakes the next in line if there is more to take or to look out for.
        Raises: NotFound for an unknown queue.
        """
        if limit < 1:
            msg = f"limit {limit}: a receive takes at least one message"
            raise ValueError(msg)
        deadline = self._clock.now() + timedelta(seconds=wait_seconds)
        visibility = timedelta(seconds=visibility_seconds)
        while True:
            with self._change(queue) as (state, now):
                taken = state.take(limit, consumer, now + visibility)
                if taken or now >= deadline:
                    return taken
                signal, until = self._queues[queue].line_up(deadline)
            self._wait(queue, signal, (until - now).total_seconds())

    def extend(self, queue: str, receipts: Sequence[str], visibility_seconds: float) -> list[str]:
        """Let messages stay invisible for so long from now; 0 hands them back at once. Returns the receipts that are lost.

        Raises: NotFound for an unknown queue.
        """
        with self._change(queue) as (state, now):
            if visibility_seconds > 0:
                until = now + timedelta(seconds=visibility_seconds)
                return [receipt for receipt in receipts if not state.extend(receipt, until)]
            return [receipt for receipt in receipts if not state.hand_back(receipt)]

    def backlog(self, queue: str) -> Backlog:
        """See Queues. Raises: NotFound for an unknown queue."""
        with self._change(queue) as (state, _):
            return state.backlog()

    def is_attended(self, queue: str) -> bool:
        """See Queues. Raises: NotFound for an unknown queue."""
        with self._change(queue) as (_, now):
            return self._queues[queue].is_attended(now)

    def consumer_of(self, queue: str, group: str) -> str | None:
        """See Queues. Raises: NotFound for an unknown queue."""
        with self._change(queue) as (state, _):
            return state.consumer_of(group)

    def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """Remove messages that were dealt with. A lost receipt is ignored. Raises: NotFound for an unknown queue."""
        with self._change(queue) as (state, _):
            for receipt in receipts:
                state.delete(receipt)

    def restore(self, queue: str, messages: Sequence[HeldMessage], visibility_seconds: float) -> Sequence[str]:
        """Hold messages again that an earlier process had handed out. See Queues."""
        if self._clock.now() - self._made_at > RESTORED_WITHIN:
            return ()
        self.ensure(queue)
        earlier = [message for message in messages if not message.receipt.startswith(f"{self._process}.")]
        with self._change(queue) as (state, now):
            until = now + timedelta(seconds=visibility_seconds)
            taken = {message.group for message in earlier if message.group and state.is_held(message.group)}
            free = [message for message in earlier if message.group not in taken]
            for message in free:
                state.restore(message, now, until)
        return [message.receipt for message in free]

    def note_alive(self) -> None:
        """Say that this process runs, at least every STALLED_AFTER.

        After a longer pause, such as that of a machine that slept, no lease has ended meanwhile: the workers that hold them
        have waited to be heard, and are heard first.
        """
        with self._lock:
            self._postpone_if_stalled(self._clock.now())

    def release_consumer(self, consumer: str) -> None:
        """Hand back at once, in all queues, what a consumer holds: it is gone."""
        for queue in tuple(self._queues):
            with self._change(queue) as (state, _):
                state.hand_back_all(consumer)

    def wake(self) -> None:
        """Look at the clock again: for a clock that was set, which waiting receivers cannot notice."""
        with self._lock:
            for served in self._queues.values():
                served.wake_all()

    @contextmanager
    def _change(self, queue: str) -> Iterator[tuple[QueueState, datetime]]:
        """Give the queue's state as of now, and wake a receiver afterwards if the change concerns one."""
        with self._lock:
            served = self._queues.get(queue)
            if served is None:
                msg = f"queue {queue!r} does not exist: `ensure` creates it"
                raise NotFound(msg)
            now = self._clock.now()
            if self._seen_alive_at is not None:
                self._postpone_if_stalled(now)
            served.state.bring_back_due(now)
            try:
                yield served.state, now
            finally:
                served.wake_if_needed()

    def _postpone_if_stalled(self, now: datetime) -> None:
        last, self._seen_alive_at = self._seen_alive_at, now
        if last is not None and now - last > STALLED_AFTER:
            for served in self._queues.values():
                served.state.postpone(now + HEARD_WITHIN)

    def _wait(self, queue: str, signal: Signal, seconds: float) -> None:
        try:
            signal.wait(seconds)
        except BaseException:
            with self._lock:
                self._queues[queue].leave(signal, self._clock.now())
                self._queues[queue].wake_if_needed()  # this one may have been woken for something
            raise
        with self._lock:
            self._queues[queue].leave(signal, self._clock.now())
