"""What `@activity()` accepts, and what a call of an activity does where."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from levante import ErrorCode, InvalidArguments, WorkflowsException, activity, get_activity_definition
from levante.definition.definitions import with_retry_defaults
from levante_core.protocol import ActivityOptions, RetryPolicy
from tests.support.fake_run import FakeRun, in_workflow


class Receipt(BaseModel):
    amount: int


@activity(name="charge-card", start_to_close_timeout=timedelta(seconds=20), retry_policy_max_attempts=7)
async def charge(amount: int, currency: str = "EUR") -> Receipt:
    """Charge a card."""
    return Receipt(amount=amount + len(currency))


@activity(heartbeat_timeout=timedelta(seconds=5), retry_policy_backoff_coefficient=1.5)
def thread_name(prefix: str) -> str:
    return f"{prefix}{threading.current_thread().name}"


@activity()
async def charge_twice(amount: int) -> int:
    first = await charge(amount)
    return first.amount + (await charge(amount)).amount


@pytest.fixture
def run() -> Iterator[FakeRun]:
    with in_workflow({"amount": 3}) as fake:
        yield fake


def test_call_when_in_a_workflow_then_it_is_scheduled_and_gives_the_declared_type(run: FakeRun) -> None:
    """`await charge(...)` is the durable call; its input is keyed by parameter names."""
    assert asyncio.run(charge(5, currency="CHF")) == Receipt(amount=3)
    assert run.asked == [("charge-card", {"amount": 5, "currency": "CHF"}, get_activity_definition(charge).options)]


def test_call_when_arguments_do_not_fit_then_nothing_is_scheduled(run: FakeRun) -> None:
    """A wrong call is a bug of the workflow, seen before anything is recorded."""
    with pytest.raises(InvalidArguments, match="activity 'charge-card': parameter 'amount'"):
        asyncio.run(charge("much"))  # type: ignore[arg-type]
    assert run.asked == []


def test_call_when_the_recorded_result_does_not_fit_then_the_type_is_never_a_lie() -> None:
    """What workflow code gets has the annotated type, or nothing is got."""
    with in_workflow({"amount": "much"}), pytest.raises(WorkflowsException, match="the recorded result: amount"):
        asyncio.run(charge(5))


def test_plain_function_when_in_a_workflow_then_it_is_scheduled_too() -> None:
    """Plain functions are activities like async ones."""
    with in_workflow("done") as fake:
        assert asyncio.run(thread_name("a")) == "done"
    assert [name for name, _, _ in fake.asked] == ["thread_name"]


def test_call_when_outside_a_workflow_then_the_function_just_runs() -> None:
    """Activities can be tested, and used by one another, as functions."""
    assert asyncio.run(charge(5)) == Receipt(amount=8)
    assert asyncio.run(charge_twice(5)) == 16


def test_plain_function_when_outside_a_workflow_then_it_runs_in_a_thread() -> None:
    """A plain function never blocks the event loop."""
    assert asyncio.run(thread_name("")) != threading.current_thread().name


def test_definition_when_run_by_a_worker_then_it_goes_from_json_to_json() -> None:
    """A worker needs the recorded input and nothing else."""
    definition = get_activity_definition(charge)
    assert definition.dump_result(asyncio.run(definition.run({"amount": 5}))) == {"amount": 8}
    assert definition.bind({"amount": 5}) == ((5, "EUR"), {})
    with pytest.raises(InvalidArguments, match="'amount' is missing"):
        asyncio.run(definition.run({}))


def test_decorated_function_when_inspected_then_it_looks_like_the_original() -> None:
    """Documentation tools and type checkers see the function's own signature."""
    assert charge.__name__ == "charge"
    assert charge.__doc__ == "Charge a card."
    assert list(inspect.signature(charge).parameters) == ["amount", "currency"]
    assert inspect.iscoroutinefunction(thread_name)


