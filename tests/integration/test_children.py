"""Child workflows: live from the cache, and replayed at every task."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from levante_core.domain.dispatch.plan import SignalChild
from levante_core.domain.history.events import ChildSignaled
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId
from levante_local.greenlets import call
from tests.integration.child_workflows import ACTIVITIES, RUNS, WORKFLOWS
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


async def until_there(place: Installation, execution_id: str) -> Any:
    """Return an execution once it has begun to wait."""
    while (found := await place.find(execution_id)) is None:
        await asyncio.sleep(0.01)
    return found


def test_children_when_they_complete_then_the_parent_gets_their_results(run: Callable[[Scenario], None]) -> None:
    """Results come as the child's own types; each child ran once, below the parent's root."""

    async def scenario(place: Installation) -> None:
        labels = [uuid4().hex for _ in range(12)]
        execution = await place.start("children-parent", {"labels": labels})
        ended = await place.result(execution)
        assert ended.ending.result == {"result": [f"did {label}" for label in labels]}
        assert {RUNS[label] for label in labels} == {1}
        history = await place.history(execution)
        children = [event["execution_id"] for event in history["events"] if event["kind"] == "child_scheduled"]
        found = [await place.find(child) for child in children]
        assert {(child.parent_execution_id, child.root_execution_id) for child in found} == {(execution, execution)}

    run(scenario)


def test_child_when_it_fails_then_the_error_reaches_the_parent(run: Callable[[Scenario], None]) -> None:
    """Caught, the parent goes on; not caught, it fails too."""

    async def scenario(place: Installation) -> None:
        careful = await place.start("children-careful", {"label": "x", "fate": "fail"})
        assert (await place.result(careful)).ending.result == {"result": "FAILED: x failed on purpose"}
        careless = await place.result(await place.start("children-parent", {"labels": ["y"], "fate": "fail"}))
        assert careless.status is ExecutionStatus.FAILED
        assert "y failed on purpose" in careless.ending.failure.message

    run(scenario)


def test_child_when_it_continues_as_new_then_the_parent_hears_of_its_last_run_only(run: Callable[[Scenario], None]) -> None:
    """A child is an execution, however many runs that takes."""

    async def scenario(place: Installation) -> None:
        label = uuid4().hex
        ended = await place.result(await place.start("children-parent", {"labels": [label], "fate": "again"}))
        assert ended.ending.result == {"result": [f"did {label}"]}
        assert RUNS[label] == 1

    run(scenario)


def test_child_when_its_id_is_taken_or_nobody_serves_it_then_the_parent_hears_why(run: Callable[[Scenario], None]) -> None:
    """A child that cannot be started is an error where it is awaited, not a parent that waits for ever."""

    async def scenario(place: Installation) -> None:
        taken = await place.start("children-child", {"label": uuid4().hex, "fate": "wait"})
        ended = await place.result(await place.start("children-careful", {"label": "x", "fate": "work", "child_id": taken}))
        assert "None: child" in ended.ending.result["result"]
        assert "already running" in ended.ending.result["result"]
        ended = await place.result(await place.start("children-lonely"))
        assert "no workflow has the name or id 'children-unserved'" in ended.ending.result["result"]

    run(scenario)


@pytest.mark.parametrize(
    ("policy", "status"), [("terminate", "TERMINATED"), ("request_cancel", "CANCELED"), ("abandon", "COMPLETED")]
)
def test_children_when_the_parent_ends_first_then_their_policy_decides(
    run: Callable[[Scenario], None], policy: str, status: str
) -> None:
    """Terminate, ask to end, or leave alone."""

    async def scenario(place: Installation) -> None:
        child = uuid4().hex
        parent = await place.result(await place.start("children-loose", {"child_id": child, "policy": policy}))
        assert parent.ending.result == {"result": child}
        if policy == "abandon":
            await asyncio.sleep(0.05)
            assert (await place.find(child)).is_open
            await call(place.engine.messages.signal, WORKSPACE, child, "release", None)
        ended = await place.result(child)
        assert ended.status == ExecutionStatus(status)

    run(scenario)


def test_children_when_the_parent_is_terminated_then_their_policy_decides_too(run: Callable[[Scenario], None]) -> None:
    """However the parent ends."""

    async def scenario(place: Installation) -> None:
        child = uuid4().hex
        options = {"child_id": child, "policy": "terminate", "awaited": True}
        parent = await place.start("children-loose", options)
        await until_there(place, child)
        await call(place.engine.closing.terminate, WORKSPACE, ExecutionId(parent))
        assert (await place.result(child)).status is ExecutionStatus.TERMINATED

    run(scenario)


def test_child_when_held_by_a_handle_then_it_can_be_awaited(run: Callable[[Scenario], None]) -> None:
    """wait=False returns once the child has started."""

    async def scenario(place: Installation) -> None:
        child = uuid4().hex
        parent = await place.start("children-loose", {"child_id": child, "policy": "abandon", "awaited": True})
        await until_there(place, child)
        await call(place.engine.messages.signal, WORKSPACE, child, "release", None)
        assert (await place.result(parent)).ending.result == {"result": f"did {child}"}

    run(scenario)


def test_child_when_the_parent_gives_up_then_it_is_asked_to_end(run: Callable[[Scenario], None]) -> None:
    """Nobody waits for it any more, so it is cancelled."""

    async def scenario(place: Installation) -> None:
        child = uuid4().hex
        parent = await place.result(await place.start("children-impatient", {"child_id": child}))
        assert parent.ending.result == {"result": "gave up"}
        assert (await place.result(child)).status is ExecutionStatus.CANCELED

    run(scenario)


def test_stream_when_there_are_children_then_their_events_are_in_it(run: Callable[[Scenario], None]) -> None:
    """One sequence for an execution and all below it."""

    async def scenario(place: Installation) -> None:
        execution = await place.start("children-parent", {"labels": ["a", "b"]})
        await place.result(execution)
        streams = place.engine.streams
        await call(streams.publish, WORKSPACE, ExecutionId(execution))
        stream_events = [
            one.update.event for one in await call(lambda: list(streams.read(WORKSPACE, ExecutionId(execution), 1)))
        ]
        ended = [event.workflow_name for event in stream_events if event.event_type == "WORKFLOW_EXECUTION_COMPLETED"]
        assert sorted(ended) == ["children-child", "children-child", "children-parent"]
        assert {event.root_workflow_exec_id for event in stream_events} == {execution}

    run(scenario)


def test_child_when_its_parent_signals_it_then_it_gets_the_signal_once(run: Callable[[Scenario], None]) -> None:
    """However often the effect is carried out; the parent waits for nothing but the child's end."""

    async def scenario(place: Installation) -> None:
        label = uuid4().hex
        execution = await place.start("children-signals", {"label": label})
        assert (await place.result(execution)).ending.result == {"text": f"did {label}"}
        (sent,) = [one for one in (await place.history(execution))["events"] if one["kind"] == "child_signaled"]
        parent = (await place.find(execution)).key
        signal = ChildSignaled(
            seq=sent["seq"], child=sent["child"], execution_id=ExecutionId(label), name="release", input=None
        )
        await call(lambda: place.engine.effects.carry_out([SignalChild(parent, signal)]))
        history = await place.history(label)
        assert [one["kind"] for one in history["events"]].count("signal_received") == 1

    run(scenario)


def test_child_when_it_has_no_such_signal_then_the_line_that_sends_it_says_so(tmp_path: Path) -> None:
    """A mistake of the code: nothing is sent, and fixed code carries on."""

    async def scenario() -> None:
        place = Installation(tmp_path)
        async with place.running(), place.worker(WORKFLOWS, ACTIVITIES):
            execution = await place.start("children-signals", {"label": uuid4().hex, "name": "unknown"})
            while not (stuck := (await place.history(execution))["workflow_task_failure"]):
                await asyncio.sleep(0.01)
            assert "has no signal 'unknown', only: release" in stuck["failure"]["message"]

    asyncio.run(scenario())
