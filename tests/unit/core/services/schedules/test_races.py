"""Schedules when they are changed, stepped or deleted between what was read of them and the write."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.names import ExecutionId, WorkflowName
from levante_core.domain.schedules.spec import PartialScheduleDefinition, ScheduleDefinition, ScheduleOverlapPolicy
from levante_core.domain.schedules.state import Schedule
from levante_core.errors import ScheduleExists, ScheduleNotFound
from levante_core.ports.item_store import Query
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.workers import RegisterRequest, TaskQueue
from levante_core.services.executions.run_filter import RunFilter
from levante_core.services.executions.start import StartRequest
from levante_core.services.schedules.schedules import Target
from levante_core.storage import keys
from tests.support.place import DEPLOYMENT, SPACE, Place
from tests.support.races import races

HOUR = timedelta(hours=1)
ALLOW = ScheduleOverlapPolicy.ALLOW_ALL
PARTITION = keys.schedules(SPACE)


@pytest.fixture(autouse=True)
def _workflow(place: Place) -> None:
    """Have a workflow that schedules can start."""
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={}, execution_timeout=timedelta(days=30))
    request = RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w")
    place.engine.catalogue.register(SPACE, request)


def make(place: Place, **given: Any) -> Schedule:
    """Make a schedule that starts an execution every hour."""
    definition = {"schedule_id": "s", "input": {}, "intervals": [{"every": "PT1H"}], "policy": {"overlap": ALLOW}, **given}
    return place.engine.schedules.create(SPACE, Target(WorkflowName("w")), ScheduleDefinition.model_validate(definition))


def kept(place: Place) -> Schedule:
    return place.engine.schedules.get(SPACE, "s")


def look(place: Place) -> None:
    place.engine.schedules.look(SPACE, "s")


def started(place: Place) -> list[str]:
    """Return the ids of all executions there are, in order."""
    listed = place.engine.executions.list_runs(
        SPACE, workflow=None, wanted=RunFilter(), descending=False, page_size=100, after=None
    )
    return sorted(run.key.execution_id for run in listed.runs)


# --- stepping ---------------------------------------------------------------------------------------------------------


@races("schedules._take Matches")
def test_time_when_somebody_else_looks_meanwhile_then_one_execution_starts(place: Place) -> None:
    """The message of a time and the sweep may come at once; each time is dealt with once."""
    make(place)
    place.clock.advance(HOUR.total_seconds())
    with place.racing.before_write(lambda: look(place)):
        look(place)
    assert started(place) == ["s-20260101T010000Z"]
    assert kept(place).state.running == ("s-20260101T010000Z",)
    assert len(place.tasks(TaskQueue.WORKFLOW)) == 1


@races("schedules._take Matches")
def test_time_when_somebody_else_starts_its_execution_before_the_id_is_looked_for_then_no_other_one_starts(
    place: Place,
) -> None:
    """The id is taken by what this very time has started, and not by a user."""
    make(place)
    place.clock.advance(HOUR.total_seconds())
    of_the_time = keys.execution(SPACE, ExecutionId("s-20260101T010000Z")).partition
    with place.racing.before_read(lambda: look(place), of_the_time):
        look(place)
    assert started(place) == ["s-20260101T010000Z"]
    assert kept(place).state.running == ("s-20260101T010000Z",)


@races("schedules._take Matches")
@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda schedules: schedules.pause(SPACE, "s", "why"), (True, "why")),
        (lambda schedules: schedules.update(SPACE, "s", PartialScheduleDefinition(input={"is": "new"})), (False, None)),
    ],
    ids=["pause", "update"],
)
def test_time_when_the_schedule_is_changed_meanwhile_then_the_change_counts_for_it(
    place: Place, act: Callable[[Any], None], expected: tuple[bool, str | None]
) -> None:
    """No execution starts by what the schedule was when it was read, and the change is not overwritten."""
    make(place)
    place.clock.advance(HOUR.total_seconds())
    with place.racing.before_write(lambda: act(place.engine.schedules)):
        look(place)
    assert started(place) == []
    assert (kept(place).state.paused, kept(place).state.note) == expected


@races("schedules._take Matches")
def test_time_when_the_schedule_is_deleted_meanwhile_then_nothing_starts_and_it_stays_gone(place: Place) -> None:
    """Whoever deletes a schedule sees no more of it."""
    make(place)
    place.clock.advance(HOUR.total_seconds())
    with place.racing.before_write(lambda: place.engine.schedules.delete(SPACE, "s")):
        look(place)
    assert started(place) == []
    with pytest.raises(ScheduleNotFound):
        kept(place)


@races("schedules._take Matches")
def test_time_when_another_schedule_takes_the_id_meanwhile_then_that_one_is_kept_as_it_was_made(place: Place) -> None:
    """It counts from when it was made: times before that are none of its own."""
    make(place)
    place.clock.advance(HOUR.total_seconds())

    def replace() -> None:
        place.engine.schedules.delete(SPACE, "s")
        make(place, input={"of": "another"})

    with place.racing.before_write(replace):
        look(place)
    assert started(place) == []
    assert kept(place).definition.input == {"of": "another"}


@races("schedules._take Absent")
def test_time_when_its_execution_id_is_taken_meanwhile_then_it_starts_under_another_one(place: Place) -> None:
    """Users may start executions under any id; a time is not lost by that, and their execution goes on."""
    make(place)
    place.clock.advance(HOUR.total_seconds())
    taken = "s-20260101T010000Z"
    request = StartRequest(input="a user's", execution_id=taken)
    with place.racing.before_write(lambda: place.engine.executions.start(SPACE, "w", request)):
        look(place)
    assert place.engine.executions.get(SPACE, taken).start.input == "a user's"
    first, second = started(place)
    assert (first, kept(place).state.running) == (taken, (second,))
    assert second.startswith(f"{taken}-")


@races("schedules._take Matches")
def test_end_of_an_execution_when_a_time_comes_meanwhile_then_neither_is_forgotten(place: Place) -> None:
    """What runs is kept with the schedule; two who look see each other's."""
    make(place)
    place.clock.advance(HOUR.total_seconds())
    look(place)
    place.engine.closing.terminate(SPACE, ExecutionId("s-20260101T010000Z"))
    place.clock.advance(HOUR.total_seconds())
    with place.racing.before_write(lambda: look(place), nth=1):
        look(place)
    assert started(place) == ["s-20260101T010000Z", "s-20260101T020000Z"]
    assert kept(place).state.running == ("s-20260101T020000Z",)


