"""Holding a run whose code fails, and answering who asks about it."""

import asyncio
import logging

import pytest

from levante.errors import NonDeterminismError
from levante.replay.endings import WorkflowCodeFailed
from levante.worker.transport.api import ApiError, KeyRefused
from levante_core.protocol import ActivityCompleted, ActivityHandedOver, ActivityScheduled, CodeFailed
from levante_core.protocol.workers import QueryRequest
from tests.support.worker_context import Held
from tests.unit.levante.worker.runs.flows import RAN, Basket, BrokenOnce, Buggy, Chain
from tests.unit.levante.worker.runs.holding import fact, holding, signal, until

COMMITS = "/workers/commits"


def count(number: int = 1) -> QueryRequest:
    """Return a query to a basket."""
    return QueryRequest(query_id=f"q{number}", name="count", input={})


def test_code_when_it_fails_over_an_outcome_then_that_is_recorded_all_the_same() -> None:
    """Invariant 3: the activity does not run again when fixed code goes on."""

    async def scenario(held: Held) -> None:
        with pytest.raises(WorkflowCodeFailed) as raised:
            await held.begin()
        assert isinstance(raised.value.__cause__, KeyError)
        assert held.api.kinds[1] == ["activity_completed", "code_failed", "activity_handed_over"]
        failed, handed = held.api.batches[1].events[1:]
        assert isinstance(failed, CodeFailed)
        assert failed.failure.type == "KeyError"
        assert isinstance(handed, ActivityHandedOver)
        assert (handed.activity, handed.attempt) == (2, 1)
        assert held.api.commits[-1].done == (), "its message comes again, for fixed code"
        assert held.ledger is None
        await asyncio.sleep(0)
        assert RAN == ["first", "other", "other cancelled"]

    holding(Buggy, {"other_seconds": 100.0})(scenario)


def test_code_when_it_fails_then_outcomes_that_it_was_not_told_of_are_recorded_too() -> None:
    """Whatever had ended in place by then; the log of the code's failure is what counts."""

    async def scenario(held: Held) -> None:
        held.api.may_record.clear()
        begun = held.beginning()
        await asyncio.sleep(2.0)
        held.api.may_record.set()
        with pytest.raises(WorkflowCodeFailed):
            await begun
        kinds = [kind for batch in held.api.kinds for kind in batch]
        assert sorted(kinds[-3:]) == ["activity_completed", "activity_completed", "code_failed"]

    holding(Buggy, {"other_seconds": 1.0})(scenario)


def test_code_when_it_fails_before_it_asks_for_anything_then_no_attempt_counts_as_lost() -> None:
    """However often: with fixed code, an activity that may be tried once is tried."""

    async def scenario(held: Held) -> None:
        BrokenOnce.bugs = 3
        with pytest.raises(WorkflowCodeFailed):
            await held.begin()
        assert held.api.kinds == [["code_failed"]]
        for _ in range(2):
            with pytest.raises(WorkflowCodeFailed):
                await held.advance(is_trusted=False, is_redelivered=True)
        await held.advance(is_trusted=False, is_redelivered=True)
        assert held.api.kinds == [["code_failed"], ["activity_scheduled"]]
        (scheduled,) = held.api.batches[1].events
        assert isinstance(scheduled, ActivityScheduled)
        assert scheduled.attempt == 1

    holding(BrokenOnce)(scenario)


def test_code_when_it_fails_after_a_worker_was_lost_then_that_is_not_forgotten() -> None:
    """That worker may have run the activity, which may be tried once: it is not run again."""

    async def scenario(held: Held) -> None:
        BrokenOnce.bugs = 1
        with pytest.raises(WorkflowCodeFailed):
            await held.advance(is_first=True, is_trusted=False, is_redelivered=True)
        assert held.api.kinds == []
        await held.advance(is_trusted=False, is_redelivered=True)
        assert (RAN, held.api.kinds) == ([], [["activity_scheduled", "activity_failed", "execution_failed"]])

    holding(BrokenOnce)(scenario)


def test_code_when_it_fails_and_nothing_can_be_recorded_then_its_own_error_is_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The other one is logged."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await until(lambda: held.api.batches)
        held.api.trouble[COMMITS] = [ApiError(422, "too much")]
        with pytest.raises(WorkflowCodeFailed):
            await begun

    with caplog.at_level(logging.ERROR, "levante.worker"):
        holding(Buggy, {"other_seconds": 100.0})(scenario)
    assert "when its code failed is not recorded" in caplog.text


