"""Holding a run: what is recorded before what begins, and what becomes of a commit that is refused."""

import asyncio
from functools import partial

import pytest

from levante.worker.runs.driver import CommitImpossible, WorkflowUnknown
from levante.worker.runs.ledger import OWNER_LOST
from levante.worker.tasks.leases import LeaseIsLost
from levante_core.protocol import ActivityCompleted, ActivityScheduled
from levante_core.protocol.workers import CommitOutcome, CommitResult, TaskQueue
from tests.support.worker_context import WORKER, Held
from tests.unit.levante.worker.runs.flows import RAN, Basket, Chain, Flaky, Keyed, Once, Timers, once
from tests.unit.levante.worker.runs.holding import fact, holding, signal, until

CONFLICT = CommitResult(outcome=CommitOutcome.CONFLICT)
REFUSED = CommitResult(outcome=CommitOutcome.REFUSED)
UNREAD = CommitResult(outcome=CommitOutcome.UNREAD_MESSAGES)
chain = partial(holding, Chain)


def test_run_when_its_activities_are_short_then_each_step_is_one_commit_and_the_last_one_ends_the_messages() -> None:
    """One put records the outcome of a step and the start of the next one; receipts go with the last of them."""

    async def scenario(held: Held) -> None:
        assert await held.begin()
        assert held.api.kinds == [
            ["activity_scheduled", "activity_completed", "activity_scheduled"],
            ["activity_completed", "execution_completed"],
        ]
        assert [commit.done for commit in held.api.commits] == [(), ("receipt",)]
        assert held.ledger is None
        assert [event.owner for event in held.api.events if isinstance(event, ActivityScheduled)] == [WORKER] * 2
        assert held.api.loads == []

    chain({"steps": ["a", "b"]})(scenario)


def test_activity_when_the_outcome_before_it_is_not_recorded_yet_then_it_has_not_begun() -> None:
    """Invariant 4: nothing runs before what led to it is durable."""

    async def scenario(held: Held) -> None:
        held.api.may_record.clear()
        holding_it = held.beginning()
        await asyncio.sleep(60)
        assert RAN == ["a"]
        held.api.may_record.set()
        assert await holding_it
        assert RAN == ["a", "b"]

    chain({"steps": ["a", "b"]})(scenario)


@pytest.mark.parametrize("verdict", [CONFLICT, REFUSED], ids=["conflict", "refused"])
def test_activity_when_the_outcome_before_it_is_refused_then_it_never_begins(verdict: CommitResult) -> None:
    """Invariant 4: a batch that was refused has led to nothing."""

    async def scenario(held: Held) -> None:
        held.api.verdicts, held.tasks.lost = [verdict], {"receipt"}
        with pytest.raises(LeaseIsLost):
            await held.begin()
        await asyncio.sleep(60)
        assert RAN == ["a"]
        assert held.tasks.extended == [(TaskQueue.WORKFLOW, ("receipt",))]
        assert held.ledger is None

    chain({"steps": ["a", "b"]})(scenario)


def test_activity_when_the_message_that_asks_for_it_is_refused_then_nothing_runs() -> None:
    """Invariant 4 holds for the first batch, too."""

    async def scenario(held: Held) -> None:
        held.api.verdicts, held.tasks.lost = [CONFLICT], {"receipt"}
        with pytest.raises(LeaseIsLost):
            await held.begin(fact(1, held.now, "fetch"))
        assert RAN == []

    holding(Basket)(scenario)


