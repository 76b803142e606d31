"""Attempts that go on elsewhere: they end with their token, or when their time is up, or when nobody heard of them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.domain.activities.retry import RetryPolicy
from levante_core.domain.dispatch.plan import CancelActivity
from levante_core.domain.dispatch.tasks import ACTIVITY_TASK, ActivityTask
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import ActivityScheduled
from levante_core.protocol import ActivityOptions
from levante_core.protocol.workers import TaskQueue
from levante_core.services.activities.reports import OVERDUE, SILENT, ActivityService, GrantedReport
from levante_core.storage import keys
from levante_core.storage.attempts import attempt_number, failed_attempts
from tests.support.engines import carry_out_changes
from tests.support.faults import OvertakenStore
from tests.support.place import POOL, SPACE, Place

ACTIVITY = TaskQueue.ACTIVITY
FAILURE = Failure(message="no answer")


class DeferredAttempt:
    """An attempt that goes on elsewhere, and the messages about it, as the change feed sends them.

    checked: what workers were told who had such a message.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.run = place.start()
        options = ActivityOptions(retry=RetryPolicy(max_attempts=9, initial_interval_seconds=0))
        place.commit(self.run, 1, ActivityScheduled(seq=1, name="a", input={}, options=options))
        self.checked: list[ActivityTask | None] = []
        self._seen: str | None = None
        self.carry_out()
        place.lose_messages()

    def defer(self, seconds: float, heartbeat_seconds: float | None = None, attempt: int = 1) -> bool:
        """Let the attempt go on elsewhere for so long."""
        grant = self.place.attempt(self.run, attempt)
        wanted = self.place.engine.activities.defer(grant, timedelta(seconds=seconds), heartbeat_seconds)
        self.carry_out()
        return wanted

    def heartbeat(self, *details: Any) -> bool:
        """Send a heartbeat of attempt 1."""
        wanted = self.place.engine.activities.heartbeat(self.place.attempt(self.run), details)
        self.carry_out()
        return wanted

    def carry_out(self) -> None:
        """Do what the change feed asks for."""
        self._seen = carry_out_changes(self.place, self.place.engine, self._seen)

    def pass_time(self, seconds: int) -> None:
        """Let time pass, second by second, and whoever gets a message about the attempt check it."""
        for _ in range(seconds):
            self.place.clock.advance(1)
            self.check_all()

    def check_all(self) -> None:
        """Let whoever gets a message about the attempt check it."""
        for body in self.place.due():
            self.place.engine.due.handle(body)
        for body in self.place.emptied(ACTIVITY):
            self.checked.append(self.check(ACTIVITY_TASK.validate_json(body)))

    def check(self, task: ActivityTask, receive_count: int = 1) -> ActivityTask | None:
        """Check a message about an attempt."""
        return self.place.engine.activities.check(self.place.attempt(self.run, task.attempt), task, receive_count)

    @property
    def failed(self) -> list[Failure]:
        """How attempts ended that others follow."""
        item = self.place.store.get(keys.attempt(self.run, 1))
        return [one.failure for one in failed_attempts(item)] if item else []


@pytest.fixture
def deferred(place: Place) -> DeferredAttempt:
    return DeferredAttempt(place)


@pytest.mark.parametrize(
    ("seconds", "heartbeat_seconds", "ends_after", "how"),
    [(60, None, 60, OVERDUE), (60, 10, 10, SILENT), (10, 60, 10, OVERDUE), (10, 10, 10, OVERDUE)],
)
def test_attempt_when_nobody_is_heard_of_then_it_fails_at_the_first_of_its_limits(
    deferred: DeferredAttempt, seconds: float, heartbeat_seconds: float | None, ends_after: int, how: Failure
) -> None:
    """Not before, and not only when all its time is up: whoever was to end it may have died long before."""
    assert deferred.defer(seconds, heartbeat_seconds)
    deferred.pass_time(ends_after - 1)
    assert deferred.failed == []
    deferred.pass_time(1)
    assert deferred.failed == [how]


def test_attempt_when_it_is_heard_of_then_it_may_be_silent_for_so_long_from_then_on_but_not_beyond_its_time(
    deferred: DeferredAttempt,
) -> None:
    """Each heartbeat puts off the end; the messages of the ones before mean nothing any more."""
    deferred.defer(30, 10)
    for number in range(3):
        deferred.pass_time(8)
        assert deferred.heartbeat(number)
    deferred.pass_time(5)
    assert deferred.failed == []
    deferred.pass_time(1)
    assert deferred.failed == [OVERDUE]


