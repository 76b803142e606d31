"""Resets: executions go on from an earlier event, with what was recorded until then, and the code of today."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import levante as workflows
from levante import workflow
from levante.testing import Execution, ExecutionNotCompleted, WorkflowEnvironment
from levante.testing.installation import WORKSPACE
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import TimerStarted
from levante_core.domain.names import ExecutionId
from levante_core.errors import InvalidResetPoint, NotFound, Unavailable
from levante_core.protocol.workers import CommitOutcome, TaskQueue
from levante_core.services.executions.reset import ForkRequest, ResetRequest, ResetService
from levante_local.greenlets import call
from tests.support.faults import Fate, FaultyStore, OneFault, Operations
from tests.support.place import HOUR, SPACE, new_place


@workflows.activity()
async def step(number: int) -> int:
    """Do something."""
    raise NotImplementedError


@workflow.define(name="reset-chain")
class Chain:
    """Steps one after the other, with a random number and a pause between."""

    @workflow.entrypoint
    async def run(self) -> list[Any]:
        """Return what the steps returned."""
        done: list[Any] = []
        for number in range(4):
            done.append(await step(number))
            if number == 1:
                await workflow.sleep(600)
                done.append(str(workflow.uuid4()))
        return done


@workflow.define(name="reset-letters")
class Letters:
    """Collects signals and updates until there are enough."""

    def __init__(self) -> None:
        self.letters: list[str] = []

    @workflow.entrypoint
    async def run(self, enough: int) -> list[str]:
        """Return them."""
        await step(0)
        await workflow.wait_condition(lambda: len(self.letters) >= enough)
        return self.letters

    @workflow.signal(name="letter")
    def letter(self, text: str) -> None:
        """Keep it."""
        self.letters.append(text)

    @workflow.update(name="ask")
    def ask(self, text: str) -> int:
        """Keep it, and say how many there are."""
        self.letters.append(text)
        return len(self.letters)


@workflow.define(name="reset-parent")
class Parent:
    """Starts a child between two steps."""

    @workflow.entrypoint
    async def run(self) -> list[Any]:
        """Return the child's result."""
        await step(0)
        found: list[Any] = await workflow.execute_workflow(Letters, {"enough": 1})
        await step(1)
        return found


async def valid_events(execution: Execution) -> list[int]:
    """Ask from where an execution could go on."""
    with pytest.raises(InvalidResetPoint) as raised:
        await execution.reset(9999)
    return raised.value.valid_reset_events


@pytest.mark.levante
@pytest.mark.parametrize("always_replay", [False, True])
async def test_execution_when_reset_anywhere_then_what_is_kept_does_not_run_again(always_replay: bool) -> None:  # noqa: FBT001
    """Whatever the point, the result is the same: random numbers, too; only later steps are made again."""
    ran: Counter[int] = Counter()

    def count(number: int) -> int:
        ran[number] += 1
        return number

    async with WorkflowEnvironment([Chain], mocks={step: count}, always_replay=always_replay) as environment:
        first = await environment.start(Chain)
        result = await first.result()
        events = await valid_events(first)
        assert events[0] == 1
        assert len(events) >= 5
        for event_id in reversed(events):
            ran.clear()
            kept = [one for one in (await first.history()).events if one["event_id"] <= event_id]
            await first.reset(event_id, reason="on purpose")
            assert await first.result() == result
            history = await first.history()
            done = [one["seq"] for one in kept if one["kind"] == "activity_completed"]
            assert sum(ran.values()) == 4 - len(done)
            assert [one["kind"] for one in history.events[: len(kept)]] == [one["kind"] for one in kept]
            assert history.events[0]["reset"]["reason"] == "on purpose"
            history.replay(Chain)


@pytest.mark.levante
async def test_execution_when_forked_anywhere_then_the_other_one_ends_alike_and_this_one_does_not_notice() -> None:
    """Random numbers are the same, too, and what is kept does not run again."""
    ran: Counter[int] = Counter()

    def count(number: int) -> int:
        ran[number] += 1
        return number

    async with WorkflowEnvironment([Chain], mocks={step: count}) as environment:
        first = await environment.start(Chain)
        result = await first.result()
        before = (await first.history()).events
        for event_id in await valid_events(first):
            ran.clear()
            done = [one for one in before if one["event_id"] <= event_id and one["kind"] == "activity_completed"]
            place = environment._place
            request = ForkRequest(ResetRequest(event_id), ExecutionId(f"fork-{event_id}"))
            await call(place.engine.resets.fork, WORKSPACE, first.id, request)
            forked = Execution(place, workflows.get_workflow_definition(Chain), f"fork-{event_id}")
            assert await forked.result() == result
            assert sum(ran.values()) == 4 - len(done)
            (await forked.history()).replay(Chain)
        assert (await first.history()).events == before


@pytest.mark.levante
@pytest.mark.parametrize("commit", range(1, 6))
async def test_execution_when_the_worker_dies_after_a_reset_then_another_one_goes_on(commit: int) -> None:
    """The new run is like any other."""
    async with WorkflowEnvironment([Chain], mocks={step: lambda number: number}) as undisturbed:
        first = await undisturbed.start(Chain)
        await first.result()
        commits = len(await valid_events(first))
    async with WorkflowEnvironment([Chain], mocks={step: lambda number: number}, crashes=[commits + commit]) as environment:
        execution = await environment.start(Chain)
        result = await execution.result()
        await execution.reset(1)
        assert await execution.result() == result


