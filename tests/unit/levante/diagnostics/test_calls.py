"""Durable calls that nobody awaits, or that are used as if they were their results."""

import asyncio
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from levante import activity, execute_workflow, workflow
from levante.diagnostics.calls import NotAwaited
from levante.errors import WorkflowsException
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.replayer import replay
from levante.replay.run import WorkflowRun
from levante_core.protocol import ActivityCompleted, Command, HistoryBatch, RunStart
from tests.support.bodies import Body, Definition

AT = datetime(2026, 1, 1, tzinfo=UTC)
START = RunStart.model_validate({"workflow_name": "w", "input": None, "started_at": AT, "deadline_at": AT})


@activity
async def forgotten_charge(amount: int) -> str:
    return f"{amount}"


@activity
async def forgotten_ship(receipt: str) -> str:
    return receipt


@workflow.define
class Child:
    @workflow.entrypoint
    async def run(self) -> None: ...


def new_run(body: Body) -> WorkflowRun:
    definition: Any = Definition(body)
    return WorkflowRun(definition, "e", "r", START)


def failure_of(body: Body) -> BaseException | None:
    with pytest.raises(WorkflowCodeFailed) as raised:
        new_run(body).begin()
    return raised.value.__cause__


def test_call_when_it_is_not_awaited_then_nothing_after_it_is_recorded() -> None:
    """Once the await is written, the run goes on as if it had always been there."""

    async def forgetful() -> None:
        forgotten_charge(1)  # type: ignore[unused-coroutine]
        await forgotten_ship("a")

    async def mended() -> None:
        await forgotten_charge(1)
        await forgotten_ship("a")

    error = failure_of(forgetful)
    assert isinstance(error, NotAwaited)
    line = inspect.getsourcelines(forgetful)[1] + 1
    assert f"activity 'forgotten_charge' is called at {__file__}:{line} and never awaited" in str(error)
    assert "write `await forgotten_charge(...)`" in str(error)
    assert [command.kind for command in new_run(mended).begin()] == ["activity_scheduled"]


@pytest.mark.parametrize(
    ("forget", "said"),
    [
        (lambda: workflow.sleep(5), "workflow.sleep() is called at"),
        (lambda: workflow.wait_condition(lambda: False), "workflow.wait_condition() is called at"),
        (lambda: execute_workflow(Child), "execute_workflow() is called at"),
    ],
)
def test_waits_when_they_are_not_awaited_then_the_run_fails_too(forget: Callable[[], object], said: str) -> None:
    """Whatever asks for something durable is missed."""

    async def body() -> None:
        forget()

    assert said in str(failure_of(body))


async def _first_that_works(*ways: Any) -> str:
    """Await the first of them, and let go of the others."""
    first, *_ = ways
    result: str = await first
    return result


def test_call_when_it_was_kept_and_is_not_wanted_after_all_then_the_log_names_it_and_the_run_completes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The second of two ways to go, in a helper or in the entrypoint: such programs complete elsewhere, too."""
    kept: list[object] = []

    async def body() -> str:
        spare = forgotten_charge(3)
        kept.append(forgotten_ship("b"))
        result = await _first_that_works(forgotten_charge(1), forgotten_charge(2))
        del spare
        return result

    run = new_run(body)
    run.begin()
    (completed,) = run.apply(ActivityCompleted(seq=1, at=AT, result="1"))
    assert completed.kind == "execution_completed"
    assert caplog.text.count("and never awaited, so it does not run") == 3


USES: dict[str, Callable[[Any], object]] = {
    "made a text": lambda call: f"{call}",
    "compared": lambda call: call == "1",
    "tested": lambda call: "yes" if call else "no",
    "looked into": lambda call: call["total"],
    "computed with": lambda call: call + 1,
    "made a number": int,
    "asked for 'total'": lambda call: call.total,
}


@pytest.mark.parametrize("how", USES)
def test_call_when_it_is_used_as_its_result_then_that_line_raises(how: str) -> None:
    """The error comes up where the value is used, and names where it was called, too."""

    async def body() -> object:
        call = forgotten_charge(1)
        return USES[how](call)

    assert f"and {how} at {__file__}:" in str(failure_of(body))


def test_call_when_it_is_an_argument_then_the_message_says_so() -> None:
    """Else it would only say that a string is expected."""

    async def body() -> None:
        await forgotten_ship(forgotten_charge(1))  # type: ignore[arg-type]

    assert "given as 'receipt' of activity 'forgotten_ship'" in str(failure_of(body))


def test_call_when_it_is_returned_then_the_run_stays_open() -> None:
    """It is a bug to be fixed, and no value that cannot be recorded."""

    async def body() -> object:
        return forgotten_charge(1)

    assert "and returned at" in str(failure_of(body))


@pytest.mark.parametrize(
    "wait",
    [
        lambda call: call,
        asyncio.create_task,
        lambda call: asyncio.gather(call, return_exceptions=True),
        lambda call: asyncio.wait_for(call, 5),
        asyncio.shield,
        lambda call: next(iter(asyncio.as_completed([call]))),
    ],
)
def test_call_when_asyncio_awaits_it_then_it_is_an_ordinary_coroutine(wait: Callable[[Any], Any]) -> None:
    """Whatever takes a coroutine takes a durable call."""

    async def body() -> object:
        return await wait(forgotten_charge(1))

    run = new_run(body)
    commands = run.begin()
    seq = next(one.seq for one in commands if one.kind == "activity_scheduled")
    ends = [one.kind for one in run.apply(ActivityCompleted(seq=seq, at=AT + timedelta(seconds=1), result="1"))]
    assert "execution_completed" in ends


def test_call_when_it_is_closed_on_purpose_then_nothing_is_missed() -> None:
    """The way to say that a call is not wanted after all."""

    async def body() -> None:
        forgotten_charge(1).close()

    assert [command.kind for command in new_run(body).begin()] == ["execution_completed"]


def test_call_when_history_goes_on_after_it_then_replay_passes_it_over() -> None:
    """Executions that were recorded before the mistake was found go on as they did."""

    async def forgetful() -> None:
        forgotten_charge(1)  # type: ignore[unused-coroutine]
        await forgotten_ship("a")
        await forgotten_ship("b")

    async def before() -> None:
        await forgotten_ship("a")
        await forgotten_ship("b")

    recorded = tuple(new_run(before).begin())
    batch = HistoryBatch(index=1, commit_id="c", events=recorded)
    commands: list[Command] = replay(new_run(forgetful), [batch], {})
    assert commands == []


def test_query_when_it_makes_a_durable_call_then_it_is_refused_and_the_run_goes_on() -> None:
    """A query changes nothing, nor does its mistake."""

    async def body() -> None:
        await forgotten_ship("a")

    run = new_run(body)
    run.begin()
    run._is_answering = True
    with pytest.raises(WorkflowsException, match="a query handler must not start anything"):
        _ = run._context.run(forgotten_charge, 1)
    run._is_answering = False
    assert not run.is_over


def test_calls_when_outside_a_workflow_then_they_are_plain_coroutines() -> None:
    """Python warns of those itself."""
    call = forgotten_charge(1)
    assert inspect.iscoroutine(call)
    assert asyncio.run(call) == "1"
    assert inspect.iscoroutinefunction(forgotten_charge)
    assert inspect.iscoroutinefunction(workflow.sleep)