def test_code_when_it_fails_as_the_key_is_refused_then_the_refusal_is_raised() -> None:
    """That ends the worker; the run stays as it is."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await until(lambda: held.api.batches)
        held.api.trouble[COMMITS] = [KeyRefused(401, "revoked")]
        with pytest.raises(KeyRefused):
            await begun
        assert held.ledger is None

    holding(Buggy, {"other_seconds": 100.0})(scenario)


def test_queries_when_the_code_fails_then_those_who_ask_are_told_why() -> None:
    """They would wait in vain."""

    async def scenario(held: Held) -> None:
        name = "driver-step"
        held.api.record(ActivityScheduled(seq=1, name=name, input={}), ActivityScheduled(seq=2, name=name, input={}))
        held.api.fact("A00000001", ActivityCompleted(seq=1, at=held.now, result="x"))
        held.api.queries = [count(1), count(2)]
        with pytest.raises(WorkflowCodeFailed):
            await held.advance(is_trusted=False)
        assert [answer.query_id for answer in held.api.answers] == ["q1", "q2"]
        assert {answer.failure.type for answer in held.api.answers if answer.failure} == {"KeyError"}
        assert held.api.kinds[1] == ["fact_taken", "code_failed"]

    holding(Buggy)(scenario)


def test_history_when_it_is_of_other_code_then_that_is_raised_and_nothing_is_recorded() -> None:
    """Invariant 2; who asks learns of it as well."""

    async def scenario(held: Held) -> None:
        held.api.record(ActivityScheduled(seq=1, name="something-else", input={}))
        held.api.queries = [count()]
        with pytest.raises(NonDeterminismError):
            await held.advance(is_trusted=False)
        assert held.ledger is None
        assert held.api.commits == []
        assert [answer.failure and answer.failure.type for answer in held.api.answers] == ["NonDeterminismError"]

    holding(Chain, {"steps": ["a"]})(scenario)


@pytest.mark.parametrize("is_cached", [False, True], ids=["loaded", "cached"])
def test_query_when_it_comes_with_news_then_the_answer_is_of_what_is_recorded(*, is_cached: bool) -> None:
    """Else it would publish what may never have happened; the messages end with the answer, not before it."""

    async def scenario(held: Held) -> None:
        await held.begin(fact(1, held.now))
        held.api.fact("M00000001", signal(1, held.now))
        held.api.fact("M00000002", signal(2, held.now))
        held.api.queries = [count()]
        if not is_cached:
            held.forget()
        held.api.may_record.clear()
        advancing = asyncio.create_task(held.advance(is_trusted=False))
        await asyncio.sleep(5)
        assert held.api.answers == []
        held.api.may_record.set()
        assert await advancing is False
        assert [answer.result for answer in held.api.answers] == [2]
        assert held.api.commits[-1].done == ()

    holding(Basket)(scenario)


def test_query_when_nothing_is_new_then_it_is_answered_without_a_commit() -> None:
    """A question changes nothing."""

    async def scenario(held: Held) -> None:
        await held.begin(fact(1, held.now))
        held.api.queries = [count()]
        assert await held.advance(is_trusted=False) is False
        assert [answer.result for answer in held.api.answers] == [1]
        assert len(held.api.commits) == 1
        assert held.ledger

    holding(Basket)(scenario)


def test_query_when_an_activity_is_under_way_then_it_is_answered_once() -> None:
    """Whoever asks does not wait for the activity."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await asyncio.sleep(0.5)
        held.api.queries = [count()]
        await asyncio.sleep(1)
        assert [answer.result for answer in held.api.answers] == [0]
        held.api.fact("M00000001", signal(1, held.now, "close", None))
        await begun
        assert len(held.api.answers) == 1

    holding(Basket, {"first": "a", "seconds": 3.5})(scenario)


@pytest.mark.parametrize("fails_on_errors", [False, True])
def test_code_when_the_settings_let_bugs_fail_executions_then_the_run_ends(*, fails_on_errors: bool) -> None:
    """Otherwise it stays open until the code is fixed."""

    async def scenario(held: Held) -> None:
        if fails_on_errors:
            assert await held.begin()
            assert held.api.kinds[-1][-1] == "execution_failed"
        else:
            with pytest.raises(WorkflowCodeFailed):
                await held.begin()

    holding(Buggy, fail_on_errors=fails_on_errors)(scenario)


def test_run_when_it_is_closed_already_then_nothing_is_done() -> None:
    """A message may be older than the end of its run."""

    async def scenario(held: Held) -> None:
        held.api.status = held.api.status.COMPLETED
        assert await held.advance(is_trusted=False) is False
        assert (RAN, held.api.commits, held.ledger) == ([], [], None)

    holding(Chain, {"steps": ["a"]})(scenario)