@pytest.mark.levante
async def test_execution_when_it_failed_then_it_goes_on_with_what_is_better_now() -> None:
    """The step that failed is made again, and none before it."""
    ran: Counter[int] = Counter()
    broken = True

    def unreliable(number: int) -> int:
        ran[number] += 1
        if broken and number == 2:
            raise workflows.WorkflowError("out of order", non_retryable=True)
        return number

    async with WorkflowEnvironment([Chain], mocks={step: unreliable}) as environment:
        execution = await environment.start(Chain)
        with pytest.raises(ExecutionNotCompleted):
            await execution.result()
        broken = False
        failed = (await execution.history()).of_kind("activity_failed")[0]["event_id"]
        await execution.reset(max(one for one in await valid_events(execution) if one < failed))
        await execution.result()
    assert ran == {0: 1, 1: 1, 2: 2, 3: 1}


@pytest.mark.levante
@pytest.mark.parametrize(
    ("excluded", "expected"),
    [
        ({}, ["a", "b", "c", "d", "late"]),
        ({"exclude_signals": True}, ["b", "d", "late", "later"]),
        ({"exclude_updates": True}, ["a", "c", "late", "later"]),
        ({"exclude_signals": True, "exclude_updates": True}, ["late", "later", "last"]),
    ],
)
async def test_message_when_it_came_after_the_event_then_the_new_run_gets_it_unless_excluded(
    excluded: dict[str, Any], expected: list[str]
) -> None:
    """In its order; what comes after the reset comes behind it."""
    async with WorkflowEnvironment([Letters], mocks={step: lambda number: number}) as environment:
        execution = await environment.start(Letters, {"enough": 5})
        await execution.signal("letter", text="a")
        assert await execution.update("ask", text="b") == 2
        await execution.signal("letter", text="c")
        assert await execution.update("ask", text="d") == 4
        await execution.reset(1, **excluded)
        for text in ("late", "later", "last", "more", "most"):
            if await execution.status() == "RUNNING":
                await execution.update("ask", text=text)
        assert (await execution.result())[: len(expected)] == expected


@pytest.mark.levante
async def test_execution_when_it_is_open_then_its_run_ends_and_the_new_one_waits_as_it_did() -> None:
    """It has its whole time once more; cancellation that was asked for is forgotten."""
    async with WorkflowEnvironment([Letters], mocks={step: lambda number: number}) as environment:
        execution = await environment.start(Letters, {"enough": 1})
        before = await execution.history()
        while "activity_completed" not in before.kinds:
            await asyncio.sleep(0.1)
            before = await execution.history()
        await execution.reset((await valid_events(execution))[-1])
        after = await execution.history()
        assert after.document["run_id"] != before.document["run_id"]
        assert after.kinds == before.kinds
        await execution.signal("letter", text="a")
        assert await execution.result() == ["a"]


@pytest.mark.levante
async def test_children_when_open_at_an_event_then_nobody_can_go_on_from_it() -> None:
    """A child reports to the run that started it. Before its start, and after its end, an execution can be reset."""
    async with WorkflowEnvironment([Parent, Letters], mocks={step: lambda number: number}) as environment:
        parent = await environment.start(Parent)
        while "child_scheduled" not in (history := await parent.history()).kinds:
            await asyncio.sleep(0.1)
        child = history.of_kind("child_scheduled")[0]
        assert max(await valid_events(parent)) < child["event_id"]
        letters = Execution(environment._place, workflows.get_workflow_definition(Letters), child["execution_id"])
        await letters.signal("letter", text="a")
        assert await parent.result() == ["a"]
        completed = (await parent.history()).of_kind("child_completed")[0]
        after = [one for one in await valid_events(parent) if one >= completed["event_id"]]
        await parent.reset(after[0])
        assert await parent.result() == ["a"]


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.UNANSWERED, Fate.CRASHED])
def test_reset_when_a_write_fails_then_a_repeat_leads_to_one_run(fate: Fate, tmp_path: Path) -> None:
    """A run that was half written is never seen; the execution is in the old one, or in a new one."""
    for position in (1, 2):
        with new_place(tmp_path / f"{position}") as place:
            run: RunKey = place.start(execution_id="e")
            timer = TimerStarted(seq=1, fire_at=place.clock.now() + HOUR)
            assert place.commit(run, 1, timer) is CommitOutcome.RECORDED
            engine = place.engine
            store = FaultyStore(engine.streams._store, Operations("reset", OneFault("write", position, fate, is_armed=True)))
            mortal = ResetService(
                store,
                place.clock,
                engine.executions._ids,
                effects=engine.effects,
                builds=engine.builds,
                conflicts=place.conflicts,
                retention=None,
            )
            with pytest.raises((Unavailable, RuntimeError)):
                mortal.reset(SPACE, "e", ResetRequest(2))
            engine.resets.reset(SPACE, "e", ResetRequest(2))
            execution = engine.executions.get(SPACE, "e")
            assert execution.is_open
            assert execution.key.run_id != run.run_id
            assert [task.run_id for task in place.tasks(TaskQueue.WORKFLOW)][-1] == execution.key.run_id


def test_reset_when_the_event_is_none_then_the_error_lists_those_that_are(tmp_path: Path) -> None:
    """The start can always be gone back to."""
    with new_place(tmp_path) as place:
        place.start(execution_id="e")
        with pytest.raises(InvalidResetPoint, match="event 7: take the last event of a step, such as 1") as raised:
            place.engine.resets.reset(SPACE, "e", ResetRequest(7))
        assert raised.value.valid_reset_events == [1]
        with pytest.raises(NotFound):
            place.engine.resets.reset(SPACE, "nobody", ResetRequest(1))