def test_attempt_when_it_stops_being_heard_of_then_it_is_silent(deferred: DeferredAttempt) -> None:
    """The time counts from its last heartbeat."""
    deferred.defer(60, 10)
    deferred.pass_time(8)
    deferred.heartbeat()
    deferred.pass_time(9)
    assert deferred.failed == []
    deferred.pass_time(1)
    assert deferred.failed == [SILENT]


def test_heartbeat_when_the_attempt_has_no_limit_for_silence_then_nothing_is_put_off(deferred: DeferredAttempt) -> None:
    """Its time is what it is; what it said of itself is kept for the next attempt."""
    deferred.defer(20)
    deferred.pass_time(15)
    assert deferred.heartbeat("half")
    deferred.pass_time(5)
    assert deferred.failed == [OVERDUE]
    deferred.check_all()
    (following,) = [task for task in deferred.checked if task]
    assert (following.attempt, following.details) == (2, ("half",))


@pytest.mark.parametrize("says_something", [False, True])
def test_attempts_when_some_failed_before_then_these_are_not_forgotten(
    deferred: DeferredAttempt, *, says_something: bool
) -> None:
    """Readers of the stream see each attempt that failed, whatever the following one does."""
    place, run = deferred.place, deferred.run
    assert place.report(run, 1, failure=FAILURE)
    assert deferred.defer(60, 10, attempt=2)
    if says_something:
        place.engine.activities.heartbeat(place.attempt(run, 2), [])
        assert deferred.failed == [FAILURE]
    deferred.place.lose_messages()
    assert place.report(run, 2, failure=FAILURE)
    assert deferred.failed == [FAILURE, FAILURE]


def test_message_when_it_comes_again_or_early_then_the_attempt_goes_on(deferred: DeferredAttempt) -> None:
    """Nobody runs it, so that no worker was lost with it; clocks that differ by a second make no difference."""
    deferred.defer(60)
    run = deferred.run
    task = ActivityTask(
        workspace=SPACE,
        execution_id=run.execution_id,
        run_id=run.run_id,
        deployment_name=POOL,
        fresh_at=deferred.place.clock.now(),
        seq=1,
        scheduled_in=1,
        attempt=1,
    )
    for _ in range(2):
        assert deferred.check(task, receive_count=2) is None
        assert deferred.failed == []
        deferred.place.clock.advance(58.5)
    assert deferred.failed == []


def test_message_when_it_comes_a_moment_early_then_it_counts(deferred: DeferredAttempt) -> None:
    """It is the only one: whoever sent it may have a clock that goes before."""
    deferred.defer(60)
    deferred.place.clock.advance(60)
    (body,) = deferred.place.due()
    deferred.place.engine.due.handle(body)
    (task,) = deferred.place.tasks(ACTIVITY)
    deferred.place.clock.advance(-1)
    assert deferred.check(task) is None
    assert deferred.failed == [OVERDUE]


def test_deferral_when_the_activity_is_asked_to_end_then_its_worker_is_told(deferred: DeferredAttempt) -> None:
    """It goes on elsewhere all the same, until somebody ends it, or its time is up; then no attempt follows."""
    cancel = CancelActivity(deferred.run, POOL, 1, is_awaited=True)
    place = deferred.place
    place.engine.activities.cancel(cancel)
    assert not deferred.defer(10)
    place.engine.activities.cancel(cancel)
    assert place.load(deferred.run).facts == ()
    deferred.pass_time(10)
    (fact,) = place.load(deferred.run).facts
    assert isinstance(fact.input.model_dump()["failure"], dict)
    assert deferred.failed == []


def overtaken(place: Place, act: Callable[[], object]) -> ActivityService:
    items = OffloadingStore(OvertakenStore(place.store, act), place.payloads)
    return ActivityService(items, place.clock, place.engine.dispatch)


def test_deferral_when_the_attempt_has_failed_meanwhile_then_the_next_one_is_current(deferred: DeferredAttempt) -> None:
    """What came too late must not bring an attempt back."""
    place, run = deferred.place, deferred.run
    service = overtaken(place, lambda: place.report(run, failure=FAILURE))
    assert not service.defer(place.attempt(run), timedelta(seconds=60), 10)
    item = place.store.get(keys.attempt(run, 1))
    assert item is not None
    assert attempt_number(item) == 2


def test_attempt_when_it_is_ended_with_its_token_then_its_time_limit_means_nothing_any_more(
    deferred: DeferredAttempt,
) -> None:
    """The first who says how it ended is right; whoever comes later learns that nobody waits."""
    place, run = deferred.place, deferred.run
    deferred.defer(10)
    assert place.engine.activities.end(GrantedReport(place.attempt(run), result="signed"))
    deferred.pass_time(11)
    assert not place.engine.activities.end(GrantedReport(place.attempt(run), result="again"))
    assert [fact.input.model_dump()["result"] for fact in place.load(run).facts] == ["signed"]
