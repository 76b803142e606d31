"""The ledger of a run: which facts are taken, what is claimed, and what is recorded with it."""

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from levante import workflow
from levante.context import ChildWorkflow, current_workflow
from levante.worker.runs.history_size import ADVICE_SHARE
from levante.worker.runs.ledger import NOTHING_OPEN
from levante_core.protocol import (
    MOST_BYTES,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    ChildScheduled,
    ChildStarted,
    Fact,
    ParentClosePolicy,
    RunId,
    SignalReceived,
    TimerFired,
)
from tests.unit.levante.worker.runs.flows import Basket
from tests.unit.levante.worker.runs.ledgers import AT, FAILURE, ME, activity, begun, fact, fields, kinds, new_ledger


def signal(number: int, item: str = "x") -> Fact:
    """Return the fact that is a signal to a basket."""
    return fact(SignalReceived(number=number, at=AT, name="add", input={"item": item}))


def close(number: int) -> Fact:
    """Return the fact that is the last signal to a basket."""
    return fact(SignalReceived(number=number, at=AT, name="close", input={}))


def completed(seq: int, result: Any = None) -> ActivityCompleted:
    """Return the outcome of an activity."""
    return ActivityCompleted(seq=seq, at=AT, result=result)


async def two() -> list[Any]:
    """Wait for two activities."""
    return list(await asyncio.gather(activity("a"), activity("b")))


# --- facts ------------------------------------------------------------------------------------------------------------


def test_message_when_it_overtook_then_it_waits_for_what_was_accepted_before_and_the_ledger_says_so() -> None:
    """Invariant 5: messages are taken as they were accepted; who holds the run has to look for what is lacking."""
    ledger = begun(Basket)
    ledger.take([signal(2, "second")])
    assert (ledger.lacks_messages, ledger.has_inputs, ledger.pending) == (True, False, [])
    ledger.take([signal(2, "second"), signal(1, "first")])
    assert (ledger.lacks_messages, ledger.has_inputs, ledger.state.mail_taken) == (False, True, 2)
    ledger.take([close(3)])
    assert fields(ledger.pending[-1], "result") == ({"result": ["first", "second"]},)
    assert kinds(ledger.pending) == ["mail_taken", "mail_taken", "execution_completed"]


def test_message_when_it_is_there_at_the_start_then_it_is_handed_over_first_and_has_to_be_recorded() -> None:
    """It is an input: nothing may run before it is durable."""
    ledger = new_ledger(Basket)
    ledger.begin([signal(1), signal(3)])
    assert (kinds(ledger.pending), ledger.has_inputs, ledger.lacks_messages) == (["mail_taken"], True, True)
    assert fields(ledger.pending[0], "until") == (1,)


def test_message_when_it_was_taken_already_then_it_is_not_taken_again() -> None:
    """Messages are repeated."""
    ledger = begun(Basket)
    ledger.take([signal(1)])
    ledger.take([signal(1)])
    assert (kinds(ledger.pending), ledger.lacks_messages) == (["mail_taken"], False)


def test_message_when_the_run_has_ended_then_it_is_not_taken() -> None:
    """The closing commit is refused over it instead, and the code decides again."""
    ledger = begun(Basket)
    ledger.take([close(1)])
    ledger.take([signal(2), fact(TimerFired(seq=9, at=AT))])
    assert kinds(ledger.pending) == ["mail_taken", "execution_completed"]
    assert ledger.state.mail_taken == 1


def test_outcome_when_it_was_taken_already_then_it_says_nothing_new() -> None:
    """A repeat is no sign that another worker has advanced the run."""
    ledger = begun(two)
    fact_taken = fact(completed(1))
    ledger.take([fact_taken])
    ledger.take([fact_taken])
    assert (kinds(ledger.pending), ledger.lacks_history) == (["fact_taken"], False)


def test_outcome_when_it_is_void_then_it_is_passed_over_and_the_ledger_says_that_history_may_be_lacking() -> None:
    """The first answer counts; what nobody has asked for here may have been asked for by another worker."""
    ledger = begun(two)
    ledger.take([fact(completed(7)), fact(completed(2))])
    assert (kinds(ledger.pending), ledger.lacks_history) == (["fact_taken"], True)
    ledger.take([])
    assert not ledger.lacks_history


def test_outcome_when_history_resolves_it_already_then_what_this_worker_says_is_void() -> None:
    """Invariant 3: an outcome is recorded at most once."""
    ledger = begun(two)
    ledger.resolve(completed(1, "first"))
    ledger.resolve(completed(1, "second"))
    ledger.regain(completed(1, "third"))
    assert kinds(ledger.pending) == ["activity_completed"]


