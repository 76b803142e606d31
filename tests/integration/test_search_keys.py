"""Search keys, from workflow code to the execution's item."""

from typing import Any

import pytest
from pydantic import BaseModel

import levante as workflows
from levante import workflow
from levante.definition.search_keys import extraction
from levante.testing import Execution, WorkflowEnvironment
from levante_core.domain.executions.search_keys import problem_with_size

pytestmark = pytest.mark.levante


class Customer(BaseModel):
    """Who orders."""

    id: str
    nickname: str | None = None


class Order(BaseModel):
    """What is ordered, and what becomes of it."""

    customer: Customer
    count: int = 1
    rounds: int = 0


@workflows.activity(name="search-keys-note")
async def note(what: str) -> str:
    """Return the text."""
    return what


@workflow.define(
    name="search-keys-order", search_keys=["customer.id", "customer.nickname", "count", "customer", "not.there"]
)
class OrderFlow:
    """Is found by its customer, and by how far it has come."""

    @workflow.entrypoint
    async def run(self, order: Order) -> str:
        """See the class."""
        workflow.add_search_keys({"state": "new", "label": None})
        await note("a")
        workflow.add_search_keys({"state": "noted"})
        workflow.delete_search_keys(["label", "unknown"])
        if order.rounds:
            workflow.continue_as_new(order.model_copy(update={"rounds": order.rounds - 1, "count": 7}))
        return await note("b")


@workflow.define(name="search-keys-many")
class Many:
    """Sets as many keys as it is told, and says what is refused."""

    @workflow.entrypoint
    async def run(self, keys: dict[str, Any], count: int = 0) -> str | None:
        """See the class."""
        try:
            workflow.add_search_keys({**{f"k{number}": "v" for number in range(count)}, **keys})
        except workflows.WorkflowsException as error:
            return str(error)
        return None


async def found_by(execution: Execution) -> dict[str, str | None]:
    return dict(await execution.search_keys())


@pytest.mark.parametrize("always_replay", [False, True])
@pytest.mark.parametrize("crashes", [(), (1,), (2,), (3,)])
async def test_search_keys_when_set_removed_and_taken_from_the_input_then_the_execution_has_them(
    crashes: tuple[int, ...], *, always_replay: bool
) -> None:
    """SDK contract §1 and §4: dotted paths into the input, and what the code adds and deletes; whatever dies meanwhile."""
    given = {"customer": {"id": "c-1"}}
    async with WorkflowEnvironment(
        [OrderFlow], activities=[note], always_replay=always_replay, crashes=crashes
    ) as environment:
        execution = await environment.start(OrderFlow, given)
        assert await execution.result() == "b"
        keys = await found_by(execution)
    assert keys == {
        "customer.id": "c-1",
        "customer": '{"id":"c-1"}',
        "state": "noted",
    }


async def test_search_keys_when_continued_as_new_then_they_are_the_executions() -> None:
    """The new run goes on with them; its own input counts for what is taken from inputs."""
    given = {"customer": {"id": "c-1", "nickname": None}, "count": 2, "rounds": 1}
    async with WorkflowEnvironment([OrderFlow], activities=[note]) as environment:
        execution = await environment.start(OrderFlow, given)
        await execution.result()
        keys = await found_by(execution)
    assert (keys["count"], keys["state"], keys["customer.nickname"]) == ("7", "noted", None)
    assert "label" not in keys


async def test_search_keys_when_reset_then_they_are_those_of_that_point() -> None:
    """What was set after the point is forgotten, until the code sets it again."""
    async with WorkflowEnvironment([OrderFlow], activities=[note]) as environment:
        execution = await environment.start(OrderFlow, {"customer": {"id": "c-1"}})
        await execution.result()
        await execution.reset(1)
        assert await execution.result() == "b"
        assert (await found_by(execution))["state"] == "noted"


async def test_search_keys_when_values_are_long_then_they_are_cut() -> None:
    """REST contract §1.5: 8,192 characters."""
    async with WorkflowEnvironment([Many]) as environment:
        execution = await environment.start(Many, {"keys": {"long": "x" * 9000}, "count": 19})
        assert await execution.result() is None
        keys = await found_by(execution)
    assert (len(keys), keys["long"]) == (20, "x" * 8192)


async def test_search_keys_when_values_of_the_input_are_too_large_together_then_they_are_cut_further() -> None:
    """No line of code sets these, so there is nobody to tell."""
    paths = [f"k{number}" for number in range(20)]
    values = extraction(paths, dict.fromkeys(paths, "\x00" * 8192)).values
    assert problem_with_size(values) is None
    assert {len(value or "") for value in values.values()} == {400}
    assert extraction(["a"], {"a": "x" * 8192}).values == {"a": "x" * 8192}


@pytest.mark.parametrize(
    ("keys", "count", "said"),
    [
        ({}, 21, "20 search keys at most"),
        ({"a:b": "x"}, 0, "has a ':'"),
        ({"a=": "x"}, 0, "ends with '='"),
        ({" ": "x"}, 0, "is blank"),
        ({"k" * 257: "x"}, 0, "has 257 characters"),
        ({"internal.x": "x"}, 0, "is reserved"),
        ({"n": 5}, 0, "has to be text or None, not int"),
        ({f"l{number}": "語" * 8192 for number in range(3)}, 0, "65,536 fit"),
    ],
)
async def test_search_keys_when_they_cannot_be_then_the_code_is_told(keys: dict[str, Any], count: int, said: str) -> None:
    """Nothing is set of a call that is refused."""
    async with WorkflowEnvironment([Many]) as environment:
        execution = await environment.start(Many, {"keys": keys, "count": count})
        assert said in (await execution.result())
        assert await found_by(execution) == {}
