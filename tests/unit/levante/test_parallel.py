"""Parallel execution: the call, its groups, and who serves it."""

import asyncio
import time
from typing import Any

import pytest

import levante as workflows
from levante.definition.definitions import get_activity_definition
from levante.errors import ActivityError, InvalidArguments, RecordedError, WorkflowError, WorkflowsException
from levante.parallel.groups import run_parallel_group
from levante.parallel.inputs import Call, Group
from levante.parallel.together import failing_together
from levante.replay.endings import WorkflowCodeFailed
from levante.worker import _served
from levante_core.protocol import (
    ActivityOptions,
    Failure,
)
from tests.support.attempts import run_as_activity
from tests.unit.levante.items import Item, asked, child_input, par_at, par_double, par_next


@workflows.activity()
async def par_parts(a: int, b: str = "x") -> str:
    return b * a


@workflows.activity()
async def par_alone() -> int:
    return 1


@workflows.activity()
async def par_forget(item: Item) -> None:
    await asyncio.sleep(0)


@workflows.activity()
async def par_next_of(before: Item | None, extra_params: int) -> Item | None:
    return before if extra_params else None


@workflows.activity()
def par_at_in_thread(params: workflows.GetItemFromIndexParams) -> Item:
    time.sleep(0)
    return Item(number=params.idx)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "give one of items"),
        ({"items": [], "get_item_from_prev_item_activity": par_next}, "give one of items"),
        ({"items": [], "n_items": 1}, "n_items goes with"),
        ({"get_item_from_index_activity": par_at}, "n_items goes with"),
        ({"get_item_from_index_activity": par_at, "n_items": -1}, "has to be 0 or more"),
        ({"items": [], "extra_params": {"a": 1}}, "extra_params are for an activity that fetches"),
        ({"items": [], "max_concurrent_scheduled_tasks": 0}, "max_concurrent_scheduled_tasks has to be at least 1"),
        (
            {"get_item_from_index_activity": par_at, "n_items": 1, "max_concurrent_executions_per_worker": 0},
            "max_concurrent_executions_per_worker has to be at least 1",
        ),
        ({"activity": par_alone, "items": [1]}, "takes no parameters"),
        ({"get_item_from_prev_item_activity": par_parts}, "has to take the item before"),
        ({"get_item_from_index_activity": par_parts, "n_items": 1}, "has to take GetItemFromIndexParams"),
        ({"get_item_from_index_activity": par_double, "n_items": 1}, "number: Field required"),
        ({"get_item_from_prev_item_activity": par_double}, "parameter 'item'"),
        ({"activity": asyncio.sleep, "items": []}, "is no activity"),
    ],
)
def test_call_when_it_cannot_work_then_it_says_why_and_starts_nothing(given: dict[str, Any], why: str) -> None:
    """A mistake in the code is found at the call, whatever the items are."""
    with pytest.raises(WorkflowCodeFailed, match=why) as failed:
        asked(**given)
    assert isinstance(failed.value.__cause__, WorkflowsException)


@pytest.mark.parametrize(
    ("activity", "items", "why"),
    [
        (par_double, [Item(number=1), {"number": "many"}], "item 1: activity 'par_double': parameter 'item'"),
        (par_parts, [{"a": 1}, {"a": 1, "b": "y"}, {"b": "y"}], "item 2: activity 'par_parts': missing"),
        (par_parts, [{"a": 1}, {"a": 1, "c": 1}], "item 1: activity 'par_parts': got an unexpected"),
        (par_parts, [7], "item 0: activity 'par_parts' takes several parameters"),
    ],
)
def test_item_when_it_does_not_fit_then_the_execution_fails_with_its_number(activity: Any, items: Any, why: str) -> None:
    """Contract, section 2: validated up front, not to be retried."""
    (failed,) = asked(activity=activity, items=items)
    assert failed.kind == "execution_failed"
    assert failed.failure.message.startswith(why)
    assert failed.failure.non_retryable


def test_call_when_it_fits_then_the_child_gets_items_and_options_as_json() -> None:
    """What the decorator left out stays out, so that the settings of the worker that runs it decide."""
    given = child_input(items=[Item(number=1), Item(number=2)], max_concurrent_scheduled_tasks=5)
    assert given["source"] == {"form": "list", "items": [{"number": 1}, {"number": 2}], "limit": 5}
    assert given["process"]["parameter"] == "item"
    assert given["process"]["options"]["retry"] == {"max_attempts": 7}
    assert given["results"] == []


def test_call_when_the_activity_returns_none_then_no_results_are_kept() -> None:
    """None-returning activities give None."""
    assert child_input(activity=par_forget, items=[Item(number=1)])["results"] is None


