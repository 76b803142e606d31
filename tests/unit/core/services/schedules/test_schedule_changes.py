"""What users and code do with schedules: pause, update, trigger, delete, declare."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.names import WorkflowName
from levante_core.domain.schedules.spec import PartialScheduleDefinition, ScheduleDefinition
from levante_core.errors import InvalidInput, InvalidSchedule, NotFound, ScheduleExists, ScheduleNotFound
from levante_core.services.schedules.schedules import Target
from tests.support.place import DEPLOYMENT, SPACE, Place
from tests.unit.core.services.schedules.sweeps import (
    ALLOW,
    BUFFER_ALL,
    HOURLY,
    SPEC,
    START,
    end,
    look,
    make,
    runs,
    started,
    state,
)


def test_pause_when_resumed_then_what_was_missed_is_not_caught_up(served: Place) -> None:
    """Notes are kept."""
    make(served, policy={"overlap": ALLOW})
    served.engine.schedules.pause(SPACE, "s", "holidays")
    served.clock.advance(3 * 3600)
    look(served)
    assert (runs(served), state(served).note) == ([], "holidays")
    served.engine.schedules.resume(SPACE, "s", None)
    served.clock.advance(3600)
    look(served)
    assert started(served) == ["04:00"]


def test_pause_when_a_time_waits_then_it_waits_until_resumed(served: Place) -> None:
    """Also when the execution that it waited for has ended; what somebody asks for does not wait."""
    make(served, policy={"overlap": BUFFER_ALL})
    served.clock.advance(2 * 3600)
    look(served)
    served.engine.schedules.pause(SPACE, "s", None)
    end(served)
    look(served)
    assert (started(served), len(state(served).waiting)) == (["01:00"], 1)
    served.engine.schedules.trigger(SPACE, "s", None)
    assert started(served) == ["01:00", "02:00"], "by hand, at two o'clock"
    end(served)
    served.engine.schedules.resume(SPACE, "s", None)
    look(served)
    assert (len(runs(served)), state(served).waiting) == (3, ())


def test_coming_when_asked_for_then_it_is_the_next_ten_or_what_is_left(served: Place) -> None:
    """None while it is paused."""
    schedules = served.engine.schedules
    hours = [START + timedelta(hours=hour) for hour in range(1, 11)]
    assert make(served, "any").coming(served.clock.now()) == hours
    assert make(served, "few", max_executions=2).coming(served.clock.now()) == hours[:2]
    schedules.pause(SPACE, "any", None)
    assert schedules.get(SPACE, "any").coming(served.clock.now()) == []


def test_update_when_it_does_not_go_with_the_rest_then_nothing_changes(served: Place) -> None:
    """The end of one and the start of the other."""
    make(served, end_at="2026-02-01T00:00:00Z")
    changes = PartialScheduleDefinition.model_validate({"start_at": "2026-03-01T00:00:00Z"})
    with pytest.raises(InvalidSchedule, match="end_at comes before start_at"):
        served.engine.schedules.update(SPACE, "s", changes)
    assert served.engine.schedules.get(SPACE, "s").definition.start_at is None


def test_trigger_when_paused_or_overlapping_then_the_overlap_policy_decides(served: Place) -> None:
    """The schedule's own, unless another one is named."""
    schedules = served.engine.schedules
    make(served)
    schedules.pause(SPACE, "s", None)
    schedules.trigger(SPACE, "s", None)
    assert len(runs(served)) == 1
    schedules.trigger(SPACE, "s", None)
    assert len(runs(served)) == 1
    schedules.trigger(SPACE, "s", ALLOW)
    assert len(runs(served)) == 2
    assert len({run.key.execution_id for run in runs(served)}) == 2


def test_update_when_times_change_then_they_count_from_now_on(served: Place) -> None:
    """No time of the new ones is caught up; what is not named stays."""
    make(served, policy={"overlap": ALLOW}, max_executions=3)
    served.clock.advance(3600)
    look(served)
    served.clock.advance(1800)
    changes = PartialScheduleDefinition.model_validate({"intervals": [{"every": "PT10M"}]})
    served.engine.schedules.update(SPACE, "s", changes)
    look(served)
    assert started(served) == ["01:00"]
    served.clock.advance(600)
    look(served)
    assert started(served) == ["01:00", "01:40"]
    schedule = served.engine.schedules.get(SPACE, "s")
    assert (schedule.definition.policy.overlap, schedule.state.remaining) == (ALLOW, 1)


