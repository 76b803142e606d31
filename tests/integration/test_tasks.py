"""Custom tasks: published in order, once, before the outcome of the activity that publishes them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from levante_core.domain.names import ExecutionId
from levante_core.domain.streams.events import StreamEvent
from levante_local.greenlets import call
from tests.integration.task_workflows import ACTIVITIES, ATTEMPTS, WORKFLOWS
from tests.support.direct import WORKSPACE, Installation

MODES = {"live": 1000, "always-replay": 0}

Scenario = Callable[[Installation], Awaitable[None]]


@pytest.fixture(params=MODES, ids=list(MODES))
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario on an installation with a worker that keeps all runs, or none."""

    async def within(scenario: Scenario) -> None:
        place = Installation(tmp_path)
        async with place.running(), place.worker(WORKFLOWS, ACTIVITIES, max_cached_workflows=MODES[request.param]):
            await scenario(place)

    return lambda scenario: asyncio.run(within(scenario))


async def stream(place: Installation, execution: str) -> list[StreamEvent]:
    """Return all events of an execution, after a look that they have a place each and are told once."""
    streams = place.engine.streams
    await call(streams.publish, WORKSPACE, ExecutionId(execution))
    stream_events = await call(lambda: list(streams.read(WORKSPACE, ExecutionId(execution), 1)))
    assert [one.sequence for one in stream_events] == list(range(1, len(stream_events) + 1))
    assert len({one.update.event.event_id for one in stream_events}) == len(stream_events)
    named = {
        one.update.stream: one.update.event.attributes.get("custom_task_type", one.update.stream) for one in stream_events
    }
    assert all(stream == task_type for stream, task_type in named.items()), "the type of a task is the name of its stream"
    return [one.update.event for one in stream_events]


def of_task(events: list[StreamEvent], task_type: str) -> list[tuple[str, Any]]:
    """Return what was published of tasks of a type: the phase, and what it carries."""
    return [
        (event.event_type.removeprefix("CUSTOM_TASK_"), _said(event.attributes))
        for event in events
        if event.attributes.get("custom_task_type") == task_type
    ]


def _said(attributes: Any) -> Any:
    if "payload" not in attributes:
        return attributes["failure"]["message"]
    value = attributes["payload"]["value"]
    if attributes["payload"]["type"] == "json":
        return value
    return [(one["op"], one["path"], one["value"]) for one in value]


def test_tasks_when_code_tells_of_them_then_the_stream_has_every_step(run: Callable[[Scenario], None]) -> None:
    """Tasks of activities come between start and outcome of their activity; a text that grows as what came."""

    async def scenario(place: Installation) -> None:
        execution = await place.start("tasks-tell", {"label": uuid4().hex, "questions": 1})
        assert (await place.result(execution)).ending.result == {"result": ["0-ok"]}
        events = await stream(place, execution)
        assert of_task(events, "answer") == [
            ("STARTED", {"text": "", "tokens": 0}),
            ("IN_PROGRESS", [("append", "/text", "0"), ("replace", "/tokens", 1)]),
            ("IN_PROGRESS", [("append", "/text", "-"), ("replace", "/tokens", 2)]),
            ("IN_PROGRESS", [("append", "/text", "ok"), ("replace", "/tokens", 3)]),
            ("COMPLETED", {"text": "0-ok", "tokens": 3}),
        ]
        assert of_task(events, "progress") == [
            ("STARTED", {"done": 0}),
            ("IN_PROGRESS", [("replace", "/done", 1)]),
            ("COMPLETED", {"done": 1}),
        ]
        types = [(str(event.event_type), event.attributes.get("custom_task_type")) for event in events]
        assert types.index(("CUSTOM_TASK_COMPLETED", "answer")) < types.index(("ACTIVITY_TASK_COMPLETED", None))
        assert {event.attributes["custom_task_id"] for event in events if _is_of(event, "progress")} == {"the-progress"}

    run(scenario)


def _is_of(event: StreamEvent, task_type: str) -> bool:
    return event.attributes.get("custom_task_type") == task_type


def test_task_when_the_attempt_fails_then_both_attempts_are_told(run: Callable[[Scenario], None]) -> None:
    """Each attempt is a task of its own; the error goes on its way and the activity is tried again."""

    async def scenario(place: Installation) -> None:
        execution = await place.start("tasks-tell", {"label": uuid4().hex, "questions": 1, "fails": 1})
        assert (await place.result(execution)).ending.result == {"result": ["0-ok"]}
        events = await stream(place, execution)
        stream_events = of_task(events, "answer")
        begun = ["STARTED", *3 * ["IN_PROGRESS"]]
        assert [phase for phase, _ in stream_events] == [*begun, "FAILED", *begun, "COMPLETED"]
        assert stream_events[4] == ("FAILED", "the model went away")
        ids = [event.attributes["custom_task_id"] for event in events if _is_of(event, "answer")]
        assert len(set(ids)) == 2

    run(scenario)


def test_task_when_workflow_code_fails_it_then_the_workflow_goes_on(run: Callable[[Scenario], None]) -> None:
    """A model gives its name to the task; a state that is too large is left out, and fails nothing."""

    async def scenario(place: Installation) -> None:
        execution = await place.start("tasks-fail", {})
        assert (await place.result(execution)).ending.result == {"result": "went on"}
        events = await stream(place, execution)
        assert of_task(events, "Answer") == [("STARTED", {"text": "so far", "tokens": 0}), ("FAILED", "no more words")]
        assert of_task(events, "large") == [("STARTED", {"text": ""})]

    run(scenario)


@pytest.mark.slow
def test_tasks_when_the_worker_is_killed_at_any_time_then_those_of_the_workflow_are_published_once(tmp_path: Path) -> None:
    """What the workflow tells is part of its history; an activity that runs again tells again, as another task."""

    async def scenario() -> None:
        place = Installation(tmp_path)
        async with place.running():
            label, execution, kills = uuid4().hex, "", 0
            while not execution or not await place.is_closed(execution):
                async with place.worker(WORKFLOWS, ACTIVITIES) as worker:
                    execution = execution or await place.start("tasks-tell", {"label": label, "questions": 20})
                    begun = ATTEMPTS[label]
                    while not await place.is_closed(execution):
                        if ATTEMPTS[label] >= begun + 3:
                            place.kill(worker)
                            kills += 1
                            break
                        await asyncio.sleep(0)
            assert kills >= 3
            events = await stream(place, execution)
            assert of_task(events, "progress") == [
                ("STARTED", {"done": 0}),
                *(("IN_PROGRESS", [("replace", "/done", n)]) for n in range(1, 21)),
                ("COMPLETED", {"done": 20}),
            ]
            done = [said["text"] for phase, said in of_task(events, "answer") if phase == "COMPLETED"]
            assert set(done) == {f"{n}-ok" for n in range(20)}

    asyncio.run(scenario())
