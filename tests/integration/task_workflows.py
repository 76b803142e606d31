"""Workflows and activities that publish custom tasks."""

from collections import Counter
from contextlib import suppress

from pydantic import BaseModel

import levante as workflows


class Answer(BaseModel):
    """What is published of an answer while it is written."""

    text: str = ""
    tokens: int = 0


ATTEMPTS: Counter[str] = Counter()


@workflows.activity(retry_policy_max_attempts=2)
async def write_answer(label: str, tokens: list[str], fails: int = 0) -> str:
    """Publish each token as it comes."""
    async with workflows.task("answer", Answer()) as answer:
        for token in tokens:
            state = answer.state or Answer()
            await answer.update_state(Answer(text=state.text + token, tokens=state.tokens + 1))
        ATTEMPTS[label] += 1
        if ATTEMPTS[label] <= fails:
            raise ValueError("the model went away")
        return answer.state.text if answer.state else ""


@workflows.workflow.define(name="tasks-tell")
class Tell:
    """A task of the workflow spans activities that publish tasks of their own."""

    @workflows.workflow.entrypoint
    async def run(self, label: str, questions: int, fails: int = 0) -> list[str]:
        """Answer some questions."""
        answers: list[str] = []
        async with workflows.task("progress", {"done": 0}, id="the-progress") as progress:
            for question in range(questions):
                answers.append(await write_answer(label, [f"{question}", "-", "ok"], fails))
                await progress.update_state({"done": question + 1})
        return answers


@workflows.workflow.define(name="tasks-fail")
class Fail:
    """A task that fails, and one that is too large to be told."""

    @workflows.workflow.entrypoint
    async def run(self) -> str:
        """Fail a task on purpose, and go on."""
        with suppress(workflows.WorkflowError):
            async with workflows.task_from(Answer(text="so far")):
                raise workflows.WorkflowError("no more words")
        async with workflows.task("large", {"text": ""}) as large:
            await large.set_state({"text": "x" * 2_000_000})
        return "went on"


WORKFLOWS = [Tell, Fail]
ACTIVITIES = [write_answer]