def test_call_when_items_are_fetched_then_extra_params_are_passed_on() -> None:
    """A chain gets them if its activity has a parameter of that name; an activity by index in its params."""
    plain = child_input(get_item_from_prev_item_activity=par_next, extra_params=3)["source"]
    assert (plain["fetch"]["parameter"], plain["fetch"]["constants"]) == ("before", {})
    extra = child_input(get_item_from_prev_item_activity=par_next_of, extra_params=3)["source"]
    assert (extra["fetch"]["parameter"], extra["fetch"]["constants"]) == ("before", {"extra_params": 3})
    at = child_input(get_item_from_index_activity=par_at, n_items=9, extra_params={"a": 1})["source"]
    assert (at["n_items"], at["limit"], at["per_worker"], at["extra_params"]) == (9, 100, 100, {"a": 1})


def test_call_when_made_outside_a_workflow_then_it_is_refused() -> None:
    """There is no child to be started."""
    with pytest.raises(WorkflowsException, match="running workflow"):
        asyncio.run(workflows.execute_activities_in_parallel(par_double, items=[]))


def in_group(group: Group, *activities: Any) -> Any:
    """Run a group as an activity of a worker that serves these activities."""
    served = {one.name: one for one in map(get_activity_definition, activities)}
    definition = get_activity_definition(run_parallel_group)

    async def code() -> Any:
        return definition.dump_result(await definition.run({"group": group.model_dump(mode="json")}))

    return run_as_activity(code, served=served)


def group_of(fetch: str, process: str = "par_double", *, collects: bool = True, extra: Any = None) -> Group:
    options = ActivityOptions()
    return Group(
        fetch=Call(name=fetch, options=options, parameter="params"),
        process=Call(name=process, options=options, parameter="item"),
        extra_params=extra,
        first=3,
        count=4,
        collects=collects,
    )


def test_group_when_run_then_each_item_is_fetched_and_processed_in_order() -> None:
    """Plain functions run in threads as they do elsewhere; where no results are wanted there are none."""
    assert in_group(group_of("par_at"), par_at, par_double) == [6, 8, 10, 12]
    assert in_group(group_of("par_at_in_thread"), par_at_in_thread, par_double) == [6, 8, 10, 12]
    assert in_group(group_of("par_at", "par_forget", collects=False), par_at, par_forget) == []


def test_group_when_an_item_fails_then_the_attempt_fails_with_its_error() -> None:
    """The error is the item's own, no group of errors."""
    with pytest.raises(ValueError, match="no item 5"):
        in_group(group_of("par_at", extra=5), par_at, par_double)


def test_group_when_the_worker_lacks_an_activity_then_the_error_names_it() -> None:
    """A worker with older code may get the group."""
    with pytest.raises(WorkflowsException, match="no activity 'par_double'"):
        in_group(group_of("par_at"), par_at)


def recorded(name: str, *, non_retryable: bool) -> ActivityError:
    error = ActivityError(f"{name} failed", activity_name=name, attempt=1, failure_kind=Failure(type="E", message="m").kind)
    error.__cause__ = RecordedError(Failure(type="E", message=name, non_retryable=non_retryable))
    return error


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ([ValueError("a"), ValueError("b")], "a"),
        ([ValueError("a"), WorkflowError("b", non_retryable=True), WorkflowError("c", non_retryable=True)], "b"),
        ([ValueError("a"), InvalidArguments("b")], "b"),
        ([recorded("a", non_retryable=False), recorded("b", non_retryable=True)], "b failed"),
        ([recorded("a", non_retryable=False), recorded("b", non_retryable=False)], "a failed"),
    ],
)
def test_tasks_when_several_fail_at_once_then_one_is_told_with_its_cause(errors: list[Exception], message: str) -> None:
    """Contract, section 2: the first that is not to be retried, else the first."""
    causes = {str(error): error.__cause__ for error in errors}

    async def fail(error: Exception) -> None:
        raise error

    async def all_at_once() -> None:
        async with failing_together() as group:
            for error in errors:
                group.create_task(fail(error))

    with pytest.raises(Exception, match=message) as raised:
        asyncio.run(all_at_once())
    assert str(raised.value) == message
    assert raised.value.__cause__ is causes[message]


def named(name: str) -> type:
    @workflows.workflow.define(name=name)
    class Some:
        @workflows.workflow.entrypoint
        async def run(self) -> None: ...

    return Some


def test_worker_when_it_serves_workflows_then_the_technical_one_is_among_them() -> None:
    """Users list their own; a worker with none of these is still refused."""
    served = _served([named("mine")])
    assert list(served) == ["mine", "__parallel_execution__"]
    assert served["__parallel_execution__"].is_technical
    assert served["__parallel_execution__"].spec("d").is_technical
    with pytest.raises(WorkflowsException, match="at least one workflow"):
        _served([])


@pytest.mark.parametrize("name", ["__parallel_execution__", "__parallel_execution_obo__"])
def test_define_when_the_name_is_technical_then_it_is_refused(name: str) -> None:
    """These belong to the SDK."""
    with pytest.raises(WorkflowsException, match="reserved"):
        named(name)