def test_options_when_left_out_then_they_are_those_of_the_contract_or_the_workers() -> None:
    """Defaults: 5 minutes, 3 attempts, coefficient 2.0. Source: SDK contract §1; retries may be set per worker."""
    defaults = RetryPolicy(max_attempts=9, backoff_coefficient=3.0)
    options = {each: get_activity_definition(each).options for each in (charge, thread_name, charge_twice)}
    assert options[charge_twice] == ActivityOptions()
    assert options[charge_twice].start_to_close_seconds == 300
    assert options[charge].start_to_close_seconds == 20
    assert options[thread_name].heartbeat_seconds == 5
    assert with_retry_defaults(options[charge], defaults).retry == RetryPolicy(max_attempts=7, backoff_coefficient=3.0)
    assert with_retry_defaults(options[thread_name], defaults).retry == RetryPolicy(max_attempts=9, backoff_coefficient=1.5)
    assert with_retry_defaults(options[charge_twice], defaults).retry == defaults
    assert with_retry_defaults(options[charge], defaults).start_to_close_seconds == 20


@pytest.mark.parametrize(
    ("options", "said", "code"),
    [
        pytest.param({"name": "__internal__x"}, "must not", ErrorCode.ACTIVITY_RESERVED_NAME, id="ours"),
        pytest.param({"name": ""}, "must not", ErrorCode.ACTIVITY_RESERVED_NAME, id="empty"),
        pytest.param({"start_to_close_timeout": timedelta(0)}, "greater than 0", None, id="would time out at once"),
        pytest.param({"start_to_close_timeout": 5}, "timedelta", None, id="of what unit?"),
        pytest.param({"heartbeat_timeout": timedelta(seconds=-1)}, "greater than 0", None, id="negative"),
        pytest.param({"retry_policy_max_attempts": 0}, "max_attempts", None, id="would never run"),
        pytest.param({"retry_policy_backoff_coefficient": 0.5}, "backoff_coefficient", None, id="ever faster"),
    ],
)
def test_activity_when_an_option_is_wrong_then_the_import_fails(options: Any, said: str, code: ErrorCode | None) -> None:
    """What could never run fails where it is written."""
    original = get_activity_definition(charge).function
    with pytest.raises(WorkflowsException, match=said) as caught:
        activity(**options)(original)
    assert caught.value.code is (code or ErrorCode.ACTIVITY_DEFINITION_ERROR)


def test_activity_when_an_attempt_could_outlast_every_lease_then_the_import_fails() -> None:
    """SQS gives its task to somebody else 12 hours after the receipt: the attempt would end as lost, again and again."""
    original = get_activity_definition(charge).function
    activity(start_to_close_timeout=timedelta(hours=11, minutes=30))(original)
    with pytest.raises(WorkflowsException, match=r"'charge'.* is 11:30:01, and no attempt may take longer than 11:30:00"):
        activity(start_to_close_timeout=timedelta(hours=11, minutes=30, seconds=1))(original)


class Some:
    def method(self) -> None: ...


def nested() -> Callable[[], None]:
    def inside() -> None: ...

    return inside


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


def unannotated(value) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001


def variadic(*values: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "code"),
    [
        pytest.param(Some.method, ErrorCode.ACTIVITY_NOT_MODULE_LEVEL, id="a method needs its instance"),
        pytest.param(nested(), ErrorCode.ACTIVITY_NOT_MODULE_LEVEL, id="no worker could find it"),
        pytest.param(lambda: None, ErrorCode.ACTIVITY_NOT_MODULE_LEVEL, id="a lambda has no name"),
        pytest.param(partial(nested), ErrorCode.ACTIVITY_NOT_MODULE_LEVEL, id="not a function"),
        pytest.param(generator, ErrorCode.ACTIVITY_DEFINITION_ERROR, id="one result, not many"),
        pytest.param(async_generator, ErrorCode.ACTIVITY_DEFINITION_ERROR, id="the same"),
        pytest.param(unannotated, ErrorCode.ACTIVITY_DEFINITION_ERROR, id="nothing says what to read"),
        pytest.param(variadic, ErrorCode.ACTIVITY_DEFINITION_ERROR, id="input is given by name"),
    ],
)
def test_activity_when_the_function_cannot_be_one_then_the_import_fails(function: Any, code: ErrorCode) -> None:
    """A definition that no worker could run fails where it is written."""
    with pytest.raises(WorkflowsException) as caught:
        activity()(function)
    assert caught.value.code is code


def test_definition_when_asked_of_a_plain_function_then_it_says_what_to_do() -> None:
    """The message is the instruction."""
    with pytest.raises(WorkflowsException, match=r"decorator.py:\d+\) is no activity: decorate it with @activity$"):
        get_activity_definition(generator)
