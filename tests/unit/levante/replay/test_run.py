"""The code of a run driven by hand: what it may do, what it is refused, and how it is thrown away."""

import asyncio
import gc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from levante import workflow
from levante.context import current_workflow
from levante.errors import InvalidArguments, NonDeterminismError
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.replayer import replay
from levante.replay.run import WorkflowRun
from levante_core.protocol import (
    ActivityCompleted,
    ActivityFailed,
    ActivityOptions,
    CodeFailed,
    ExecutionFailed,
    FactTaken,
    Failure,
    HistoryBatch,
    InconsistentHistory,
    Outcome,
    RunStart,
    TimerFired,
)
from tests.support.bodies import Body, Definition

AT = datetime(2026, 1, 1, tzinfo=UTC)
START = RunStart.model_validate({"workflow_name": "w", "input": None, "started_at": AT, "deadline_at": AT})


def new_run(body: Body) -> WorkflowRun:
    definition: Any = Definition(body)
    return WorkflowRun(definition, "e", "r", START)


def activity(name: str = "a") -> "asyncio.Future[Any]":
    context = current_workflow.get()
    assert context
    return context.start_activity(name, {}, ActivityOptions())


def completed(seq: int, result: Any = None) -> Outcome:
    return ActivityCompleted(seq=seq, at=AT, result=result)


def kinds(commands: list[Any]) -> list[str]:
    return [command.kind for command in commands]


@pytest.mark.parametrize("act", ["to_thread", "executor", "threadsafe"])
def test_threads_when_workflow_code_asks_for_them_then_they_are_refused(act: str) -> None:
    """Threads answer in any order; the error says where the work belongs."""

    async def body() -> None:
        loop = asyncio.get_running_loop()
        if act == "to_thread":
            await asyncio.to_thread(print)
        elif act == "executor":
            await loop.run_in_executor(None, print)
        else:
            loop.call_soon_threadsafe(print)

    with pytest.raises(WorkflowCodeFailed, match="activity"):
        new_run(body).begin()


def test_time_limit_when_it_passes_then_the_activity_is_no_longer_waited_for() -> None:
    """Cancelling what waits for an activity is recorded, and its late outcome is nobody's."""

    async def body() -> str:
        try:
            await asyncio.wait_for(activity(), 5)
        except TimeoutError:
            return "gave up"
        return "got it"

    run = new_run(body)
    assert kinds(run.begin()) == ["activity_scheduled", "timer_started"]
    commands = run.apply(TimerFired(seq=2, at=AT + timedelta(seconds=5)))
    assert kinds(commands) == ["activity_cancel_requested", "execution_completed"]
    assert run.now() == AT + timedelta(seconds=5)


def test_time_limit_when_the_activity_is_quicker_then_its_timer_is_canceled() -> None:
    """A timer that nobody waits for any more never fires."""

    async def body() -> Any:
        return await asyncio.wait_for(activity(), 5)

    run = new_run(body)
    run.begin()
    assert kinds(run.apply(completed(1, "x"))) == ["timer_canceled", "execution_completed"]


def test_condition_when_it_holds_already_or_later_then_the_code_goes_on() -> None:
    """Conditions are looked at after everything that happens."""

    async def body() -> list[str]:
        seen: list[str] = []
        context = current_workflow.get()
        assert context
        await context.wait_condition(lambda: True, None)
        waiting = asyncio.create_task(context.wait_condition(lambda: bool(seen), None))
        seen.append(await activity())
        await waiting
        return seen

    run = new_run(body)
    assert kinds(run.begin()) == ["activity_scheduled"]
    (end,) = run.apply(completed(1, "x"))
    assert end.model_dump()["result"] == ["x"]


