"""What a schedule does at its times, whoever looks at it, however often, and whatever fails."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import ExecutionCompleted, ExecutionFailed
from levante_core.domain.names import WorkflowName
from levante_core.domain.schedules.spec import PartialScheduleDefinition, ScheduleDefinition, ScheduleOverlapPolicy
from levante_core.domain.schedules.state import Schedule
from levante_core.errors import InvalidInput, InvalidSchedule, NotFound, ScheduleExists, ScheduleNotFound, Unavailable
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.workers import RegisterRequest
from levante_core.services.engine import build_engine
from levante_core.services.executions.run_filter import RunFilter
from levante_core.services.schedules import schedules
from levante_core.services.schedules.schedules import Target
from levante_local.change_watch import LocalChangeWatch
from tests.support.faults import Fate, FaultyQueues, FaultyStore, OneFault, Operations
from tests.support.forms import either
from tests.support.place import DEPLOYMENT, POOL, SPACE, Place

HOURLY = {"intervals": [{"every": "PT1H"}]}
SKIP, BUFFER_ONE, BUFFER_ALL, CANCEL, TERMINATE, ALLOW = ScheduleOverlapPolicy
SPEC = WorkflowSpec(name="w", task_queue="d", input_schema={"type": "object"}, execution_timeout=timedelta(days=30))
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def served(place: Place) -> Place:
    """Have a workflow that schedules can start."""
    serve(place)
    return place


def serve(place: Place) -> None:
    """Register the workflow."""
    request = RegisterRequest(definitions=(SPEC,), deployment_name=DEPLOYMENT, worker_name="w")
    place.engine.catalogue.register(SPACE, request)


def make(place: Place, schedule_id: str = "s", **given: Any) -> Schedule:
    """Make a schedule of the workflow."""
    definition = ScheduleDefinition.model_validate({"input": {}, **HOURLY, "schedule_id": schedule_id, **given})
    return place.engine.schedules.create(SPACE, Target(WorkflowName("w")), definition)


def look(place: Place, schedule_id: str = "s") -> None:
    """Do what its messages ask for."""
    place.engine.schedules.look(SPACE, schedule_id)


def state(place: Place, schedule_id: str = "s") -> Any:
    """Return what the schedule has come to."""
    return place.engine.schedules.get(SPACE, schedule_id).state


def started(place: Place, schedule_id: str = "s") -> list[str]:
    """Return the times of the executions that are remembered, as hours and minutes."""
    return [one.scheduled_at.strftime("%H:%M") for one in state(place, schedule_id).recent]


def runs(place: Place) -> list[Any]:
    """Return every run there is, oldest first."""
    page = place.engine.executions.list_runs(
        SPACE, workflow=None, wanted=RunFilter(), descending=False, page_size=1000, after=None
    )
    return list(page.runs)


def end(place: Place, *, fail: bool = False) -> None:
    """Let every open execution end."""
    for run in runs(place):
        if run.ended_at is None:
            failed = ExecutionFailed(seq=1, failure=Failure(message="no"))
            taken_until = place.engine.executions.get(SPACE, run.key.execution_id).mail_count
            place.commit(run.key, 1, failed if fail else ExecutionCompleted(seq=1, result=None), taken_until=taken_until)


# --- times ------------------------------------------------------------------------------------------------------------


def test_time_when_it_comes_then_an_execution_starts_that_tells_of_its_schedule(served: Place) -> None:
    """Its id tells which time it is of; a message that comes too early, twice or late changes nothing."""
    make(served, input={"a": 1})
    look(served)
    assert runs(served) == []
    served.clock.advance(3600)
    for _ in range(3):
        look(served)
    (run,) = runs(served)
    assert run.key.execution_id == "s-20260101T010000Z"
    execution = served.engine.executions.get(SPACE, run.key.execution_id)
    assert (execution.start.schedule_id, execution.start.input, execution.pool) == ("s", {"a": 1}, POOL)
    (fired,) = state(served).recent
    assert (fired.scheduled_at, fired.started_at, fired.execution_id) == (
        START + timedelta(hours=1),
        served.clock.now(),
        run.key.execution_id,
    )


def test_sweep_when_a_time_is_near_then_a_message_comes_at_that_time(served: Place) -> None:
    """The sweep looks a little further than to its next turn; what is further away costs nothing."""
    make(served)
    served.clock.advance(3600 - 120)
    served.engine.due.sweep()
    assert served.due() == []
    served.clock.advance(60)
    served.engine.due.sweep()
    served.clock.advance(60)
    (body,) = served.due()
    served.engine.due.handle(body)
    assert started(served) == ["01:00"]


def test_schedule_when_its_times_are_closer_than_sweeps_then_each_look_reminds_of_the_next(served: Place) -> None:
    """One message for each time, though several have looked."""
    make(served, intervals=[{"every": "PT10S"}], policy={"overlap": ALLOW})
    bodies = served.due()
    for _ in range(6):
        served.clock.advance(10)
        assert len(bodies) == 0
        bodies = served.due()
        assert len(bodies) == 1
        for _ in range(3):
            served.engine.due.handle(bodies[0])
        bodies = []
    assert len(runs(served)) == 6


def test_time_when_many_look_at_once_then_one_execution_starts(served: Place) -> None:
    """Sweeps that race, messages that come twice."""
    make(served)
    for hour in range(1, 6):
        served.clock.advance(3600)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: look(served), range(8)))
        assert len(runs(served)) == hour
        end(served)


def test_times_when_they_were_missed_then_they_are_caught_up_within_the_window(served: Place) -> None:
    """Nobody was there for five hours; two of them are too long ago."""
    make(served, policy={"overlap": ALLOW, "catchup_window_seconds": 3 * 3600 - 1800})
    served.clock.advance(5 * 3600 + 60)
    look(served)
    assert started(served) == ["03:00", "04:00", "05:00"]


def test_times_when_thousands_were_missed_then_one_look_after_another_deals_with_them(
    served: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look starts 200 executions at most; the next one goes on."""
    assert schedules.MOST_STEPS == 200
    most = either(short=20, full=200)
    monkeypatch.setattr(schedules, "MOST_STEPS", most)
    make(served, intervals=[{"every": "PT1S"}], policy={"overlap": ALLOW})
    served.clock.advance(most * 9 // 4)
    counts = []
    for _ in range(4):
        look(served)
        counts.append(len(runs(served)))
    assert counts == [most, 2 * most, most * 9 // 4, most * 9 // 4]


def test_waiting_when_there_are_more_times_than_may_wait_then_those_beyond_are_dropped(
    served: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is kept with the schedule, which has to fit into an item."""
    monkeypatch.setattr("levante_core.domain.schedules.state.MOST_WAITING", 3)
    make(served, policy={"overlap": BUFFER_ALL})
    for hours, waiting in ((4, 3), (1, 3)):
        served.clock.advance(hours * 3600)
        look(served)
        assert [one.at.strftime("%H:%M") for one in state(served).waiting] == ["02:00", "03:00", "04:00"][:waiting]
    assert started(served) == ["01:00"]


def test_times_when_an_execution_is_open_all_the_while_then_the_missed_ones_are_skipped_at_once(served: Place) -> None:
    """A week of seconds."""
    make(served, intervals=[{"every": "PT10S"}])
    served.clock.advance(10)
    look(served)
    served.clock.advance(7 * 86400)
    for _ in range(3):
        look(served)
    assert len(runs(served)) == 1
    assert state(served).seen_until == served.clock.now()


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.broad(pairs=True)
@pytest.mark.parametrize("how", [Fate.REFUSED, Fate.UNANSWERED, Fate.CRASHED])
@pytest.mark.parametrize("kind", ["read", "write", "send"])
@pytest.mark.parametrize("position", range(1, 7))
@pytest.mark.parametrize("overlap", [ALLOW, TERMINATE, CANCEL, BUFFER_ALL])
def test_look_when_it_fails_anywhere_then_the_next_one_goes_on_and_each_time_comes_once(
    place: Place, overlap: ScheduleOverlapPolicy, position: int, kind: str, how: Fate
) -> None:
    """Before anything was written, or after it was, but nobody heard of it."""
    fault = OneFault(kind, position, how)
    operations = Operations("api", fault)
    store = OffloadingStore(FaultyStore(place.store, operations), place.payloads)
    queues = FaultyQueues(place.queues, operations, Counter())
    engine = build_engine(store, queues, place.clock, RandomIds(), LocalChangeWatch(), fast_path=True)
    with_faults = replace(place, engine=engine)
    serve(with_faults)
    make(with_faults, policy={"overlap": overlap})
    for hour in range(1, 5):
        place.clock.advance(3600)
        fault.is_armed = hour == 2
        with suppress(Unavailable, RuntimeError):
            look(with_faults)
        fault.is_armed = False
        look(with_faults)
        if overlap is not ALLOW and hour != 2:
            end(with_faults)
            look(with_faults)
    times = [run.key.execution_id for run in runs(place)]
    assert len(times) == len(set(times))
    assert times == [f"s-20260101T0{hour}0000Z" for hour in range(1, 5)]


# --- overlaps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlap", "while_open", "once_ended"),
    [
        (SKIP, ["01:00"], ["01:00"]),
        (BUFFER_ONE, ["01:00"], ["01:00", "02:00"]),
        (BUFFER_ALL, ["01:00"], ["01:00", "02:00", "03:00"]),
        (CANCEL, ["01:00"], ["01:00", "03:00"]),
        (TERMINATE, ["01:00", "02:00", "03:00"], ["01:00", "02:00", "03:00"]),
        (ALLOW, ["01:00", "02:00", "03:00"], ["01:00", "02:00", "03:00"]),
    ],
)
def test_overlap_when_an_execution_is_still_open_then_the_policy_decides(
    served: Place, overlap: ScheduleOverlapPolicy, while_open: list[str], once_ended: list[str]
) -> None:
    """An execution that goes on for more than two hours; then it ends, and so does what follows."""
    make(served, policy={"overlap": overlap})
    for _ in range(3):
        served.clock.advance(3600)
        look(served)
    assert started(served) == while_open
    for _ in range(4):
        end(served)
        look(served)
    assert started(served) == once_ended


def test_cancel_other_when_a_time_comes_then_the_open_execution_is_asked_to_end(served: Place) -> None:
    """Once; the next one starts when it has ended."""
    make(served, policy={"overlap": CANCEL})
    served.clock.advance(3600)
    look(served)
    served.clock.advance(3600)
    for _ in range(3):
        look(served)
    execution = served.engine.executions.get(SPACE, "s-20260101T010000Z")
    assert (execution.is_cancel_requested, execution.mail_count, execution.is_open) == (True, 1, True)


def test_terminate_other_when_a_time_comes_then_the_open_execution_is_terminated(served: Place) -> None:
    """And the next one starts at once."""
    make(served, policy={"overlap": TERMINATE})
    for _ in range(2):
        served.clock.advance(3600)
        look(served)
    assert [run.status for run in runs(served)] == ["TERMINATED", "RUNNING"]


def test_waiting_when_nothing_tells_of_the_end_then_the_sweep_looks_again(served: Place) -> None:
    """The end of an execution is told by the change feed; here it is lost."""
    make(served, policy={"overlap": BUFFER_ONE})
    for _ in range(2):
        served.clock.advance(3600)
        look(served)
    end(served)
    served.due()
    served.clock.advance(61)
    served.engine.due.sweep()
    for body in served.due():
        served.engine.due.handle(body)
    assert started(served) == ["01:00", "02:00"]


# --- limits, failures -------------------------------------------------------------------------------------------------


def test_max_executions_when_reached_then_nothing_more_starts_but_by_hand(served: Place) -> None:
    """Executions that somebody asked for do not count."""
    make(served, max_executions=2, policy={"overlap": ALLOW})
    served.engine.schedules.trigger(SPACE, "s", None)
    served.clock.advance(5 * 3600)
    look(served)
    assert started(served) == ["00:00", "01:00", "02:00"]
    assert (state(served).remaining, served.engine.schedules.get(SPACE, "s").next_at()) == (0, None)
    served.engine.schedules.trigger(SPACE, "s", None)
    assert len(runs(served)) == 4


def test_max_executions_when_more_times_wait_then_the_rest_is_dropped(served: Place) -> None:
    """Times that wait for an open execution have not started one yet."""
    make(served, max_executions=2, policy={"overlap": BUFFER_ALL})
    served.clock.advance(5 * 3600)
    for _ in range(4):
        look(served)
        end(served)
    assert (started(served), state(served).remaining, state(served).waiting) == (["01:00", "02:00"], 0, ())


def test_pause_on_failure_when_an_execution_fails_then_nothing_starts_until_resumed(served: Place) -> None:
    """The note says which one."""
    make(served, policy={"pause_on_failure": True})
    served.clock.advance(3600)
    look(served)
    end(served, fail=True)
    served.clock.advance(3600)
    look(served)
    assert (len(runs(served)), state(served).paused) == (1, True)
    assert state(served).note == "paused, because execution s-20260101T010000Z failed"
    served.engine.schedules.resume(SPACE, "s", "mended")
    served.clock.advance(3600)
    look(served)
    assert (started(served), state(served).note) == (["01:00", "03:00"], "mended")


def test_time_when_its_input_does_not_fit_then_the_log_does_not_quote_it(
    served: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """The note may say what was wrong: who reads it may read the input. A log is read by others."""
    make(served, input={"a": "canary-7f3a9"})
    served.clock.advance(60)
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={"properties": {"a": {"type": "integer"}}})
    served.engine.catalogue.register(
        SPACE, RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w")
    )
    served.clock.advance(3540)
    look(served)
    assert "schedule s started nothing for 2026-01-01T01:00:00+00:00: InvalidInput" in caplog.text
    assert "canary-7f3a9" not in caplog.text


def test_time_when_its_execution_cannot_start_then_the_note_says_why(served: Place) -> None:
    """The input fits no more: the schedule goes on, and that time is not lost without a word."""
    make(served)
    served.clock.advance(60)
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={"type": "object", "required": ["b"]})
    served.engine.catalogue.register(
        SPACE, RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w")
    )
    served.clock.advance(3540)
    look(served)
    assert (runs(served), state(served).paused) == ([], False)
    assert "no execution was started for 2026-01-01T01:00:00+00:00" in state(served).note
    served.engine.schedules.update(SPACE, "s", PartialScheduleDefinition(input={"b": 1}))
    served.clock.advance(3600)
    look(served)
    assert started(served) == ["02:00"]


def test_id_when_somebody_has_taken_it_then_the_execution_has_another_one(served: Place) -> None:
    """The time is not lost to a name."""
    make(served)
    served.start(execution_id="s-20260101T010000Z", input={})
    served.clock.advance(3600)
    look(served)
    (fired,) = state(served).recent
    assert fired.execution_id.startswith("s-20260101T010000Z-")


# --- what users do ----------------------------------------------------------------------------------------------------


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


# --- what code declares -----------------------------------------------------------------------------------------------


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


def test_next_sweep_when_only_a_schedule_waits_then_it_is_before_its_time(served: Place) -> None:
    """The testing kit skips time to where something is due."""
    assert served.engine.due.next_sweep_at() is None
    make(served)
    at = served.engine.due.next_sweep_at()
    assert at
    assert START < at < START + timedelta(hours=1)


@pytest.mark.parametrize(("at_once", "in_one_look"), [(6, 10), (3, 6)])
def test_missed_times_when_there_are_more_than_one_look_deals_with_then_the_next_one_goes_on(
    served: Place, monkeypatch: pytest.MonkeyPatch, at_once: int, in_one_look: int
) -> None:
    """Two times so many that start nothing; the sweep looks again within a minute."""
    monkeypatch.setattr("levante_core.domain.schedules.state.MOST_AT_ONCE", at_once)
    monkeypatch.setattr("levante_core.services.schedules.schedules.MOST_PARTIAL_STEPS", 2)
    make(served, policy={"overlap": SKIP, "catchup_window_seconds": 10 * 86400})
    served.clock.advance(3600)
    look(served)
    assert len(runs(served)) == 1, "it goes on, so that all others are left out"
    before = state(served).seen_until
    served.clock.advance(10 * 3600)
    look(served)
    assert state(served).seen_until - before == timedelta(hours=in_one_look)
    look(served)
    assert state(served).seen_until - before == timedelta(hours=10)
    assert len(runs(served)) == 1
