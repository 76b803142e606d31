"""Tasks from the queues themselves: access that ends, queues that refuse, polls that are given up."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from levante.errors import WorkflowsException
from levante.testing import run_in_virtual_time
from levante.worker.tasks import queue_source
from levante.worker.tasks.queue_source import MOST_SECONDS, RENEW_BEFORE, QueueTasks
from levante.worker.transport.retrying import FIRST_RETRY_SECONDS
from levante_core.domain.dispatch.tasks import WorkflowTask
from levante_core.domain.names import ExecutionId, RunId, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import LevanteError
from levante_core.protocol.queue_access import QueueAccess, QueueCredentials
from levante_core.protocol.workers import HandBack, TaskQueue
from tests.fakes import FakeClock

TASK = WorkflowTask(
    workspace=Workspace("s"),
    execution_id=ExecutionId("e"),
    run_id=RunId("r"),
    deployment_name=WorkerPool.parse("d"),
    fresh_at=FakeClock().now(),
    token="token",
)


@dataclass
class Message:
    body: str = TASK.model_dump_json()
    receipt: str = "receipt"
    receive_count: int = 2


@dataclass
class Queues:
    """Queues that give one message, or refuse what they are asked."""

    refusals: list[LevanteError] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)
    is_waiting: bool = False

    def receive(self, queue: str, **wanted: Any) -> Sequence[Message]:
        self._ask("receive", queue, wanted)
        return [Message()]

    def extend(self, queue: str, receipts: Sequence[str], visibility_seconds: float) -> Sequence[str]:
        self._ask("extend", queue, (*receipts, visibility_seconds))
        return receipts[1:]

    def delete(self, queue: str, receipts: Sequence[str]) -> None:
        self._ask("delete", queue, tuple(receipts))

    def _ask(self, *what: Any) -> None:
        self.is_waiting = not self.may_answer.is_set()
        assert self.may_answer.wait(10)
        self.asked.append(what)
        if self.refusals:
            raise self.refusals.pop(0)


class ThroughApi:
    """What is left of the API's part."""

    def __init__(self) -> None:
        self.handed_back: list[HandBack] = []

    async def hand_back(self, _: TaskQueue, returned: Sequence[HandBack]) -> None:
        self.handed_back += returned


class Place:
    """A task source on fakes. asked: how often access was asked for."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queues = Queues()
        self.queues.may_answer.set()
        self.api = ThroughApi()
        self.asked = 0
        self.refusal: Exception | None = None
        through_api: Any = self.api
        self.tasks = QueueTasks(through_api, self.ask, lambda _: self.queues, self.clock.now)

    async def ask(self) -> QueueAccess:
        self.asked += 1
        if self.refusal:
            raise self.refusal
        credentials = QueueCredentials(
            access_key_id="id",
            secret_access_key="hush",
            session_token="hush-hush",
            expires_at=self.clock.now() + timedelta(hours=1),
        )
        return QueueAccess(region="r", workflow_queue="w.fifo", activity_queue="a.fifo", credentials=credentials)


def on_a_loop(test: Callable[[Place], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        async def with_place() -> None:
            place = Place()
            try:
                await test(place)
            finally:
                await place.tasks.close()

        asyncio.run(with_place())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_source, "FIRST_RETRY_SECONDS", 0.0)


@on_a_loop
async def test_poll_when_a_message_comes_then_it_is_delivered_as_the_api_would(place: Place) -> None:
    """A message is a task, its receipt and how often it was delivered; leases are as long as those of the API."""
    (delivered,) = await place.tasks.poll(TaskQueue.WORKFLOW, 7)
    assert (delivered.task, delivered.receipt, delivered.receive_count) == (TASK, "receipt", 2)
    assert place.queues.asked == [("receive", "w.fifo", {"limit": 7, "wait_seconds": 20, "visibility_seconds": 30})]


@on_a_loop
async def test_leases_when_extended_or_done_then_the_queue_of_the_task_is_asked(place: Place) -> None:
    """Each kind of task has its queue; lost receipts are told."""
    assert await place.tasks.extend(TaskQueue.ACTIVITY, ["a", "b"]) == ["b"]
    await place.tasks.done(TaskQueue.ACTIVITY, ["a"])
    assert place.queues.asked == [("extend", "a.fifo", ("a", "b", 30)), ("delete", "a.fifo", ("a",))]
    assert place.asked == 1


@on_a_loop
async def test_access_when_it_is_about_to_end_then_it_is_renewed_before(place: Place) -> None:
    """No call is made with credentials that might end while it is under way."""
    await place.tasks.done(TaskQueue.WORKFLOW, ["a"])
    place.clock.advance((timedelta(hours=1) - RENEW_BEFORE).total_seconds() - 1)
    await place.tasks.done(TaskQueue.WORKFLOW, ["a"])
    assert place.asked == 1
    place.clock.advance(1)
    await asyncio.gather(*[place.tasks.done(TaskQueue.WORKFLOW, ["a"]) for _ in range(5)])
    assert place.asked == 2, "and many at once ask once"


@on_a_loop
async def test_queues_when_they_refuse_then_access_is_asked_for_anew_and_the_call_repeated(place: Place) -> None:
    """Credentials that were revoked, a queue that was deleted: the API mends both."""
    place.queues.refusals = [LevanteError("ExpiredToken"), LevanteError("no such queue")]
    assert len(await place.tasks.poll(TaskQueue.WORKFLOW, 1)) == 1
    assert (place.asked, len(place.queues.asked)) == (3, 3)


@on_a_loop
async def test_access_when_the_api_refuses_the_worker_then_the_poll_ends_with_that(place: Place) -> None:
    """A worker whose key was revoked stops, and says why."""
    await place.tasks.poll(TaskQueue.WORKFLOW, 1)
    place.refusal = WorkflowsException("revoked", status=401)
    place.queues.refusals = [LevanteError("ExpiredToken")]
    with pytest.raises(WorkflowsException, match="revoked"):
        await place.tasks.poll(TaskQueue.WORKFLOW, 1)


@on_a_loop
async def test_poll_when_it_is_cancelled_then_what_it_still_gets_is_handed_back(place: Place) -> None:
    """A worker that stops loses no task over the poll that is under way: that would count as a lost worker."""
    await place.tasks.done(TaskQueue.WORKFLOW, ["a"])
    place.queues.may_answer.clear()
    polling = asyncio.create_task(place.tasks.poll(TaskQueue.WORKFLOW, 1))
    while not place.queues.is_waiting:
        await asyncio.sleep(0)
    polling.cancel()
    with suppress(asyncio.CancelledError):
        await polling
    assert polling.cancelled()
    place.queues.may_answer.set()
    await place.tasks.close()
    assert place.api.handed_back == [HandBack(receipt="receipt", token=TASK.token)]


@on_a_loop
async def test_close_when_what_a_poll_got_cannot_be_handed_back_then_that_is_logged(place: Place) -> None:
    """It comes again when its lease ends; the other polls' tasks are handed back all the same."""
    refused: list[Sequence[HandBack]] = []
    hand_back = place.api.hand_back

    async def refuse_once(queue: TaskQueue, returned: Sequence[HandBack]) -> None:
        if not refused:
            refused.append(returned)
            raise WorkflowsException("no")
        await hand_back(queue, returned)

    place.api.hand_back = refuse_once  # type: ignore[method-assign,assignment] # fails once
    await place.tasks.done(TaskQueue.WORKFLOW, ["a"])
    place.queues.may_answer.clear()
    polling = [asyncio.create_task(place.tasks.poll(queue, 1)) for queue in TaskQueue]
    while not place.queues.is_waiting:
        await asyncio.sleep(0)
    for poll in polling:
        poll.cancel()
    await asyncio.gather(*polling, return_exceptions=True)
    place.queues.may_answer.set()
    await place.tasks.close()
    assert (len(refused), len(place.api.handed_back)) == (1, 1)


