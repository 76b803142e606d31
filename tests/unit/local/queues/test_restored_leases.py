"""Leases that outlive the process that gave them: workers present them to the next one."""

from collections.abc import Sequence

import pytest

from levante_core.ports.queues import HeldMessage, OutgoingMessage
from levante_local.queues.queues import HEARD_WITHIN, RESTORED_WITHIN, STALLED_AFTER, InProcessQueues
from tests.fakes import FakeClock

QUEUE = "q.fifo"


def held(receipt: str, group: str = "g") -> HeldMessage:
    return HeldMessage(f"body of {receipt}", receipt, group, "worker")


class Restarted:
    """Queues of a process that has just started, and their clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queues = InProcessQueues(self.clock)
        self.queues.ensure(QUEUE)

    def send(self, body: str, group: str = "g") -> None:
        self.queues.send(QUEUE, [OutgoingMessage(body, group, body)])

    def take(self) -> list[tuple[str, int]]:
        found = self.queues.receive(QUEUE, limit=10, wait_seconds=0, visibility_seconds=30)
        return [(message.body, message.receive_count) for message in found]

    def restore(self, *messages: HeldMessage) -> Sequence[str]:
        return self.queues.restore(QUEUE, messages, 30)


@pytest.fixture
def restarted() -> Restarted:
    return Restarted()


def test_lease_when_its_worker_presents_it_to_a_new_process_then_nobody_else_gets_the_task(restarted: Restarted) -> None:
    """What a redrive sends for the same execution waits until the worker has done what it holds."""
    assert restarted.restore(held("old.1")) == ["old.1"]
    restarted.send("sent anew")
    assert restarted.take() == []
    assert restarted.queues.extend(QUEUE, ["old.1"], 30) == []
    restarted.queues.delete(QUEUE, ["old.1"])
    assert restarted.take() == [("sent anew", 1)]


def test_lease_when_its_worker_is_gone_after_all_then_the_task_comes_as_after_any_lost_worker(restarted: Restarted) -> None:
    """It comes before what was sent after it, and counts as delivered before."""
    restarted.send("sent anew")
    restarted.restore(held("old.1"))
    restarted.clock.advance(31)
    assert restarted.take() == [("body of old.1", 2), ("sent anew", 1)]


def test_lease_when_it_is_presented_after_something_was_sent_then_that_waits_all_the_same(restarted: Restarted) -> None:
    """The order in which worker and redrive come makes no difference."""
    restarted.send("sent anew")
    restarted.send("of others", "h")
    assert restarted.restore(held("old.1")) == ["old.1"]
    assert restarted.take() == [("of others", 1)]
    restarted.queues.delete(QUEUE, ["old.1"])
    assert restarted.take() == [("sent anew", 1)]


def test_lease_when_the_connection_of_its_worker_ends_then_it_is_handed_back(restarted: Restarted) -> None:
    """A host that sees a worker go does not wait for its leases to end."""
    restarted.restore(held("old.1"))
    restarted.queues.release_consumer("worker")
    assert restarted.take() == [("body of old.1", 2)]


def test_lease_when_somebody_else_has_the_group_then_it_is_lost(restarted: Restarted) -> None:
    """One worker at a time: who comes too late starts from what is recorded."""
    restarted.send("sent anew")
    assert restarted.take() == [("sent anew", 1)]
    assert restarted.restore(held("old.1"), held("old.2", "h")) == ["old.2"]


def test_lease_when_a_worker_has_several_of_one_group_then_all_stand(restarted: Restarted) -> None:
    """A worker may hold two messages of one execution."""
    assert restarted.restore(held("old.1"), held("old.2")) == ["old.1", "old.2"]
    restarted.send("sent anew")
    restarted.queues.delete(QUEUE, ["old.1"])
    assert restarted.take() == []


def test_lease_when_it_is_presented_late_or_is_of_this_process_then_it_is_lost(restarted: Restarted) -> None:
    """A lease that has ended here has ended."""
    restarted.send("sent")
    (message,) = restarted.queues.receive(QUEUE, limit=1, wait_seconds=0, visibility_seconds=30)
    restarted.queues.delete(QUEUE, [message.receipt])
    assert not restarted.restore(held(message.receipt))
    restarted.clock.advance(RESTORED_WITHIN.total_seconds() + 1)
    assert not restarted.restore(held("old.1"))


def test_leases_when_the_process_stood_still_then_they_end_only_after_their_workers_were_heard(restarted: Restarted) -> None:
    """A machine that slept has not lost its workers."""
    restarted.send("sent")
    restarted.queues.note_alive()
    (message,) = restarted.queues.receive(QUEUE, limit=1, wait_seconds=0, visibility_seconds=30)
    restarted.clock.advance(60)
    assert restarted.take() == []
    assert restarted.queues.extend(QUEUE, [message.receipt], 30) == []
    for _ in range(40):
        restarted.clock.advance(1)
        restarted.queues.note_alive()
    assert restarted.take() == [("sent", 2)]


def test_leases_when_the_process_stood_still_and_nobody_is_heard_then_they_end(restarted: Restarted) -> None:
    """A worker that died meanwhile holds nothing up for long."""
    restarted.send("sent")
    restarted.queues.note_alive()
    restarted.queues.receive(QUEUE, limit=1, wait_seconds=0, visibility_seconds=30)
    restarted.clock.advance(60)
    restarted.queues.note_alive()
    restarted.clock.advance(HEARD_WITHIN.total_seconds())
    assert HEARD_WITHIN < STALLED_AFTER
    assert restarted.take() == [("sent", 2)]


def test_lease_when_nobody_has_made_its_queue_yet_then_it_stands_all_the_same(restarted: Restarted) -> None:
    """Workers may be the first that a new process hears of a deployment."""
    assert restarted.queues.restore("new.fifo", [held("old.1")], 30) == ["old.1"]
    assert restarted.queues.is_attended("new.fifo")


def test_queues_when_time_passes_then_what_they_forgot_is_still_what_was_before_their_start(restarted: Restarted) -> None:
    """What was sent since then is known, and need not be sent again."""
    started_at = restarted.clock.now()
    restarted.clock.advance(60)
    assert restarted.queues.forgot_before == started_at
