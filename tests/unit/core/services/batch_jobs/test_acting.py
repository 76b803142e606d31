"""What a batch job does to each execution, and which it leaves alone."""

from functools import partial

import pytest

from levante_core.domain.history.events import ChildScheduled, ExecutionContinuedAsNew
from levante_core.domain.names import RunId, WorkflowName
from levante_core.ports.item_store import Delete
from levante_core.protocol.workers import TaskQueue
from levante_core.services.executions.reset import ResetRequest
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from levante_core.storage.attempts import failed_attempts
from tests.support.place import SPACE
from tests.unit.core.services.batch_jobs.driven import (
    CANCEL,
    RERUN,
    RESET,
    RETRY_ALL,
    SIGNAL,
    TERMINATE,
    Driven,
)


def test_cancel_when_some_are_open_then_those_are_asked_to_end(driven: Driven) -> None:
    """What has ended is skipped, and says so."""
    runs = driven.executions(3)
    driven.complete(runs[1])
    driven.place.clock.advance(1)
    assert driven.run(CANCEL) == (3, 2, 0, {"ended": 1})
    requested = [driven.place.engine.executions.get(SPACE, f"e{number}").is_cancel_requested for number in range(3)]
    assert requested == [True, False, True]


def test_terminate_when_run_then_open_ones_end_at_once(driven: Driven) -> None:
    """Those of the filter alone."""
    driven.executions(2)
    driven.executions(2, "other")
    assert driven.run(TERMINATE, search="other") == (2, 2, 0, {})
    assert driven.statuses("e0", "e1", "other0", "other1") == ["RUNNING", "RUNNING", "TERMINATED", "TERMINATED"]


def test_signal_when_run_then_each_gets_it_once_with_the_input(driven: Driven) -> None:
    """It is the same message however often a step is repeated."""
    (run,) = driven.executions(1)
    assert driven.run(SIGNAL, {"by": "ann"}) == (1, 1, 0, {})
    (fact,) = driven.place.load(run).facts
    assert fact.input.model_dump(include={"kind", "name", "input"}) == {
        "kind": "signal_received",
        "name": "s",
        "input": {"by": "ann"},
    }


def test_signal_when_the_input_does_not_fit_then_each_execution_fails_without_its_payload_in_the_reason(
    driven: Driven,
) -> None:
    """The job goes on to its end."""
    driven.executions(2)
    assert driven.run(SIGNAL, "a secret") == (2, 0, 2, {})
    failures, rest = driven.place.engine.batch_jobs.failures(SPACE, "b1", 0, 10)
    assert ([one.execution_id for one in failures], rest) == (["e0", "e1"], None)
    assert all("InvalidInput" in one.reason and "secret" not in one.reason for one in failures)


def test_reset_when_executions_have_failed_then_each_takes_its_last_step_again_once(driven: Driven) -> None:
    """The new run starts when the old one did, and is not found again."""
    runs = driven.executions(3)
    for run in runs:
        driven.fail(run)
    driven.place.clock.advance(1)
    assert driven.run(RESET, status=["FAILED"]) == (3, 3, 0, {})
    for run in runs:
        execution = driven.place.engine.executions.get(SPACE, run.execution_id)
        reset = execution.start.reset
        assert reset
        assert (reset.run_id, reset.batches, reset.reason) == (run.run_id, 1, "batch b1: because")
        assert execution.key.run_id == driven.job().derived_id(run.execution_id)


def test_reset_when_it_is_to_the_start_then_nothing_is_kept(driven: Driven) -> None:
    """Open executions, too: their runs end."""
    (run,) = driven.executions(1)
    driven.back_off(run)
    assert driven.run({**RESET, "to": "start"}) == (1, 1, 0, {})
    reset = driven.place.engine.executions.get(SPACE, "e0").start.reset
    assert reset
    assert (reset.event_id, reset.batches) == (1, 0)


