"""What a schedule does while an execution of it is open, at its limits, and when one fails or cannot start."""

import pytest

from levante_core.domain.schedules.spec import PartialScheduleDefinition, ScheduleOverlapPolicy
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.workers import RegisterRequest
from tests.support.place import DEPLOYMENT, SPACE, Place
from tests.unit.core.services.schedules.sweeps import (
    ALLOW,
    BUFFER_ALL,
    BUFFER_ONE,
    CANCEL,
    SKIP,
    TERMINATE,
    end,
    look,
    make,
    runs,
    started,
    state,
)


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
