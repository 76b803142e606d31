"""Workflows that take signals, queries and updates, are cancelled, and continue as new."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

import levante as workflows

RUNS: Counter[str] = Counter()
"""How often each activity was entered."""


@workflows.activity(retry_policy_max_attempts=1)
async def message_note(text: str) -> str:
    """Note that it ran."""
    RUNS[text] += 1
    return f"noted {text}"


@workflows.activity(start_to_close_timeout=timedelta(minutes=1))
async def message_slow(text: str, seconds: float) -> str:
    """Take a while."""
    RUNS[text] += 1
    await asyncio.sleep(seconds)
    return text


@workflows.workflow.define(name="message-basket")
class Basket:
    """Collects what signals and updates bring, until it is closed."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.is_closed = False

    @workflows.workflow.entrypoint
    async def run(self, slow_seconds: float = 0.0, label: str = "") -> list[str]:
        """Wait until closed."""
        if slow_seconds:
            self.items.append(await message_slow(label, slow_seconds))
        await workflows.workflow.wait_condition(lambda: self.is_closed)
        return self.items

    @workflows.workflow.signal(name="add")
    def add(self, item: str) -> None:
        """Take an item."""
        self.items.append(item)

    @workflows.workflow.signal(name="add_noted")
    async def add_noted(self, item: str) -> None:
        """Take an item once an activity has noted it."""
        self.items.append(await message_note(item))

    @workflows.workflow.signal(name="close")
    def close(self) -> None:
        """Close the basket."""
        self.is_closed = True

    @workflows.workflow.query(name="count")
    def count(self) -> int:
        """Tell how many items there are."""
        return len(self.items)

    @workflows.workflow.query(name="broken")
    def broken(self) -> int:
        """Raise."""
        raise ValueError("no answer")

    @workflows.workflow.query(name="greedy")
    def greedy(self) -> int:
        """Ask for something, which a query must not."""
        workflows.workflow.continue_as_new({})

    @workflows.workflow.update(name="swap")
    def swap(self, item: str) -> list[str]:
        """Replace all items."""
        if item == "bad":
            raise workflows.WorkflowError("bad items are refused", non_retryable=True)
        before, self.items = self.items, [item]
        return before

    @workflows.workflow.update(name="note")
    async def note(self, item: str) -> str:
        """Answer what an activity says."""
        self.items.append(item)
        return await message_note(item)


@workflows.workflow.define(name="message-hasty")
class Hasty:
    """Ends at once, whatever is on its way to it."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    @workflows.workflow.entrypoint
    async def run(self, label: str) -> list[int]:
        """Do one thing, and return what signals had come by then."""
        await message_slow(label, 0.15)
        return self.seen

    @workflows.workflow.signal(name="see")
    def see(self, number: int) -> None:
        """Note a number."""
        self.seen.append(number)


@workflows.workflow.define(name="message-cancelable")
class Cancelable:
    """Cleans up when it is cancelled, or refuses to end."""

    @workflows.workflow.entrypoint
    async def run(self, label: str, stubborn: bool = False) -> str:  # noqa: FBT001, FBT002
        """Wait for ever."""
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await message_note(f"{label}/cleaned")
            if stubborn:
                return "went on"
            raise
        return "slept"


@workflows.workflow.define(name="message-canceled-in-activity")
class CanceledInActivity:
    """Is cancelled while an activity runs."""

    @workflows.workflow.entrypoint
    async def run(self, label: str) -> str:
        """Wait for a long activity."""
        return await message_slow(label, 30.0)


class Page(BaseModel):
    """Where the reading stands."""

    number: int
    last: int
    seen: list[str] = []


@workflows.workflow.define(name="message-pager")
class Pager:
    """Reads page after page, each in a run of its own. What it is told may come before it begins."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @workflows.workflow.entrypoint
    async def run(self, page: Page) -> dict[str, Any]:
        """Read one page."""
        await message_note(f"page {page.number}")
        if page.number < page.last:
            seen = [*page.seen, *self.words]
            workflows.workflow.continue_as_new(Page(number=page.number + 1, last=page.last, seen=seen))
        await workflows.workflow.wait_condition(lambda: "stop" in [*page.seen, *self.words])
        return {"number": page.number, "seen": [*page.seen, *self.words]}

    @workflows.workflow.signal(name="tell")
    def tell(self, word: str) -> None:
        """Note a word."""
        self.words.append(word)

    @workflows.workflow.update(name="ask")
    def ask(self, word: str) -> str:
        """Note a word and answer."""
        self.tell(word)
        return f"{word}?"


WORKFLOWS = [Basket, Hasty, Cancelable, CanceledInActivity, Pager]
ACTIVITIES = [message_note, message_slow]
