"""Payloads that could not travel are refused where they come from, and the refusal says why."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import levante as workflows
from levante_core.domain.payloads import MAX_PAYLOAD_DEPTH, problem_with
from levante_core.errors import InvalidInput
from tests.support.direct import Installation


def nested(levels: int) -> Any:
    """Return a list in a list in a list."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@workflows.activity(name="limits-make")
async def make(kind: str) -> Any:
    """Return something that is too much."""
    return made(kind)


def made(kind: str) -> Any:
    """Return something that is too much."""
    return {"large": "x" * 3_000_000, "deep": nested(MAX_PAYLOAD_DEPTH + 50), "fine": 1}[kind]


@workflows.workflow.define(name="limits-result")
class Result:
    """A result made in the workflow itself."""

    @workflows.workflow.entrypoint
    async def run(self, kind: str) -> Any:
        """Return something that is too much."""
        return made(kind)


@workflows.workflow.define(name="limits-activity")
class Activity:
    """A result made in an activity."""

    @workflows.workflow.entrypoint
    async def run(self, kind: str) -> Any:
        """Return something that is too much."""
        return await make(kind)


@pytest.mark.parametrize("workflow", ["limits-result", "limits-activity"])
@pytest.mark.parametrize(("kind", "why"), [("large", "2 MB fit"), ("deep", "levels deep")])
def test_result_when_it_is_too_much_then_the_execution_fails_and_says_why(
    tmp_path: Path, workflow: str, kind: str, why: str
) -> None:
    """What cannot be recorded is a failure with a reason, not a task that is tried for ever."""

    async def scenario() -> None:
        place = Installation(tmp_path)
        async with place.running(), place.worker([Result, Activity], [make]):
            ended = await place.result(await place.start(workflow, {"kind": kind}))
            assert ended.status == "FAILED"
            assert why in ended.ending.failure.message
            assert (await place.result(await place.start(workflow, {"kind": "fine"}))).ending.result == {"result": 1}

    asyncio.run(scenario())


@pytest.mark.parametrize("value", [nested(MAX_PAYLOAD_DEPTH + 1), float("inf"), [float("nan")], "x" * 3_000_000])
def test_input_when_it_could_not_travel_then_nothing_is_started(tmp_path: Path, value: Any) -> None:
    """Bad input is refused before anything is written."""

    async def scenario() -> None:
        place = Installation(tmp_path)
        async with place.running(), place.worker([Result], [make]):
            execution = uuid4().hex
            with pytest.raises(InvalidInput) as refusal:
                await place.start("limits-result", {"kind": value}, execution_id=execution)
            assert refusal.value.problems[0]["loc"] == ["body", "input"]
            assert await place.find(execution) is None

    asyncio.run(scenario())


def test_value_when_it_is_as_deep_as_allowed_then_it_passes() -> None:
    """The limit is the deepest value that is allowed; wide values are not deep."""
    assert problem_with("it", nested(MAX_PAYLOAD_DEPTH))[1] is None
    assert problem_with("it", [[] for _ in range(500)])[1] is None
    assert problem_with("it", {"Infinity": "NaN"})[1] is None
