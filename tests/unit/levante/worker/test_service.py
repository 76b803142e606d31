"""The worker as a whole, on an API and queues in memory: which tasks it takes, in which order, and how it stops."""

import asyncio
import logging
from datetime import timedelta

import pytest

from levante.worker import service as module
from levante.worker.transport.api import ApiError, ApiUnreachable, KeyRefused
from levante_core.protocol import (
    OLD_AFTER_SECONDS,
    ActivityHandedOver,
    ActivityScheduled,
)
from levante_core.protocol.workers import TaskQueue, WorkflowTaskFailedRequest
from tests.support.runs_api import delivered, token_of, workflow_task
from tests.unit.levante.worker.runs.flows import RAN, Basket, BrokenOnce, Buggy, Chain
from tests.unit.levante.worker.runs.holding import until
from tests.unit.levante.worker.serving import WORKFLOW, Serving, run

FAILURES, COMMITS = "/workers/workflow-task-failures", "/workers/commits"


# --- workflow tasks ---------------------------------------------------------------------------------------------------


def test_run_when_its_messages_come_one_by_one_then_it_goes_on_from_the_cache() -> None:
    """Its history is not read again; each message is ended by a commit."""

    async def scenario(serving: Serving) -> None:
        await serving.give(serving.first())
        await serving.give(serving.later(1))
        await serving.give(serving.later(2, "close", None))
        assert serving.result == ["x"]
        assert serving.api.loads == []
        assert serving.ended == ["message 1", "message 2", "first"]
        assert serving.worker._drivers == set()
        assert serving.tasks.polls[:2] == [(TaskQueue.WORKFLOW, 100), (TaskQueue.ACTIVITY, 100)]
        assert [commit.done for commit in serving.api.commits] == [("message 1",), ("message 2",)]

    run(Basket, scenario)


def test_messages_when_several_of_an_execution_come_at_once_then_it_is_held_once_for_all() -> None:
    """One commit takes what all of them tell, and ends them all."""

    async def scenario(serving: Serving) -> None:
        await serving.give(serving.first(), serving.later(1), serving.later(2, "close", None))
        assert serving.result == ["x"]
        assert [commit.done for commit in serving.api.commits] == [("first", "message 1", "message 2")]

    run(Basket, scenario)


def test_messages_when_they_are_of_two_runs_of_an_execution_then_each_run_is_held_by_itself() -> None:
    """A late message of a run that was replaced moves nothing of the next one."""

    async def scenario(serving: Serving) -> None:
        other = serving.first("other", run_id="r2")
        await serving.give(serving.first(), other)
        assert set(serving.worker._cache._runs) == {"r", "r2"}
        assert sorted(serving.ended) == ["first", "other"]

    run(Basket, scenario)


def test_message_when_the_run_is_held_already_then_it_waits_for_its_turn() -> None:
    """One worker advances a run by one message after the other, on a lease that is kept meanwhile."""

    async def scenario(serving: Serving) -> None:
        serving.api.may_record.clear()
        await serving.give(serving.first(), serving.later(1))
        await serving.give(serving.later(2), seconds=60)
        assert len(serving.api.commits) == 1
        assert {receipt for _, receipts in serving.tasks.extended for receipt in receipts} == {
            "first",
            "message 1",
            "message 2",
        }
        serving.api.may_record.set()
        await asyncio.sleep(1)
        await serving.give(serving.later(3, "close", None))
        assert serving.result == ["x", "x"]
        assert serving.api.loads == []

    run(Basket, scenario)


def test_message_when_another_one_has_waited_for_its_turn_then_it_waits_for_that_one() -> None:
    """However many there are: one after the other."""

    async def scenario(serving: Serving) -> None:
        serving.api.may_record.clear()
        await serving.give(serving.first(), serving.later(1))
        await serving.give(serving.later(2))
        serving.api.may_record.set()
        await until(lambda: serving.api.batches, 0)
        serving.api.may_record.clear()
        await asyncio.sleep(1)
        await serving.give(serving.later(3))
        assert [commit.mail_taken for commit in serving.api.commits] == [1, 2]
        assert serving.api.loads == []
        serving.api.may_record.set()
        await asyncio.sleep(1)
        assert [commit.mail_taken for commit in serving.api.commits] == [1, 2, 3]
        assert serving.api.loads == []

    run(Basket, scenario)