def test_retry_when_activities_back_off_then_they_begin_and_the_history_says_by_whom(driven: Driven) -> None:
    """An execution in which nothing waits is skipped."""
    runs = driven.executions(2)
    driven.back_off(runs[0])
    driven.place.tasks(TaskQueue.ACTIVITY)
    assert driven.run(RETRY_ALL) == (2, 1, 0, {"not_applicable": 1})
    item = driven.place.racing.get(keys.attempt(runs[0], 1))
    assert item
    (failed,) = failed_attempts(item)
    note = failed.retried_by_hand
    assert note
    assert (note.key_id, note.key_name, note.role, note.reason) == ("k1", "ann", "client", "batch b1: because")


def test_rerun_when_executions_have_ended_then_each_starts_once_more_under_an_id_of_the_job(driven: Driven) -> None:
    """Open ones would do their work twice."""
    runs = driven.executions(3, input={"a": 1}, user_id="somebody")
    driven.fail(runs[0])
    driven.complete(runs[1])
    driven.place.clock.advance(1)
    assert driven.run(RERUN) == (3, 2, 0, {"open": 1})
    again = driven.place.engine.executions.get(SPACE, driven.job().derived_id(runs[0].execution_id))
    assert (again.start.input, again.user_id, again.is_open) == ({"a": 1}, "k1", True)


def test_rerun_when_an_input_is_given_then_it_takes_the_place_of_theirs(driven: Driven) -> None:
    """Of each of them."""
    (run,) = driven.executions(1, input={"a": 1})
    driven.complete(run)
    driven.place.clock.advance(1)
    driven.run(RERUN, {"a": 2})
    again = driven.place.engine.executions.get(SPACE, driven.job().derived_id(run.execution_id))
    assert again.start.input == {"a": 2}


def test_rerun_when_an_execution_has_a_parent_then_it_is_left_to_that(driven: Driven) -> None:
    """The parent starts its children anew."""
    (run,) = driven.executions(1)
    child = {"seq": 1, "workflow_name": "w", "execution_id": "c", "input": {}, "close_policy": "terminate"}
    driven.place.commit(run, 1, ChildScheduled.model_validate(child))
    driven.messages()
    driven.place.engine.closing.terminate(SPACE, run.execution_id)
    driven.messages()
    assert driven.statuses("e0", "c") == ["TERMINATED", "TERMINATED"]
    driven.place.clock.advance(1)
    assert driven.run(RERUN) == (2, 1, 0, {"child": 1})


def test_rerun_when_the_input_is_encoded_for_its_id_then_it_is_skipped(driven: Driven) -> None:
    """No worker could read it under another one."""
    encoded = {"b64payload": "eA==", "encoding_options": ["encrypted"]}
    (run,) = driven.executions(1, input=encoded)
    driven.complete(run)
    driven.place.clock.advance(1)
    assert driven.run(RERUN) == (1, 0, 0, {"not_applicable": 1})


# --- which executions -------------------------------------------------------------------------------------------------


def test_job_when_executions_start_after_it_then_it_is_not_about_those(driven: Driven) -> None:
    """Reruns of its own among them: the set is fixed at the start."""
    driven.executions(2)
    driven.start(TERMINATE)
    driven.executions(2, "later")
    driven.work()
    assert driven.counts() == (2, 2, 0, {})
    assert driven.statuses("later0", "later1") == ["RUNNING", "RUNNING"]


def test_job_when_an_execution_ends_before_it_is_reached_then_it_is_skipped_and_counted(driven: Driven) -> None:
    """It was open when the job was started, so the filter for open ones finds it."""
    runs = driven.executions(2)
    driven.start(CANCEL, status=["RUNNING"])
    driven.place.clock.advance(1)
    driven.complete(runs[0])
    driven.work()
    assert driven.counts() == (2, 1, 0, {"ended": 1})