# --- changing ---------------------------------------------------------------------------------------------------------


@races("schedules.create Absent")
def test_create_when_another_takes_the_id_meanwhile_then_that_one_stays(place: Place) -> None:
    """Somebody else's schedule is never replaced without a word."""
    with place.racing.before_write(lambda: make(place, input="first")), pytest.raises(ScheduleExists):
        make(place, input="second")
    assert kept(place).definition.input == "first"


@races("schedules.delete Matches")
def test_delete_when_somebody_else_deletes_it_meanwhile_then_that_is_said(place: Place) -> None:
    """One of both has deleted it."""
    make(place)
    delete = place.engine.schedules.delete
    with place.racing.before_write(lambda: delete(SPACE, "s")), pytest.raises(ScheduleNotFound):
        delete(SPACE, "s")


@races("schedules._change Matches")
@pytest.mark.parametrize(
    "change",
    [
        lambda schedules: schedules.pause(SPACE, "s", "why"),
        lambda schedules: schedules.redefine(SPACE, "s", schedules.get(SPACE, "s").definition),
        lambda schedules: schedules.update(SPACE, "s", PartialScheduleDefinition(input={"is": "new"})),
    ],
    ids=["pause", "redefine", "update"],
)
def test_change_when_a_time_is_dealt_with_meanwhile_then_no_execution_starts_again(
    place: Place, change: Callable[[Any], None]
) -> None:
    """How far a schedule has come, and what it runs, is not set back by a change that was asked for before."""
    make(place)
    place.clock.advance(HOUR.total_seconds() - 1)

    def let_time_come() -> None:
        place.clock.advance(1)
        look(place)

    with place.racing.before_write(let_time_come):
        change(place.engine.schedules)
    assert kept(place).state.running == ("s-20260101T010000Z",)
    place.engine.schedules.resume(SPACE, "s", None)
    look(place)
    assert started(place) == ["s-20260101T010000Z"]


@races("schedules._change Matches")
def test_changes_when_another_is_made_meanwhile_then_both_count(place: Place) -> None:
    """Two people change different things."""
    make(place)
    schedules = place.engine.schedules
    changes = PartialScheduleDefinition(input={"is": "new"})
    with place.racing.before_write(lambda: schedules.update(SPACE, "s", changes)):
        schedules.pause(SPACE, "s", "why")
    assert (kept(place).state.paused, kept(place).definition.input) == (True, {"is": "new"})


@races("schedules._change Matches")
def test_triggers_when_another_is_made_meanwhile_then_each_starts_an_execution(place: Place) -> None:
    """Whoever triggers a schedule gets an execution."""
    make(place)
    schedules = place.engine.schedules
    with place.racing.before_write(lambda: schedules.trigger(SPACE, "s", ALLOW)):
        schedules.trigger(SPACE, "s", ALLOW)
    assert len(started(place)) == 2
    assert set(kept(place).state.running) == set(started(place))


@races("schedules._change Matches")
def test_change_when_the_schedule_is_deleted_meanwhile_then_it_stays_gone(place: Place) -> None:
    """A change makes no schedule."""
    make(place)
    schedules = place.engine.schedules
    with place.racing.before_write(lambda: schedules.delete(SPACE, "s")), pytest.raises(ScheduleNotFound):
        schedules.pause(SPACE, "s", None)
    assert place.store.query(Query(PARTITION)).items == []


@races("schedules._change Matches")
def test_resume_when_somebody_resumed_it_before_then_times_since_then_are_not_skipped(place: Place) -> None:
    """Only what passed while it was paused is not caught up."""
    make(place)
    schedules = place.engine.schedules
    schedules.pause(SPACE, "s", None)
    with place.racing.before_write(lambda: schedules.resume(SPACE, "s", "first")):
        schedules.resume(SPACE, "s", "second")
    place.clock.advance(HOUR.total_seconds())
    schedules.resume(SPACE, "s", "third")
    look(place)
    assert started(place) == ["s-20260101T010000Z"]
    assert kept(place).state.note == "third"
