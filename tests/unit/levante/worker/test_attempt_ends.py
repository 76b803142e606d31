"""How attempts end: errors of every kind, and results that cannot be recorded."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from pydantic import BaseModel, field_serializer, field_validator

import levante as workflows
from levante.errors import InvalidArguments, WorkflowError
from levante.testing import run_in_virtual_time
from levante.worker.activities.attempt_end import Failed
from levante.worker.activities.contained_tasks import contain_exits
from levante_core.protocol import Failure, FailureKind, GiveUp, RetryAfter, RetryPolicy, after_failure
from tests.support.activity_runner import Runner
from tests.unit.levante.worker.attempts import CALLS, RAISED, raise_it


class Abort(BaseException):
    """No Exception."""


class WithoutInit(WorkflowError):
    """Never calls what WorkflowError does at its making."""

    def __init__(self, number: int) -> None:
        self.number = number


class Unprintable(WorkflowError):
    """Raises for whatever it is asked."""

    def __init__(self) -> None:
        pass

    def __str__(self) -> str:
        raise KeyboardInterrupt

    def __getattribute__(self, name: str) -> Any:
        if name in {"details", "non_retryable"}:
            raise RuntimeError(name)
        return super().__getattribute__(name)


@workflows.activity(name="ends-raise-in-thread")
def raise_it_in_thread() -> None:
    """Raise it in a thread."""
    raise RAISED[-1]


def failure_of(error: BaseException, activity: Callable[..., Any]) -> Failure:
    """Return the record of an attempt that raises this."""

    async def main() -> Failure:
        RAISED.append(error)
        end = await Runner(raise_it, raise_it_in_thread).run(activity)
        assert isinstance(end, Failed)
        return end.failure

    return run_in_virtual_time(main())


ODD = {
    "a BaseException": (Abort("stop"), "Abort", "stop"),
    "GeneratorExit": (GeneratorExit(), "GeneratorExit", "GeneratorExit"),
    "KeyboardInterrupt": (KeyboardInterrupt(), "KeyboardInterrupt", "KeyboardInterrupt"),
    "SystemExit": (SystemExit(3), "SystemExit", "3"),
    "StopAsyncIteration": (StopAsyncIteration("end"), "StopAsyncIteration", "end"),
    "an error without the init of its base": (WithoutInit(7), "WithoutInit", "7"),
    "an error that raises when it is read": (Unprintable(), "Unprintable", "<no text: rendering it raised an exception>"),
    "a TimeoutError of its own": (TimeoutError(), "TimeoutError", "TimeoutError"),
}


@pytest.mark.parametrize("activity", [raise_it, raise_it_in_thread], ids=["async", "in a thread"])
@pytest.mark.parametrize(("error", "kind", "message"), ODD.values(), ids=list(ODD))
def test_attempt_when_its_code_raises_something_odd_then_it_fails_at_once_with_that(
    error: BaseException, kind: str, message: str, activity: Callable[..., Any]
) -> None:
    """Whatever user code raises is the cause of the failed attempt, which is tried again, and ends no worker."""
    failure = failure_of(error, activity)
    assert (failure.type, failure.message, failure.kind) == (kind, message, FailureKind.APPLICATION)
    assert isinstance(after_failure(RetryPolicy(), 1, failure), RetryAfter)


def test_attempt_when_its_thread_raises_stop_iteration_then_it_fails_with_that() -> None:
    """No future can carry StopIteration, so it must not be left to one."""
    assert failure_of(StopIteration("none left"), raise_it_in_thread).type == "StopIteration"


def test_attempt_when_its_coroutine_raises_stop_iteration_then_that_is_the_cause() -> None:
    """Python itself makes a RuntimeError of it (PEP 479)."""
    failure = failure_of(StopIteration("none left"), raise_it)
    assert failure.cause
    assert (failure.type, failure.cause.type) == ("RuntimeError", "StopIteration")


@pytest.mark.parametrize("activity", [raise_it, raise_it_in_thread], ids=["async", "in a thread"])
def test_attempt_when_it_raises_cancelled_error_though_nobody_asked_then_it_is_tried_again(activity: Any) -> None:
    """An error of its own is no cancellation: the record says so, and what was cancelled."""
    failure = failure_of(asyncio.CancelledError("pool closed"), activity)
    assert failure.kind is FailureKind.APPLICATION
    assert failure.type == "CancelledError"
    assert "though nobody cancelled it" in failure.message
    assert "pool closed" in failure.message
    assert isinstance(after_failure(RetryPolicy(), 1, failure), RetryAfter)


@pytest.mark.parametrize(
    "final",
    [
        WorkflowError("no", non_retryable=True),
        InvalidArguments("no"),
        BaseExceptionGroup("inner", [Abort(), WorkflowError("no", non_retryable=True)]),
    ],
    ids=["WorkflowError", "InvalidArguments", "nested"],
)
def test_group_when_one_in_it_is_not_to_be_tried_again_then_the_whole_is_not(final: BaseException) -> None:
    """The cause is the one that decided."""
    failure = failure_of(BaseExceptionGroup("both", [ValueError("a"), final]), raise_it)
    assert failure.cause
    assert failure.cause.type == type(final).__name__
    assert isinstance(after_failure(RetryPolicy(), 1, failure), GiveUp)


def test_group_when_all_in_it_may_be_tried_again_then_the_whole_may() -> None:
    """Its cause is the first one."""
    failure = failure_of(ExceptionGroup("both", [ValueError("a"), WorkflowError("b")]), raise_it)
    assert failure.cause
    assert failure.cause.type == "ValueError"
    assert isinstance(after_failure(RetryPolicy(), 1, failure), RetryAfter)


@workflows.activity(name="ends-children")
async def fail_in_task(how: str) -> None:
    """Let a task of its own raise what ends loops."""
    error = KeyboardInterrupt("Ctrl-C") if how == "KeyboardInterrupt" else SystemExit(4)

    async def child() -> None:
        await asyncio.sleep(0)
        raise error

    await asyncio.gather(child(), asyncio.sleep(1))


@pytest.mark.parametrize("how", ["KeyboardInterrupt", "SystemExit"])
def test_attempt_when_a_task_of_it_raises_what_ends_loops_then_only_the_attempt_fails(how: str) -> None:
    """Asyncio lets those two through to whoever runs the loop, and that is the whole worker."""

    async def main() -> None:
        contain_exits(asyncio.get_running_loop())
        end = await Runner(fail_in_task).run(fail_in_task, {"how": how})
        assert isinstance(end, Failed)
        assert how in end.failure.message
        assert end.failure.cause
        assert end.failure.cause.type == how

    run_in_virtual_time(main())


class Broken(BaseModel):
    """Cannot be written."""

    number: int = 1

    @field_serializer("number")
    def write(self, _: int) -> int:
        """Raise."""
        raise LookupError("no rate")


class Picky(BaseModel):
    """Cannot be read."""

    number: int

    @field_validator("number")
    @classmethod
    def read(cls, _: int) -> int:
        """Raise what is no ValueError."""
        raise LookupError("no rate")


@workflows.activity(name="ends-return")
async def return_it(what: str) -> Any:
    """Do something that costs money, and return what cannot be recorded."""
    CALLS.append(what)
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    return {
        "no JSON": object(),
        "a set of objects": {object()},
        "too large": "x" * 3_000_000,
        "too deep": deep,
        "a serializer raises": Broken(),
    }[what]


@workflows.activity(name="ends-return-typed")
async def return_wrong_type() -> int:
    """Return what does not fit."""
    CALLS.append("typed")
    return cast("int", "many")


@workflows.activity(name="ends-picky")
async def take(picky: Picky) -> None:
    """Take an input that cannot be read."""
    CALLS.append(f"picky {picky}")


@pytest.fixture(autouse=True)
def no_calls() -> None:
    """Forget what other tests called."""
    CALLS.clear()
    RAISED.clear()


@pytest.mark.parametrize("what", ["no JSON", "a set of objects", "too large", "too deep", "a serializer raises", "typed"])
def test_result_when_it_cannot_be_recorded_then_the_activity_fails_for_good_and_says_that_it_ran(what: str) -> None:
    """Another attempt would only repeat what the function does."""

    async def main() -> Failure:
        runner = Runner(return_it, return_wrong_type)
        end = await (runner.run(return_wrong_type) if what == "typed" else runner.run(return_it, {"what": what}))
        assert isinstance(end, Failed)
        return end.failure

    failure = run_in_virtual_time(main())
    assert [what] == CALLS
    assert "function did run" in failure.message
    assert isinstance(after_failure(RetryPolicy(), 1, failure), GiveUp)


@pytest.mark.parametrize(
    ("activity", "value"),
    [(return_it, {"what": 3}), (return_it, {"other": "x"}), (take, {"picky": {"number": 1}})],
    ids=["wrong type", "wrong name", "a validator raises"],
)
def test_input_when_it_does_not_fit_then_the_activity_fails_for_good_without_being_called(activity: Any, value: Any) -> None:
    """The same input never fits."""

    async def main() -> Failure:
        end = await Runner(return_it, take).run(activity, value)
        assert isinstance(end, Failed)
        return end.failure

    failure = run_in_virtual_time(main())
    assert CALLS == []
    assert failure.type == "InvalidArguments"
    assert isinstance(after_failure(RetryPolicy(), 1, failure), GiveUp)