def test_commit_when_another_writer_was_first_then_its_history_is_gone_on_with_and_nothing_runs_in_place() -> None:
    """What this worker had is void; who wrote may be at it still, so the queue carries on until a commit succeeds."""

    async def scenario(held: Held) -> None:
        held.api.may_record.clear()
        holding_it = held.beginning()
        await asyncio.sleep(1)
        first = ActivityScheduled(seq=1, name="driver-step", input={"label": "a", "seconds": 0.0}, owner="another")
        held.api.record(first)
        held.api.fact("A00000001", ActivityCompleted(seq=1, at=held.now, result="theirs"))
        held.api.may_record.set()
        assert await holding_it
        assert RAN == ["a"]
        taken, event = held.api.batches[1].events
        assert taken.kind == "fact_taken"
        assert isinstance(event, ActivityScheduled)
        assert (event.owner, event.attempt) == (None, 1)

    chain({"steps": ["a", "b"]})(scenario)


def test_claims_when_their_owner_is_gone_then_the_queue_makes_the_next_attempts() -> None:
    """A takeover counts the attempts that ran as lost with their worker, and begins none in place."""

    async def scenario(held: Held) -> None:
        name, value = "driver-step", {"label": "a", "seconds": 0.0}
        held.api.record(ActivityScheduled(seq=1, name=name, input=value, owner="another"))
        assert await held.advance(is_trusted=False, is_redelivered=True)
        assert RAN == []
        (event,) = held.api.batches[1].events
        assert event.model_dump(include={"activity", "scheduled_in", "attempt", "delay_seconds"}) == {
            "activity": 1,
            "scheduled_in": 1,
            "attempt": 2,
            "delay_seconds": 0.0,
        }
        assert event.model_dump()["failure"]["type"] == OWNER_LOST.type
        assert held.api.commits[-1].done == ("receipt",)
        assert held.api.commits[-1].history.bytes == len(held.api.batches[0].model_dump_json())

    chain({"steps": ["a", "b"]})(scenario)


@pytest.mark.parametrize(("is_redelivered", "attempt"), [(True, 2), (False, 1)])
def test_first_task_when_it_cannot_be_trusted_then_the_queue_runs_what_may_have_run(
    attempt: int, *, is_redelivered: bool
) -> None:
    """What may have killed its worker goes through the activity queue; only a redelivery counts as a lost worker."""

    async def scenario(held: Held) -> None:
        await held.advance(is_first=True, is_trusted=False, is_redelivered=is_redelivered)
        (event,) = held.api.events
        assert isinstance(event, ActivityScheduled)
        assert (RAN, event.owner, event.attempt) == ([], None, attempt)

    chain({"steps": ["a"]})(scenario)


def test_first_task_when_its_worker_was_lost_then_what_has_one_attempt_has_failed() -> None:
    """It may have run, so it is not run again."""

    async def scenario(held: Held) -> None:
        await held.advance(is_first=True, is_trusted=False, is_redelivered=True)
        assert RAN == []
        assert held.api.kinds == [["activity_scheduled", "activity_failed", "execution_failed"]]
        assert held.api.events[1].model_dump()["at"] == held.now

    holding(Once)(scenario)


def test_place_when_a_commit_of_this_delivery_has_succeeded_then_activities_run_in_it_again() -> None:
    """It shows that this worker is the one to go on."""

    async def scenario(held: Held) -> None:
        await held.advance(is_first=True, is_trusted=False)
        assert held.api.kinds[0] == ["activity_scheduled", "timer_started"]
        assert RAN == ["then"]

    holding(Timers, {"seconds": [0.5], "then": "then", "beside": "elsewhere"})(scenario)


def test_messages_when_the_run_goes_on_without_this_worker_then_the_last_commit_ends_them() -> None:
    """The run stays in the cache, and its next message goes on from there, with one commit."""

    async def scenario(held: Held) -> None:
        assert await held.begin()
        assert [commit.done for commit in held.api.commits] == [("receipt",)]
        ledger = held.ledger
        assert ledger
        outcome = held.api.fact("A00000001", ActivityCompleted(seq=1, at=held.now, result="once"))
        assert await held.advance(outcome)
        assert held.api.kinds == [["activity_scheduled"], ["fact_taken", "execution_completed"]]
        assert held.api.loads == []
        assert held.ledger is None
        assert ledger.code._is_disposed, "a run that is over is thrown away"

    holding(Once, without=[once])(scenario)


