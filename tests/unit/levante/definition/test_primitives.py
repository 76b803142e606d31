"""What the package offers to workflow code, and the activities that a worker finds."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

import levante
from levante import (
    WorkflowsException,
    activity,
    get_activity_definition,
    get_execution_id,
    workflow,
)
from levante.definition.definitions import discover_activities
from tests.support.fake_run import FakeRun, in_workflow
from tests.unit.levante.definition.orders import OrderWorkflow, one, other


@pytest.fixture
def run() -> Iterator[FakeRun]:
    with in_workflow() as fake:
        yield fake


def test_primitives_when_in_a_workflow_then_they_come_from_the_run(run: FakeRun) -> None:
    """Time and randomness are those of the run, so that replay sees the same."""
    assert workflow.now() == run.now()
    assert workflow.uuid4().version == 4
    assert workflow.random() is run.random
    assert get_execution_id() == "x-1"


def test_waiting_when_in_a_workflow_then_durations_and_seconds_both_work(run: FakeRun) -> None:
    """A timeout is a timedelta or seconds."""

    async def code() -> None:
        await workflow.sleep(0.0)
        await workflow.sleep(timedelta(0), summary="nothing")
        await workflow.wait_condition(lambda: True)
        with pytest.raises(TimeoutError, match="90"):
            await workflow.wait_condition(lambda: False, timeout=timedelta(seconds=90))
        with pytest.raises(TimeoutError, match="5"):
            await workflow.wait_condition(lambda: False, timeout=5)

    asyncio.run(code())


@pytest.mark.parametrize(
    "call",
    [
        workflow.now,
        workflow.uuid4,
        workflow.random,
        lambda: asyncio.run(workflow.sleep(0)),
        lambda: asyncio.run(workflow.wait_condition(lambda: True)),
    ],
    ids=["now", "uuid4", "random", "sleep", "wait_condition"],
)
def test_primitives_when_outside_a_workflow_then_they_say_so(call: Callable[[], Any]) -> None:
    """Nothing quietly falls back to the real clock or to real randomness."""
    with pytest.raises(WorkflowsException, match="only in the code of a running workflow"):
        call()
    assert get_execution_id() is None


def test_unsafe_when_used_then_nothing_happens() -> None:
    """Code written for the vendor's sandbox runs unchanged."""
    with workflow.unsafe.imports_passed_through(), workflow.unsafe.skip_determinism_enforcement():
        pass


def module(**content: Any) -> ModuleType:
    made = ModuleType("made")
    vars(made).update(content)
    return made


def test_discovery_when_a_function_is_imported_twice_then_it_is_one_activity() -> None:
    """All imported activities are served, however often they are imported. Source: SDK contract §9."""
    act = activity()(one)
    found = discover_activities([module(a=act, b=len, c=OrderWorkflow), None, module(a=act)])
    assert found == {"one": get_activity_definition(act)}


def test_discovery_when_two_functions_have_one_name_then_it_names_both_places() -> None:
    """Which of them runs must not depend on the order of imports."""
    with pytest.raises(WorkflowsException, match=r"2 activities are named 'shared-name': .*:\d+ and .*:\d+"):
        discover_activities([module(a=activity(name="shared-name")(each)) for each in (one, other)])


def test_discovery_when_a_script_is_imported_by_name_too_then_both_copies_count_as_one() -> None:
    """A worker script that another module imports is loaded twice from the same file."""
    copies = []
    for name in ("first_copy", "second_copy"):
        copy = ModuleType(name)
        source = "from levante import activity\n@activity()\nasync def act() -> None: ...\n"
        exec(compile(source, "worker.py", "exec"), vars(copy))  # noqa: S102
        copies.append(copy)
    assert list(discover_activities(copies)) == ["act"]


def test_package_when_everything_in_all_is_asked_for_then_it_is_there() -> None:
    """`__all__` is complete: what is listed exists."""
    assert all(hasattr(levante, name) for name in levante.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = levante.nothing
