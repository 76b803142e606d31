"""examples/streaming.py: what the stream says, and what is recorded, when attempts fail and workers die."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from examples import streaming
from examples.streaming import ANSWER, Streaming, write

from levante.testing import Execution, WorkflowEnvironment
from levante.testing.installation import WORKSPACE
from levante_core.domain.names import ExecutionId
from levante_local.greenlets import call

pytestmark = pytest.mark.levante

QUESTION = {"question": "Why does a kite fly?"}


async def stream_events(environment: WorkflowEnvironment, execution: Execution) -> list[str]:
    """Return what the tasks of the stream `answer` ended with, each put together from what was added to it."""
    streams = environment._place.engine.streams
    await call(streams.publish, WORKSPACE, ExecutionId(execution.id))
    texts: list[str] = []
    for one in await call(lambda: list(streams.read(WORKSPACE, ExecutionId(execution.id), 1))):
        event = one.update.event
        if event.event_type == "CUSTOM_TASK_STARTED":
            texts.append("")
        elif event.event_type == "CUSTOM_TASK_IN_PROGRESS":
            texts[-1] += "".join(change["value"] for change in event.attributes["payload"]["value"])
    return texts


async def test_streaming_when_the_answer_is_written_then_the_stream_and_the_result_agree(mode: Mapping[str, Any]) -> None:
    """The last task in the stream has the whole answer, however many workers died on the way."""
    async with WorkflowEnvironment([Streaming], activities=[write], **mode) as environment:
        execution = await environment.start(Streaming, QUESTION)
        assert await execution.result() == ANSWER
        assert (await stream_events(environment, execution))[-1].rstrip() == ANSWER


async def test_streaming_when_the_model_breaks_off_then_the_next_attempt_is_told_from_its_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each attempt is a task of its own: a reader never sees the tokens of two attempts mixed."""
    attempts = 0

    async def breaking_off(question: str) -> AsyncIterator[str]:
        nonlocal attempts
        attempts += 1
        yield f"{question} "
        if attempts == 1:
            raise ConnectionError("the model went away")
        yield "Wind."

    monkeypatch.setattr(streaming, "tokens_of", breaking_off)
    async with WorkflowEnvironment([Streaming], activities=[write]) as environment:
        execution = await environment.start(Streaming, {"question": "Why?"})
        assert await execution.result() == "Why? Wind."
        assert await stream_events(environment, execution) == ["Why? ", "Why? Wind."]