def test_outcome_when_the_run_has_ended_then_nothing_follows_its_end() -> None:
    """Invariant 1."""

    async def body() -> None:
        await asyncio.wait([activity("a"), activity("b")], return_when=asyncio.FIRST_COMPLETED)

    ledger = begun(body)
    ledger.resolve(completed(1))
    assert ledger.is_closing
    end = list(ledger.pending)
    ledger.resolve(completed(2))
    ledger.retry(2, FAILURE, AT)
    ledger.stopped(2, FAILURE)
    ledger.give_up_claims(FAILURE, AT)
    ledger.take([fact(completed(2), "late")])
    assert ledger.pending == end


# --- what is asked for ------------------------------------------------------------------------------------------------


def test_activity_when_it_is_claimed_then_its_owner_is_recorded_and_it_may_start() -> None:
    """It waits to be started; what goes to the queue has to be recorded at once."""
    asked: list[tuple[str, int]] = []

    def claims(name: str, claimed: int) -> bool:
        asked.append((name, claimed))
        return name == "a" or claimed == 0

    ledger = new_ledger(two, claims=claims)
    ledger.begin()
    assert asked == [("a", 0), ("b", 1)]
    assert [fields(event, "owner", "attempt") for event in ledger.pending] == [(ME, 1), (None, 1)]
    assert (ledger.to_start, ledger.is_urgent, ledger.has_inputs) == ([1], True, False)


def test_activities_when_all_are_claimed_then_nothing_is_urgent() -> None:
    """A step is one commit."""
    ledger = new_ledger(two)
    ledger.begin()
    assert (ledger.to_start, ledger.is_urgent) == ([1, 2], False)


def test_activity_when_the_run_has_ended_by_then_then_nobody_claims_it() -> None:
    """It is recorded as it was asked for, and runs nowhere."""

    async def body() -> None:
        activity("a")

    ledger = new_ledger(body)
    ledger.begin()
    assert kinds(ledger.pending) == ["activity_scheduled", "execution_completed"]
    assert (fields(ledger.pending[0], "owner"), ledger.to_start) == ((None,), [])


def test_activity_when_the_settings_say_how_it_is_retried_then_that_is_recorded() -> None:
    """What a decorator leaves open is decided once, and the same for every worker that makes an attempt."""
    ledger = new_ledger(two, retry_max_attempts=7)
    ledger.begin()
    scheduled = ledger.pending[0]
    assert isinstance(scheduled, ActivityScheduled)
    assert scheduled.options.retry.max_attempts == 7


def test_start_when_a_worker_was_lost_then_each_first_attempt_counts_and_no_later_one_does() -> None:
    """What may be tried once has failed; what comes after begins with attempt 1."""

    async def body() -> Any:
        results = await asyncio.gather(
            activity("once", retry={"max_attempts": 1}),
            activity("twice", retry={"max_attempts": 2}),
            return_exceptions=True,
        )
        return await activity("after") and results

    ledger = new_ledger(body, claims=False)
    ledger.begin(lost_at=AT)
    once, twice, failed = ledger.pending
    assert (fields(once, "attempt"), fields(twice, "attempt")) == ((1,), (2,))
    assert isinstance(failed, ActivityFailed)
    assert (failed.seq, failed.at, failed.failure.type) == (1, AT, "WorkerLost")
    ledger.resolve(completed(2))
    assert fields(ledger.pending[-1], "seq", "attempt") == (3, 1)


def test_commands_when_somebody_waits_for_them_then_they_are_recorded_at_once() -> None:
    """Children, and what is sent to them; a timer can wait for the next commit."""

    async def start() -> None:
        context = current_workflow.get()
        assert context
        child = ChildWorkflow("c", {}, ParentClosePolicy.TERMINATE, is_awaited=False)
        context.start_child(child)
        await asyncio.sleep(10)

    async def sleep() -> None:
        await asyncio.sleep(10)

    starting, sleeping = new_ledger(start), new_ledger(sleep)
    starting.begin()
    sleeping.begin()
    assert kinds(starting.pending) == ["child_scheduled", "timer_started"]
    assert (starting.is_urgent, sleeping.is_urgent) == (True, False)


