"""Effects of several kinds: in which order they are carried out, and what becomes of the rest when one fails."""

from dataclasses import replace
from datetime import timedelta

import pytest

from levante_core.domain.dispatch.plan import CancelActivity, DeleteRest, Effect, LookAtSchedule, RunExpired, SendTask
from levante_core.domain.dispatch.tasks import WorkflowTask
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ActivityScheduled
from levante_core.domain.names import WorkflowName
from levante_core.domain.schedules.spec import ScheduleDefinition
from levante_core.errors import Unavailable, Unreadable
from levante_core.ports.item_store import Put, Query
from levante_core.protocol.workers import TaskQueue
from levante_core.services.schedules.schedules import Target
from levante_core.storage import keys
from tests.support.engines import SEND, WRITE, Log, another
from tests.support.faults import Fate, OneFault, Outage
from tests.support.place import POOL, SPACE, Place


def begun(place: Place) -> RunKey:
    """Start an execution with an activity, and lose its messages."""
    run = place.start()
    place.commit(run, 1, ActivityScheduled(seq=1, name="a", input={}))
    place.lose_messages()
    return run


def send(place: Place, run: RunKey) -> SendTask:
    return SendTask(WorkflowTask.of(run, POOL, place.clock.now()), "id")


def cancel(run: RunKey, seq: int = 1) -> CancelActivity:
    return CancelActivity(run, POOL, seq)


def is_cancelled(place: Place, run: RunKey, seq: int = 1) -> bool:
    return place.store.get(keys.fact(run, keys.outcome_fact(seq))) is not None


def damaged_schedule(place: Place) -> LookAtSchedule:
    """Make a schedule that nobody can read, and an effect that has to."""
    place.start()
    given = {"input": {}, "intervals": [{"every": "PT1H"}], "schedule_id": "bad"}
    definition = ScheduleDefinition.model_validate(given)
    place.engine.schedules.create(SPACE, Target(WorkflowName("w")), definition)
    item = place.store.get(keys.schedule(SPACE, "bad"))
    assert item is not None
    place.store.write(Put(replace(item, documents=dict.fromkeys(item.documents, "{"))))
    return LookAtSchedule(SPACE, "bad")


def test_effects_when_there_are_messages_then_these_are_sent_first(place: Place) -> None:
    """Workers wait for them, and for nothing else."""
    run = begun(place)
    log = Log()
    another(place, log).effects.carry_out([cancel(run), send(place, run)])
    assert log.operations.index(SEND) < log.operations.index(WRITE)
    assert is_cancelled(place, run)
    assert len(place.emptied(TaskQueue.WORKFLOW)) == 1


def test_effects_when_messages_cannot_be_sent_then_nothing_else_is_done(place: Place) -> None:
    """The whole batch comes again."""
    run = begun(place)
    with pytest.raises(Unavailable):
        another(place, Outage({SEND})).effects.carry_out([cancel(run), send(place, run)])
    assert not is_cancelled(place, run)


def test_effects_when_something_is_deleted_then_that_is_done_last(place: Place) -> None:
    """What the others write into a history would outlive it otherwise."""
    run = begun(place)
    effects: list[Effect] = [DeleteRest(RunExpired(run, run.execution_id, is_latest=False)), cancel(run)]
    place.engine.effects.carry_out(effects)
    assert place.store.query(Query(keys.history(SPACE, run.run_id))).items == []


def test_effects_when_one_fails_then_the_others_are_carried_out_and_the_first_error_is_told(place: Place) -> None:
    """What is wrong with one record keeps no other from going on."""
    run, bad = begun(place), damaged_schedule(place)
    place.lose_messages()
    engine = another(place, OneFault("write", 1, Fate.CRASHED, is_armed=True))
    with pytest.raises(RuntimeError, match="on purpose"):
        engine.effects.carry_out([cancel(run, 1), bad, cancel(run, 2)])
    assert (is_cancelled(place, run, 1), is_cancelled(place, run, 2)) == (False, True)
    with pytest.raises(Unreadable):
        place.engine.effects.carry_out([bad, cancel(run, 3)])
    assert is_cancelled(place, run, 3)


def test_effects_when_something_is_unavailable_then_that_is_told_at_once(place: Place) -> None:
    """What is down is down for the others too; all of it comes again."""
    run = begun(place)
    engine = another(place, OneFault("write", 1, Fate.REFUSED, is_armed=True))
    with pytest.raises(Unavailable):
        engine.effects.carry_out([cancel(run, 1), cancel(run, 2)])
    assert not is_cancelled(place, run, 2)


def test_effects_when_they_are_salted_then_the_messages_come_again(place: Place) -> None:
    """Who knows that a message is lost has it sent under another id."""
    run = begun(place)
    for salt in ("", "", ":1"):
        place.engine.effects.carry_out([send(place, run)], salt=salt)
    assert len(place.emptied(TaskQueue.WORKFLOW)) == 2


def test_schedule_when_an_execution_of_it_has_ended_then_it_is_looked_at(place: Place) -> None:
    """Something may wait for that end."""
    place.start()
    given = {"input": {}, "intervals": [{"every": "PT1H"}], "schedule_id": "s"}
    place.engine.schedules.create(SPACE, Target(WorkflowName("w")), ScheduleDefinition.model_validate(given))
    place.lose_messages()
    place.clock.advance(timedelta(hours=1).total_seconds())
    place.engine.effects.carry_out([LookAtSchedule(SPACE, "s")])
    assert len(place.emptied(TaskQueue.WORKFLOW)) == 1
