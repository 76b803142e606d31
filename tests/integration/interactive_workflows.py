"""Workflows that ask people."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, Field

import levante as workflows

RUNS: Counter[str] = Counter()


@workflows.activity(retry_policy_max_attempts=1)
async def interactive_note(label: str) -> str:
    """Note that it ran."""
    RUNS[label] += 1
    return label


class Approval(BaseModel):
    """What an approver says."""

    by: str
    amount: int = Field(ge=0)
    remark: str = Field(default="none", alias="note")


@workflows.workflow.define(name="interactive-approval")
class Approve(workflows.InteractiveWorkflow):
    """Waits for an approval between two activities. Its constructor does not call the one of its base."""

    def __init__(self) -> None:
        self.note = ""

    @workflows.workflow.entrypoint
    async def run(self, label: str, seconds: float | None = None) -> str:
        """Ask once."""
        await interactive_note(f"{label}/before")
        try:
            approval = await self.wait_for_input(Approval, label="Approve it", timeout=seconds)
        except TimeoutError:
            return "nobody answered"
        await interactive_note(f"{label}/after")
        return f"{approval.by} {approval.amount} {approval.remark}"


class Word(BaseModel):
    """A single word."""

    word: str


class Committee(workflows.InteractiveWorkflow):
    """What several workflows have in common: no workflow itself."""

    async def ask(self, *names: str) -> list[str]:
        """Ask all members at once."""
        words = await asyncio.gather(*(self.wait_for_input(Word, label=name) for name in names))
        return [each.word for each in words]

    @workflows.workflow.query(name="size")
    def size(self) -> int:
        """Tell how many members there are."""
        return 3


@workflows.workflow.define(name="interactive-committee")
class AskCommittee(Committee):
    """Asks several people at once."""

    @workflows.workflow.entrypoint
    async def run(self) -> list[str]:
        """Return their words in the order in which they were asked."""
        return await self.ask("first", "second", "third")


class Page(BaseModel):
    """What was said so far."""

    words: list[str] = []


@workflows.workflow.define(name="interactive-diary")
class Diary(workflows.InteractiveWorkflow):
    """Asks once in each run, and goes on as new."""

    @workflows.workflow.entrypoint
    async def run(self, page: Page) -> dict[str, Any]:
        """Ask for the next word."""
        if len(page.words) < 2:
            said = await self.wait_for_input(Word, timeout=timedelta(minutes=5))
            workflows.workflow.continue_as_new(Page(words=[*page.words, said.word]))
        return {"words": page.words}


WORKFLOWS = [Approve, AskCommittee, Diary]
ACTIVITIES = [interactive_note]