@pytest.mark.parametrize("why", ["delivered again", "old", "to be verified"])
def test_run_when_one_of_its_messages_cannot_be_trusted_then_history_is_read_first(why: str) -> None:
    """Whichever it is of several that came together; one delivered again counts as a lost worker."""

    async def scenario(serving: Serving) -> None:
        old = serving.now - timedelta(seconds=OLD_AFTER_SECONDS)
        doubtful = {
            "delivered again": serving.first("second", 2),
            "old": delivered(workflow_task(old, start=serving.api.start), "second"),
            "to be verified": serving.first("second", verify=True),
        }[why]
        await serving.give(serving.first(), doubtful)
        assert len(serving.api.loads) == 1
        assert RAN == []
        (scheduled,) = serving.api.events
        assert isinstance(scheduled, ActivityScheduled)
        assert scheduled.attempt == (2 if why == "delivered again" else 1)

    run(Chain, scenario, {"steps": ["a"]})


def test_worker_when_it_holds_as_many_runs_as_it_may_then_it_polls_again_once_one_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it cannot begin stays with other workers."""
    monkeypatch.setattr(module, "MAX_HELD_RUNS", 3)

    async def scenario(serving: Serving) -> None:
        def limits() -> list[int]:
            return [limit for queue, limit in serving.tasks.polls if queue is WORKFLOW]

        await serving.give(serving.first("z", execution_id="0", run_id="0"))
        serving.api.may_record.clear()
        await serving.give(
            serving.first("a", execution_id="1", run_id="1"), serving.first("b", execution_id="2", run_id="2")
        )
        assert limits() == [3, 2, 1]
        await serving.give(serving.first("c", execution_id="3", run_id="3"))
        assert limits() == [3, 2, 1]
        serving.api.may_record.set()
        await asyncio.sleep(1)
        assert limits()[3:] != []

    run(Chain, scenario, {"steps": ["a"]})


def test_poll_when_it_fails_then_it_is_made_again(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing but a refused key ends a loop of the worker."""

    async def scenario(serving: Serving) -> None:
        for queue in TaskQueue:
            serving.tasks.waiting[queue].put_nowait(ApiError(500, "it broke"))
        await serving.give(serving.first())
        assert serving.result == ["a"]
        assert not serving.running.done()

    with caplog.at_level(logging.CRITICAL):
        run(Chain, scenario, {"steps": ["a"]})


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("receive_count", [1, 2, 4])
def test_code_when_it_cannot_be_advanced_then_one_message_is_left_for_later_with_how_often_it_came(
    receive_count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The API doubles the pause with each delivery, up to a limit; the other messages are ended."""

    async def scenario(serving: Serving) -> None:
        BrokenOnce.bugs = 1
        await serving.give(serving.first("a", receive_count), serving.first("b"))
        (failure,) = serving.api.failures
        assert (failure.receipt, failure.attempt, failure.token) == ("a", receive_count, token_of(1))
        assert failure.failure.message == "not fixed yet"
        assert serving.ended == ["b"]

    with caplog.at_level(logging.CRITICAL):
        run(BrokenOnce, scenario)


def test_task_when_it_is_of_another_workers_workflow_then_it_is_handed_back_at_a_growing_distance(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing has failed, and nothing was lost; the log says once what to do."""

    async def scenario(serving: Serving) -> None:
        serving.api.start = serving.api.start.model_copy(update={"workflow_name": "unheard-of"})
        handed_back_at = []
        for number in range(4):
            began = serving.now
            await serving.give(serving.first(f"{number}"), seconds=0)
            while len(serving.tasks.handed_back) == number:
                await asyncio.sleep(0.01)
            handed_back_at.append(round((serving.now - began).total_seconds(), 2))
        assert handed_back_at == pytest.approx([0, 0.05, 0.15, 0.35], abs=0.011)
        assert [(queue, one.receipt) for queue, one in serving.tasks.handed_back] == [
            (WORKFLOW, "0"), (WORKFLOW, "1"), (WORKFLOW, "2"), (WORKFLOW, "3"),
        ]  # fmt: skip
        assert (serving.api.failures, serving.ended) == ([], [])

    run(Chain, scenario, {"steps": ["a"]})
    assert caplog.text.count("a task came for workflow 'unheard-of', which this worker does not have") == 1


def test_task_when_it_waits_to_be_handed_back_as_the_worker_stops_then_it_goes_at_once() -> None:
    """Whoever is there now may have the workflow."""

    async def scenario(serving: Serving) -> None:
        serving.api.start = serving.api.start.model_copy(update={"workflow_name": "unheard-of"})
        for number in range(9):
            await serving.give(serving.first(f"{number}"), seconds=10)
        assert len(serving.tasks.handed_back) == 8
        serving.stop.set()
        began = serving.now
        await serving.running
        assert (len(serving.tasks.handed_back), serving.now - began < timedelta(seconds=1)) == (9, True)

    run(Chain, scenario, {"steps": ["a"]})


def test_task_of_an_unknown_workflow_when_it_was_delivered_before_then_its_failure_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A copy would not say that a worker may be lost."""

    async def scenario(serving: Serving) -> None:
        serving.api.start = serving.api.start.model_copy(update={"workflow_name": "unheard-of"})
        await serving.give(serving.first("a", 2))
        (failure,) = serving.api.failures
        assert (failure.failure.type, serving.tasks.handed_back) == ("WorkflowUnknown", [])

    with caplog.at_level(logging.CRITICAL):
        run(Chain, scenario, {"steps": ["a"]})


def test_worker_when_it_has_stopped_then_it_has_said_so() -> None:
    """Nobody counts on it any more; what it served is named, as in its heartbeats."""

    async def scenario(serving: Serving) -> None:
        serving.stop.set()
        await serving.running
        (leave,) = serving.api.said["/workers/leave"]
        assert (leave.deployment_name, leave.worker_name) == ("d", "w")
        assert [one.workflow_registration_id for one in leave.workflow_registration_refs] == ["driver-chain-1"]

    run(Chain, scenario, {"steps": ["a"]})


def test_code_when_it_fails_then_what_it_raised_is_what_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Not the error of the worker that wraps it; the message stays, for fixed code."""

    async def scenario(serving: Serving) -> None:
        await serving.give(serving.first(), seconds=5)
        (failure,) = serving.api.failures
        assert (failure.failure.type, failure.failure.message) == ("KeyError", "'a bug'")
        assert serving.ended == []

    with caplog.at_level(logging.CRITICAL):
        run(Buggy, scenario, {"other_seconds": 100.0})


@pytest.mark.parametrize(
    ("trouble", "reports"),
    [
        ([ApiError(422, "too large")], ["RuntimeError: the failure itself cannot be reported: see the worker's log"]),
        ([ApiError(422, "too large")] * 2, []),
        ([ApiUnreachable(FAILURES, "away")], []),
        ([KeyRefused(401, "revoked")], []),
    ],
    ids=["the failure is to blame", "both are", "nobody is there", "the key is refused"],
)
def test_report_when_nobody_takes_it_then_a_brief_one_is_tried_where_that_may_help(
    trouble: list[Exception], reports: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """If none is taken, the lease ends by itself; the worker goes on."""

    async def scenario(serving: Serving) -> None:
        serving.api.trouble[FAILURES] = trouble
        BrokenOnce.bugs = 1
        await serving.give(serving.first())
        failures: list[WorkflowTaskFailedRequest] = serving.api.failures
        assert [f"{one.failure.type}: {one.failure.message}" for one in failures] == reports
        assert not serving.running.done()
        assert (serving.ended, serving.worker._advancing) == ([], {})

    with caplog.at_level(logging.ERROR):
        run(BrokenOnce, scenario)
    assert "a task could not be dealt with" not in caplog.text


@pytest.mark.parametrize("how", ["lease lost", "key refused"])
def test_run_when_it_is_somebody_elses_by_now_then_nothing_is_reported(how: str) -> None:
    """Stop silently: its code has not failed."""

    async def scenario(serving: Serving) -> None:
        if how == "lease lost":
            serving.api.record(ActivityHandedOver(activity=1, scheduled_in=1, attempt=1, failure=None))
            serving.tasks.lost = {"first"}
        else:
            serving.api.trouble[COMMITS] = [KeyRefused(401, "revoked")]
        await serving.give(serving.first())
        assert RAN == ["a"]
        assert (serving.api.failures, serving.tasks.ended) == ([], [])

    run(Chain, scenario, {"steps": ["a", "b"]})


def test_worker_when_the_key_is_refused_then_it_ends_with_that_and_its_activities_clean_up() -> None:
    """Nothing that it does can be recorded any more."""

    async def scenario(serving: Serving) -> None:
        await serving.give(serving.first())
        serving.refused.set()
        with pytest.raises(KeyRefused):
            await serving.running
        await asyncio.sleep(0)
        assert RAN == ["a", "a cancelled"]

    run(Chain, scenario, {"steps": ["a"], "seconds": 100.0})