def test_messages_when_nothing_is_to_be_recorded_then_the_caller_ends_them() -> None:
    """The answer tells so."""

    async def scenario(held: Held) -> None:
        await held.begin()
        assert not await held.advance()
        assert len(held.api.commits) == 1

    holding(Once, without=[once])(scenario)


def test_end_when_a_message_is_unread_then_the_code_gets_it_and_what_had_run_does_not_run_again() -> None:
    """Invariant 3 and 5: the outcomes that the refused batch held are recorded with the next one."""

    async def scenario(held: Held) -> None:
        closing = held.api.fact("M00000001", signal(1, held.now, "close", None))
        begun = held.beginning(closing)
        await until(lambda: held.api.batches, 0)
        held.api.verdicts = [UNREAD]
        held.api.fact("M00000002", signal(2, held.now))
        assert await begun
        assert RAN == ["a"]
        end = held.api.events[-1].model_dump()
        assert (end["kind"], end["result"]) == ("execution_completed", {"result": ["x", "a"]})

    holding(Basket, {"first": "a"})(scenario)


def test_end_when_a_message_is_unread_then_a_retry_that_was_not_recorded_is_kept() -> None:
    """With its delay and its number, beside the outcome that came with it."""

    async def scenario(held: Held) -> None:
        held.api.may_record.clear()
        begun = held.beginning()
        await asyncio.sleep(2)
        held.api.may_record.set()
        await until(lambda: held.api.batches, 0)
        held.api.verdicts = [UNREAD]
        assert await begun
        assert RAN == ["flaky", "beside"]
        handed = [event for event in held.api.events if event.kind == "activity_handed_over"]
        assert [(one.model_dump()["attempt"], one.model_dump()["delay_seconds"]) for one in handed] == [(2, 1.0)]
        assert held.api.kinds[-1][-1] == "execution_completed"

    holding(Flaky, {"fails_after": 1.0, "ends_after": 1.0})(scenario)


def test_batch_when_it_could_never_be_recorded_then_that_is_raised_with_the_reason() -> None:
    """The workflow task fails loudly."""

    async def scenario(held: Held) -> None:
        held.api.verdicts = [CommitResult(outcome=CommitOutcome.IMPOSSIBLE, problem="too deep")]
        with pytest.raises(CommitImpossible, match="too deep"):
            await held.begin()
        assert held.ledger is None

    chain({"steps": ["a"]})(scenario)


@pytest.mark.parametrize("is_trusted", [True, False])
def test_workflow_when_this_worker_does_not_serve_it_then_the_error_names_those_it_does(*, is_trusted: bool) -> None:
    """Whether the start came with the message or is loaded."""

    async def scenario(held: Held) -> None:
        held.api.start = held.api.start.model_copy(update={"workflow_name": "unheard-of"})
        with pytest.raises(WorkflowUnknown, match="'unheard-of'; it serves: driver-chain"):
            await held.advance(is_first=True, is_trusted=is_trusted)

    chain({"steps": ["a"]})(scenario)


def test_commit_when_it_is_sent_then_it_says_what_the_api_has_to_know() -> None:
    """How many messages are taken, how large the history is, and the search keys where they change."""

    async def scenario(held: Held) -> None:
        await held.begin()
        first, second = held.api.commits
        assert (first.search_keys, second.search_keys) == ({"stage": "first"}, None)
        assert 0 < first.history.events < second.history.events
        assert second.history.bytes >= len(first.model_dump_json())
        assert first.batch.commit_id != second.batch.commit_id, "it tells a repeat from another writer's batch"

    async def of_basket(held: Held) -> None:
        await held.begin(fact(1, held.now), fact(2, held.now))
        assert held.api.commits[0].mail_taken == 2

    holding(Keyed)(scenario)
    holding(Basket)(of_basket)