def test_error_in_a_task_when_nobody_waits_for_it_then_it_is_logged_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An error that is nobody's is not lost without a word."""

    async def fail() -> None:
        raise KeyError("unseen")

    async def body() -> None:
        task = asyncio.create_task(fail())
        await activity()
        assert task.done()
        del task
        gc.collect()

    gc.freeze()  # however much other tests have left, the collection inside takes no time
    try:
        run = new_run(body)
        run.begin()
        assert kinds(run.apply(completed(1))) == ["execution_completed"]
    finally:
        gc.unfreeze()
    assert "unseen" in caplog.text


@pytest.mark.slow
def test_garbage_when_it_is_collected_between_turns_then_no_code_of_it_runs() -> None:
    """Tasks that nobody refers to are held; what is in a cycle is gone without a word, and acts in no other run."""
    acted: list[str] = []

    async def stuck() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            acted.append("stuck")
            await activity("never")

    async def pages() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            acted.append("pages")
            await activity("never")

    async def body() -> None:
        asyncio.create_task(stuck())  # noqa: RUF006 - nobody refers to it on purpose
        generator = pages()
        cycle: list[Any] = [generator]
        cycle.append(cycle)
        assert await anext(generator) == 1
        del generator, cycle
        await activity()

    async def other() -> None:
        await activity()
        await activity()

    run, another = new_run(body), new_run(other)
    assert kinds(run.begin()) == ["activity_scheduled"]
    another.begin()
    for seq in (1, 2):
        gc.collect()
        assert kinds(another.apply(completed(seq))) == [["activity_scheduled"], ["execution_completed"]][seq - 1]
    assert kinds(run.apply(completed(1))) == ["execution_completed"]
    assert acted == []
    run.dispose()


def test_activity_error_when_it_is_not_caught_then_the_execution_fails_with_it() -> None:
    """Errors are rebuilt from what is recorded."""

    async def body() -> None:
        await activity("charge")

    run = new_run(body)
    run.begin()
    (end,) = run.apply(ActivityFailed(seq=1, at=AT, failure=Failure(message="no money"), attempt=3))
    assert "no money" in end.model_dump()["failure"]["message"]


@pytest.mark.parametrize("error", [KeyError("bug"), asyncio.CancelledError()])
def test_ordinary_error_when_it_leaves_the_code_then_the_run_is_not_ended(error: BaseException) -> None:
    """A bug is no outcome."""

    async def body() -> None:
        raise error

    with pytest.raises(WorkflowCodeFailed):
        new_run(body).begin()


@pytest.mark.slow
def test_dispose_when_code_cleans_up_then_nothing_reaches_the_outside(caplog: pytest.LogCaptureFixture) -> None:
    """A run that is thrown away asks for nothing more, whatever its `finally` blocks want."""
    cleaned: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async def body() -> None:
        task = asyncio.create_task(stubborn())
        try:
            await asyncio.wait_for(activity(), 10)
        finally:
            cleaned.append("begun")
            await activity("cleanup")
            cleaned.append("not reached")
            await task

    gc.collect()
    caplog.clear()  # other tests leave runs behind that complain when they are collected
    run = new_run(body)
    run.begin()
    run.dispose()
    del run
    gc.collect()
    assert cleaned == ["begun"]
    assert caplog.text == ""


def test_dispose_when_code_is_too_stubborn_then_it_gives_up() -> None:
    """Code that catches every cancellation cannot keep the worker busy."""

    async def body() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    run = new_run(body)
    run.begin()
    run.dispose()
    assert not run.is_over


async def two_steps() -> Any:
    first = await activity("one")
    if first == "bug":
        raise KeyError("a bug")
    return await activity("two")


def test_replay_when_code_failed_over_an_input_then_its_commands_are_new() -> None:
    """After the note, the commands that an input leads to are not recorded yet."""
    live = new_run(two_steps)
    recorded = [*live.begin(), completed(1, "fine"), CodeFailed(failure=Failure(message="x"))]
    batch = HistoryBatch(index=1, commit_id="c", events=tuple(recorded))
    assert [command.name for command in replay(new_run(two_steps), [batch], {}) if hasattr(command, "name")] == ["two"]


