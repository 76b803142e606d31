"""Custom tasks as code meets them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from levante import WorkflowsException, task, task_from
from levante_core.protocol import TaskEvent, TaskPhase
from tests.support.attempts import run_as_activity


class Progress(BaseModel):
    """A state with two fields."""

    done: int = 0
    note: str | None = None


class Titled(BaseModel):
    """A state whose schema has a title of its own."""

    model_config = ConfigDict(title="the title")


def events_of(code: Callable[[], Coroutine[Any, Any, None]]) -> list[TaskEvent]:
    """Run code as an activity; return what it tells."""
    task_events: list[TaskEvent] = []
    run_as_activity(code, task_events.append)
    return task_events


def test_task_when_entered_and_left_then_its_state_is_published_each_time() -> None:
    """It begins with the state it was given, and ends with the last one."""

    async def code() -> None:
        async with task("t", Progress()) as one:
            await one.set_state(Progress(done=1))
            await one.update_state({"note": "half"})
            await one.update_state(Progress(done=2))
            assert (one.id, one.type, one.state) == ("made-up", "t", Progress(done=2, note="half"))

    task_events = events_of(code)
    assert [one.phase for one in task_events] == ["started", "in_progress", "in_progress", "in_progress", "completed"]
    assert task_events[0].payload == {"done": 0, "note": None}
    assert task_events[-1].payload == {"done": 2, "note": "half"}
    assert {(one.task_id, one.task_type) for one in task_events} == {("made-up", "t")}


def test_task_when_the_state_stays_the_same_then_nothing_is_told() -> None:
    """A loop may set it as often as it likes."""

    async def code() -> None:
        async with task("t", {"done": 1}, id="own") as one:
            await one.set_state({"done": 1})

    assert [(one.phase, one.task_id) for one in events_of(code)] == [("started", "own"), ("completed", "own")]


@pytest.mark.parametrize(
    ("error", "phase", "message"),
    [
        (ValueError("why"), TaskPhase.FAILED, "why"),
        (ValueError(), TaskPhase.FAILED, "ValueError"),
        (asyncio.CancelledError(), TaskPhase.CANCELED, None),
    ],
)
def test_task_when_an_exception_leaves_it_then_that_is_told_and_goes_on(
    error: BaseException, phase: TaskPhase, message: str | None
) -> None:
    """Publishing changes nothing about what happens."""

    async def code() -> None:
        with pytest.raises(type(error)):
            async with task("t"):
                raise error

    assert [(one.phase, one.message) for one in events_of(code)] == [(TaskPhase.STARTED, None), (phase, message)]


def test_task_from_when_it_gets_a_model_then_its_title_is_the_type() -> None:
    """The title of its schema, or else the name of the class; a plain value has neither."""
    assert task_from(Progress()).type == "Progress"
    assert task_from(Titled()).type == "the title"
    assert task_from({"done": 1}, type="t").type == "t"
    with pytest.raises(WorkflowsException, match="give the type"):
        task_from({"done": 1})


@pytest.mark.parametrize("state", [None, "text", [1]])
def test_update_when_the_state_has_no_fields_then_the_error_says_so(state: Any) -> None:
    """There is nothing to merge into."""

    async def code() -> None:
        async with task("t", state) as one:
            with pytest.raises(RuntimeError, match="no state with fields"):
                await one.update_state({"done": 1})

    events_of(code)


def test_state_when_it_is_no_json_then_setting_it_fails() -> None:
    """At the line that sets it."""

    async def code() -> None:
        state: object = {"done": 0}
        async with task("t", state) as one:
            with pytest.raises(WorkflowsException, match="has to be JSON"):
                await one.set_state(object())

    events_of(code)


def test_task_when_it_is_used_elsewhere_then_the_error_says_where_it_works() -> None:
    """Outside workflows and activities nobody would hear of it; before it is entered it is nothing yet."""

    async def outside() -> None:
        async with task("t"):
            pass

    with pytest.raises(WorkflowsException, match="only in workflows and activities"):
        asyncio.run(outside())

    async def early() -> None:
        one = task("t", {"done": 0})
        with pytest.raises(WorkflowsException, match="no id"):
            assert one.id
        with pytest.raises(WorkflowsException, match="entered first"):
            await one.set_state({"done": 1})

    events_of(early)