@on_a_loop
async def test_tasks_when_they_are_handed_back_then_the_api_makes_the_copies(place: Place) -> None:
    """The queues themselves have no part in it."""
    back = HandBack(receipt="receipt", token="token")
    await place.tasks.hand_back(TaskQueue.ACTIVITY, [back])
    assert (place.api.handed_back, place.queues.asked) == ([back], [])


def test_leases_when_the_queues_refuse_for_long_then_that_is_raised_while_polls_go_on() -> None:
    """A lease that cannot be extended in 20 s is as good as lost; a poll has nothing else to do than to try again."""
    refused = LevanteError("no such queue")
    seconds: list[float] = []

    class AtOnce(QueueTasks):
        def _in_thread(self, call: Callable[[], Any]) -> Any:
            future = asyncio.get_running_loop().create_future()
            try:
                future.set_result(call())
            except LevanteError as error:
                future.set_exception(error)
            return future

    async def scenario() -> None:
        place = Place()
        through_api: Any = place.api
        tasks = AtOnce(through_api, place.ask, lambda _: place.queues, place.clock.now)
        place.queues.refusals = [refused] * 10_000
        clock = asyncio.get_running_loop().time
        for call in (tasks.extend, tasks.done):
            began = clock()
            with pytest.raises(LevanteError, match="no such queue"):
                await call(TaskQueue.ACTIVITY, ["a"])
            seconds.append(clock() - began)
        poll = asyncio.create_task(tasks.poll(TaskQueue.ACTIVITY, 1))
        before = len(place.queues.asked)
        await asyncio.sleep(600)
        assert not poll.done()
        assert 100 < len(place.queues.asked) - before < 300, "its pauses grow up to a limit"
        place.queues.refusals.clear()
        assert len(await poll) == 1

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(queue_source, "FIRST_RETRY_SECONDS", FIRST_RETRY_SECONDS)
        run_in_virtual_time(scenario())
    assert all(MOST_SECONDS / 2 < one <= MOST_SECONDS for one in seconds)


@on_a_loop
async def test_access_when_it_was_renewed_meanwhile_then_a_late_refusal_does_not_end_it(place: Place) -> None:
    """A call that began with the old credentials asks with the new ones next."""
    await place.tasks.done(TaskQueue.WORKFLOW, ["a"])
    place.queues.may_answer.clear()
    slow = asyncio.create_task(place.tasks.done(TaskQueue.WORKFLOW, ["slow"]))
    while not place.queues.is_waiting:
        await asyncio.sleep(0)
    place.clock.advance(3600)
    place.queues.refusals = [LevanteError("ExpiredToken")]
    newer = await place.tasks._connected()
    place.queues.may_answer.set()
    await slow
    assert await place.tasks._connected() is newer
    assert place.asked == 2


def test_credentials_when_shown_then_their_secrets_are_not() -> None:
    """Secrets never reach logs."""
    access = asyncio.run(Place().ask())
    assert "hush" not in repr(access)
    assert "hush" not in str(access.credentials)