def test_replay_when_an_input_comes_before_recorded_commands_then_it_is_refused() -> None:
    """Each input is followed by what it led to before the next one comes."""

    async def both() -> None:
        await asyncio.gather(activity("one"), activity("two"))

    first, _ = new_run(both).begin()
    events = (first, completed(1))
    with pytest.raises(NonDeterminismError, match="before which no command is recorded"):
        replay(new_run(both), [HistoryBatch(index=1, commit_id="c", events=events)], {})


def test_payload_when_it_is_too_large_then_asking_for_the_activity_fails() -> None:
    """An input that could not be sent is refused where it is made."""

    async def body() -> None:
        context = current_workflow.get()
        assert context
        await context.start_activity("a", {"x": "x" * 3_000_000}, ActivityOptions())

    (end,) = new_run(body).begin()
    assert end.kind == "execution_failed"


@workflow.define(name="run-child")
class Child:
    @workflow.entrypoint
    async def run(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    "options",
    [
        {"execution_timeout": timedelta()},
        {"execution_timeout": timedelta(seconds=-1)},
        {"execution_timeout": 60},
        {"execution_id": "no spaces"},
    ],
)
def test_child_when_an_option_could_not_work_then_the_line_that_asks_for_it_says_so(options: Any) -> None:
    """Nothing is recorded of it, and code may catch it as any other wrong argument."""

    async def body() -> str:
        with pytest.raises(InvalidArguments, match=next(iter(options))):
            await workflow.execute_workflow(Child, **options)
        return "refused"

    (end,) = new_run(body).begin()
    assert end.kind == "execution_completed"


def test_loop_when_asked_about_itself_then_it_answers_as_a_loop() -> None:
    """Libraries look at the loop before they use it."""

    async def body() -> list[Any]:
        loop = asyncio.get_running_loop()
        called: list[str] = []
        loop.call_later(0, called.append, "now")
        canceled = loop.call_soon(called.append, "never")
        canceled.cancel()
        await asyncio.sleep(0)
        loop.default_exception_handler({"message": "said"})
        return [loop.is_running(), loop.is_closed(), loop.get_debug(), loop.time() == AT.timestamp(), called]

    (end,) = new_run(body).begin()
    assert end.model_dump()["result"] == [True, False, False, True, ["now"]]


def test_result_when_it_cannot_be_written_then_the_run_stays_open_for_fixed_code() -> None:
    """A result of the wrong type is a bug in the code, not an end of the execution."""

    async def body() -> object:
        return object()

    class Fussy(Definition):
        def dump_result(self, value: Any) -> Any:
            raise TypeError(f"no JSON: {type(value).__name__}")

    definition: Any = Fussy(body)
    with pytest.raises(WorkflowCodeFailed, match="no JSON: object"):
        WorkflowRun(definition, "e", "r", START).begin()


def test_result_when_it_is_too_large_then_the_execution_fails_and_says_so() -> None:
    """What could never be recorded ends the execution: no later code could return less."""

    async def body() -> str:
        return "x" * (2 * 1024 * 1024 + 1)

    (end,) = new_run(body).begin()
    assert isinstance(end, ExecutionFailed)
    assert end.failure.type == "PayloadRefused"
    assert "the result of the workflow" in end.failure.message


def test_replay_when_history_takes_a_fact_that_is_not_there_then_it_is_inconsistent() -> None:
    """A history without its facts is damaged; it is never replayed as if nothing had been taken."""

    async def body() -> None:
        await activity()

    scheduled = HistoryBatch(index=1, commit_id="c", events=tuple(new_run(body).begin()))
    taken = HistoryBatch(index=2, commit_id="c", events=(FactTaken(fact="00000001"),))
    with pytest.raises(InconsistentHistory, match="00000001"):
        replay(new_run(body), [scheduled, taken], {})