def test_delete_when_done_then_messages_on_their_way_do_nothing(served: Place) -> None:
    """A schedule made anew under the id is another one."""
    make(served)
    served.engine.schedules.delete(SPACE, "s")
    served.clock.advance(3600)
    look(served)
    assert runs(served) == []
    make(served)
    look(served)
    assert runs(served) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda schedules: schedules.get(SPACE, "nobody"),
        lambda schedules: schedules.delete(SPACE, "nobody"),
        lambda schedules: schedules.pause(SPACE, "nobody", None),
        lambda schedules: schedules.resume(SPACE, "nobody", None),
        lambda schedules: schedules.trigger(SPACE, "nobody", None),
        lambda schedules: schedules.update(SPACE, "nobody", PartialScheduleDefinition()),
    ],
)
def test_schedule_when_there_is_none_then_that_is_said(served: Place, call: Callable[[Any], None]) -> None:
    """Each of the calls that name one."""
    with pytest.raises(ScheduleNotFound, match="no schedule has the id 'nobody'"):
        call(served.engine.schedules)


def test_create_when_it_cannot_work_then_nothing_is_made(served: Place) -> None:
    """An id that is taken or out of form, an input that does not fit, a workflow that nobody has."""
    make(served)
    with pytest.raises(ScheduleExists, match="'s' exists"):
        make(served)
    with pytest.raises(InvalidInput, match="schedule_id 'a b' is not allowed"):
        make(served, "a b")
    with pytest.raises(InvalidInput, match="object"):
        make(served, "t", input=3)
    with pytest.raises(NotFound):
        served.engine.schedules.create(SPACE, Target(WorkflowName("nobody")), ScheduleDefinition(input={}))
    assert [one.schedule_id for one in served.engine.schedules.all(SPACE)] == ["s"]


def test_declared_when_code_changes_then_schedules_follow_and_stay_paused(served: Place) -> None:
    """Made, changed and removed; others of the workspace are left alone."""
    schedules, declared = served.engine.schedules, served.engine.declared_schedules
    make(served, "by-hand")

    def declare(*given: dict[str, Any]) -> None:
        definitions = tuple(ScheduleDefinition.model_validate(one) for one in given)
        declared.carry_out(declared.changes(SPACE, DEPLOYMENT, [SPEC.model_copy(update={"schedules": definitions})]))

    for _ in range(2):
        declare({"input": {}, **HOURLY}, {"input": {}, "cron_expressions": ["0 9 * * *"], "schedule_id": "daily"})
    first, daily = (one for one in schedules.all(SPACE) if one.declared_by)
    assert {first.schedule_id, daily.schedule_id} == {"daily", f"w-{max(first.schedule_id, daily.schedule_id)[2:]}"}
    schedules.pause(SPACE, "daily", "not now")
    version = schedules.get(SPACE, "daily").version
    declare({"input": {}, "cron_expressions": ["0 9 * * *"], "schedule_id": "daily"})
    assert [one.schedule_id for one in schedules.all(SPACE)] == ["by-hand", "daily"]
    assert schedules.get(SPACE, "daily").version == version
    declare({"input": {}, "cron_expressions": ["0 10 * * *"], "schedule_id": "daily"})
    changed = schedules.get(SPACE, "daily")
    assert (changed.definition.cron_expressions, changed.state.paused, changed.state.note) == (
        ("0 10 * * *",),
        True,
        "not now",
    )
    with pytest.raises(ScheduleExists):
        declare({"input": {}, **HOURLY, "schedule_id": "by-hand"})
    with pytest.raises(InvalidInput, match="schedule 'wrong' of workflow 'w': "):
        declare({"input": 3, **HOURLY, "schedule_id": "wrong"})