def test_job_when_an_execution_continues_as_new_before_it_is_reached_then_the_new_run_is_acted_on(driven: Driven) -> None:
    """An execution is what is meant, whichever run it is at."""
    (run,) = driven.executions(1)
    driven.start(TERMINATE, status=["RUNNING"])
    driven.place.clock.advance(1)
    driven.place.commit(run, 1, ExecutionContinuedAsNew(seq=1, run_id=RunId("next"), input=None))
    driven.work()
    assert driven.counts() == (1, 1, 0, {})
    assert driven.statuses("e0") == ["TERMINATED"]


def test_job_when_an_execution_has_earlier_runs_then_it_is_acted_on_once(driven: Driven) -> None:
    """Those that continued, those that were reset, and those whose id was used again."""
    (run,) = driven.executions(1)
    driven.place.commit(run, 1, ExecutionContinuedAsNew(seq=1, run_id=RunId("next"), input=None))
    driven.place.clock.advance(1)
    driven.place.engine.resets.reset(SPACE, "e0", ResetRequest(1))
    driven.place.engine.closing.terminate(SPACE, run.execution_id)
    driven.executions(1)
    assert driven.run(SIGNAL, {}) == (1, 1, 0, {})


@pytest.mark.parametrize("action", [CANCEL, RESET, RERUN])
def test_job_when_an_execution_is_deleted_before_it_is_acted_on_then_it_is_skipped(
    driven: Driven, action: dict[str, str]
) -> None:
    """An index may show it for a while."""
    (run,) = driven.executions(1)
    if action is not CANCEL:
        driven.complete(run)
    driven.place.clock.advance(1)

    def delete() -> None:
        if action is CANCEL:
            driven.place.engine.closing.terminate(SPACE, run.execution_id)
        driven.place.engine.expiry.delete(SPACE, run.execution_id)

    with driven.place.racing.before_read(delete, keys.execution(SPACE, run.execution_id).partition):
        assert driven.run(action) == (1, 0, 0, {"gone": 1})


@pytest.mark.parametrize(("action", "counts"), [(CANCEL, {"ended": 1}), (TERMINATE, {})])
def test_end_when_somebody_else_terminates_it_meanwhile_then_it_counts_if_that_was_asked_for(
    driven: Driven, action: dict[str, str], counts: dict[str, int]
) -> None:
    """As a step that is repeated finds what it has terminated before."""
    (run,) = driven.executions(1)
    end = partial(driven.place.engine.closing.terminate, SPACE, run.execution_id)
    with driven.place.racing.before_read(end, keys.execution(SPACE, run.execution_id).partition):
        assert driven.run(action) == (1, 1 - len(counts), 0, counts)


def test_execution_when_its_workflow_is_gone_then_a_rerun_of_it_fails(driven: Driven) -> None:
    """It is there itself: nothing to skip, and the reason says what is wrong."""
    (run,) = driven.executions(1)
    driven.complete(run)
    driven.place.clock.advance(1)
    driven.start(RERUN)
    driven.place.store.write(Delete(keys.workflow(SPACE, WorkflowName("w"))))
    driven.work()
    assert driven.counts() == (1, 0, 1, {})
    (failure,), _ = driven.place.engine.batch_jobs.failures(SPACE, "b1", 0, 10)
    assert (failure.execution_id, failure.run_id) == ("e0", run.run_id)
    assert failure.reason.startswith("NotFound: ")


def test_start_request_when_made_by_hand_then_it_is_none_of_the_job(driven: Driven) -> None:
    """Only what the filter finds."""
    driven.executions(1, "mine")
    driven.place.engine.executions.start(SPACE, "w", StartRequest(execution_id="x", user_id="u"))
    driven.place.clock.advance(1)
    assert driven.run(TERMINATE, user_id="u") == (1, 1, 0, {})
    assert driven.statuses("mine0", "x") == ["RUNNING", "TERMINATED"]