def test_open_commands_when_they_are_asked_about_then_the_first_of_every_kind_counts() -> None:
    """Facts of an older command are of no interest; the next timer is the one that is due first."""

    async def body() -> None:
        context = current_workflow.get()
        assert context
        context.start_child(ChildWorkflow("c", {}, ParentClosePolicy.TERMINATE, is_awaited=False))
        await asyncio.gather(asyncio.sleep(60), asyncio.sleep(20), activity("a"))

    ledger = begun(body)
    assert (ledger.open_from, ledger.next_timer_at) == (1, AT + timedelta(seconds=20))
    (child,) = ledger.state.children.values()
    assert isinstance(child.scheduled, ChildScheduled)
    ledger.take([fact(ChildStarted(seq=1, at=AT, run_id=RunId("c-1")))])
    assert ledger.open_from == 1
    idle = begun(Basket)
    assert (idle.open_from, idle.next_timer_at) == (NOTHING_OPEN, None)


def test_activity_when_the_code_cancels_it_then_it_is_recorded_where_it_is() -> None:
    """One that is with the queue may be with another worker, who has to be told."""

    async def body() -> None:
        pending = [activity("a"), activity("b")]
        await asyncio.sleep(1)
        for one in pending:
            one.cancel()
        await asyncio.sleep(1)

    ledger = new_ledger(body, claims=lambda name, _claimed: name == "a")
    ledger.begin()
    ledger.resolve(TimerFired(seq=3, at=AT + timedelta(seconds=1)))
    cancelled = [event for event in ledger.pending if event.kind == "activity_cancel_requested"]
    assert [fields(event, "activity", "is_queued") for event in cancelled] == [(1, False), (2, True)]


def test_run_when_it_continues_as_new_then_its_end_says_how_many_messages_it_has_taken() -> None:
    """What came later is the new run's."""

    @workflow.define(name="ledger-continuing")
    class Continuing:
        def __init__(self) -> None:
            self.is_told = False

        @workflow.entrypoint
        async def run(self) -> None:
            await workflow.wait_condition(lambda: self.is_told)
            workflow.continue_as_new()

        @workflow.signal(name="add")
        async def add(self, item: str) -> None:
            self.is_told = item == "last"

    ledger = begun(Continuing)
    ledger.take([signal(1), signal(2, "last")])
    assert kinds(ledger.pending) == ["mail_taken", "execution_continued_as_new"]
    assert fields(ledger.pending[-1], "mail_taken") == (2,)


def test_run_when_it_ends_while_handlers_are_at_work_then_history_names_them() -> None:
    """Before the end, which nothing may follow."""
    ledger = begun(Basket)
    fetching = fact(SignalReceived(number=1, at=AT, name="fetch", input={"item": "x"}))
    ledger.take([fetching])
    ledger.take([close(2)])
    assert kinds(ledger.pending)[-2:] == ["handlers_unfinished", "execution_completed"]
    assert fields(ledger.pending[-2], "handlers") == (("fetch",),)


# --- what is recorded -------------------------------------------------------------------------------------------------


def test_ledger_when_a_batch_is_recorded_then_the_next_one_begins_empty() -> None:
    """With the token that lets commit it."""
    ledger = new_ledger(two, claims=False)
    ledger.begin()
    ledger.take([fact(completed(1))])
    assert (ledger.next_index, ledger.token) == (1, "token 1")
    ledger.recorded(100, "token 2")
    assert (ledger.next_index, ledger.token, ledger.pending) == (2, "token 2", [])
    assert (ledger.has_inputs, ledger.is_urgent) == (False, False)


def test_size_when_facts_are_taken_then_they_count_once() -> None:
    """A history has the bytes of its batches and of its facts (REST contract §1.5)."""
    ledger = begun(two)
    fact_taken = fact(completed(1, "x" * 1000))
    ledger.take([fact_taken])
    ledger.recorded(100, "token 3")
    one = ledger.size.bytes
    assert one == 100 + len(fact_taken.input.model_dump_json())
    ledger.recorded(100, "token 4")
    assert ledger.size.bytes == one + 100


def test_history_when_it_grows_large_then_the_code_is_told_once_and_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    """The advice is recorded as the first event of a batch, so that a replay gives it at the same place."""
    ledger = begun(two, recorded_bytes=int(ADVICE_SHARE * MOST_BYTES) - 10)
    assert not ledger.code.should_continue_as_new()
    with caplog.at_level(logging.WARNING, "levante.worker"):
        ledger.recorded(10, "token 3")
        ledger.recorded(10, "token 4")
    assert caplog.text.count("continue as new") == 1
    ledger.resolve(completed(1))
    assert kinds(ledger.pending) == ["history_grew_large", "activity_completed"]
    assert ledger.code.should_continue_as_new()
    ledger.recorded(10, "token 5")
    ledger.resolve(completed(2))
    assert kinds(ledger.pending) == ["activity_completed", "execution_completed"]
