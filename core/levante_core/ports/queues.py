"""Queues with the semantics of SQS, FIFO and standard. Adapters: `levante_local.queues.queues`; SQS.

A queue whose name ends in `.fifo` keeps the order within a message group, hands out no message of a group while another
one of it is in flight (unless both come in one receive), and drops a message whose deduplication id it accepted in the same
group within five minutes.
Source: SQS developer guide, FIFO delivery logic (read 2026-11-23).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

MAX_DELAY_SECONDS = 900
"""Longest delay of a message. Source: SQS quotas (read 2026-11-23)."""

DEDUPLICATION_SECONDS = 300
"""How long a FIFO queue remembers a deduplication id. Source: as above."""


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to send. FIFO queues need group and deduplication id and take no delay; standard queues the reverse."""

    body: str
    group: str | None = None
    deduplication_id: str | None = None
    delay_seconds: int = 0


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message in flight: invisible to others until its visibility ends, it is deleted, or it is handed back."""

    body: str
    receipt: str
    receive_count: int
    sent_at: datetime
    group: str | None = None


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """A message in flight, as its consumer remembers it."""

    body: str
    receipt: str
    group: str | None
    consumer: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many messages a queue has. waiting: to be taken. in_flight: taken. delayed: not to be taken yet.

    oldest_sent_at: of those that wait; None if there is none, or if the adapter cannot tell.
    """

    waiting: int = 0
    in_flight: int = 0
    delayed: int = 0
    oldest_sent_at: datetime | None = None


class Queues(Protocol):
    """All queues of an installation, by name.

    Every method but `ensure` raises NotFound for a queue that is not there; every method may raise Unavailable, which is
    safe to repeat.
    """

    @property
    def forgot_before(self) -> datetime | None:
        """What was sent before this time is forgotten, so that a repeat of it is accepted; None if nothing ever is."""
        ...

    def ensure(self, queue: str) -> None:
        """Create the queue unless it is there."""
        ...

    def send(self, queue: str, messages: Sequence[OutgoingMessage]) -> None:
        """Send messages in order; accepted on return. A repeat within five minutes is dropped by FIFO queues."""
        ...

    def receive(
        self, queue: str, *, limit: int, wait_seconds: float, visibility_seconds: float, consumer: str | None = None
    ) -> list[ReceivedMessage]:
        """Take up to `limit` messages, waiting up to `wait_seconds` for the first.

        consumer: who holds them; an adapter that can tell when a consumer is gone hands its messages back.
        """
        ...

    def extend(self, queue: str, receipts: Sequence[str], visibility_seconds: float) -> list[str]:
        """Let messages stay invisible for so long from now; 0 hands them back at once. Returns the lost receipts."""
        ...

    def backlog(self, queue: str) -> Backlog:
        """Count the messages of the queue; of adapters that only know so approximately."""
        ...

    def is_attended(self, queue: str) -> bool | None:
        """Tell whether somebody waits for messages of the queue, or holds some, at this moment; None if nobody can know."""
        ...

    def consumer_of(self, queue: str, group: str) -> str | None:
        """Name the consumer that holds a message of a group; None if nobody does, or nobody can know."""
        ...

    def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """Remove messages that were dealt with. A lost receipt is ignored."""
        ...

    def restore(self, queue: str, messages: Sequence[HeldMessage], visibility_seconds: float) -> Sequence[str]:
        """Hold messages again that an earlier process had handed out, whose queues ended with it.

        Only soon after the start, and only while nobody else has a message of the same group. Returns the receipts of those
        that are held. Queues that outlive processes have none to restore.
        """
        ...
