"""Somebody reads an answer while it is being written.

    python examples/streaming.py

The activity publishes its progress with a task whose state is the text so far. Only what has grown is sent, so a reader gets
each token as it comes; who comes late gets them from the beginning, who comes again those after the last one seen. The
durable result is that of the activity: the stream is for those who do not want to wait for it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

from mistralai.client import Mistral
from pydantic import BaseModel

import levante as workflows
from levante import workflow

ANSWER = "A kite flies because the wind presses on it from below and the string keeps it from being carried away."


class Draft(BaseModel):
    """What has been written so far."""

    text: str = ""


async def tokens_of(question: str) -> AsyncIterator[str]:
    """Yield the answer bit by bit, in place of a model."""
    for word in ANSWER.split() if "kite" in question else ["I", "do", "not", "know."]:
        await asyncio.sleep(0.05)
        yield f"{word} "


@workflows.activity(retry_policy_max_attempts=3)
async def write(question: str) -> str:
    """Write the answer. An attempt after a failed one begins again, as a new task."""
    async with workflows.task("answer", Draft()) as answer:
        text = ""
        async for token in tokens_of(question):
            text += token
            await answer.set_state(Draft(text=text))
    return text.rstrip()


@workflow.define(name="streaming")
class Streaming:
    """Answers a question."""

    @workflow.entrypoint
    async def run(self, question: str) -> str:
        """Return the whole answer."""
        return await write(question)


def drive(client: Mistral) -> None:
    """Ask, and print the answer while it is written."""
    question = "Why does a kite fly?"
    asked = client.workflows.execute_workflow(workflow_identifier="streaming", input={"question": question})
    print(question)
    for text in states(client, asked.execution_id):
        print(text, end="", flush=True)
    ended = client.workflows.executions.get_workflow_execution(execution_id=asked.execution_id)
    print(f"\n{ended.status}: {ended.result}")


def states(client: Mistral, execution_id: str) -> Iterator[str]:
    """Yield what is added to the answer, until the execution has ended."""
    attempts = 0
    with client.workflows.events.get_stream_events(workflow_exec_id=execution_id, stream="answer") as frames:
        for event in (frame.data.data for frame in frames if frame.data):
            if event.event_type == "CUSTOM_TASK_STARTED":
                attempts += 1
                if attempts > 1:  # the attempt before failed, or its worker died, which nobody could tell
                    yield "...\n"
            elif event.event_type == "CUSTOM_TASK_IN_PROGRESS":
                yield from (change.value for change in event.attributes.payload.value)


if __name__ == "__main__":
    from running import example  # type: ignore[import-not-found]  # beside this file, where Python looks when it is run

    with example(__file__) as site:
        drive(site.client)
