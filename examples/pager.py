"""A feed is read page by page for as long as it lives; the history of the execution stays short.

    python examples/pager.py

Each run reads some pages and then continues as new: the same execution goes on with an empty history, and what it has to
know is the input of the next run. A signal that comes in between is not lost: what one run has not taken, the next one gets.
"""

from contextlib import suppress
from datetime import timedelta
from math import ceil

from mistralai.client import Mistral
from pydantic import BaseModel, Field

import levante as workflows
from levante import workflow

FEED = [f"headline {number}" for number in range(1, 12)]
"""What there is to read, in place of somebody else's service."""
PAGE_ITEMS = 3


class Page(BaseModel):
    """Some items, and where to go on after them."""

    items: list[str]
    cursor: int


class Position(BaseModel):
    """How far the reading has come, and how it goes on.

    cursor: after the last page that was kept. pages_per_run: how many are read before the next run, fewer than
    `workflow.should_continue_as_new()` would allow. pause: for which the reader rests when there is nothing new.
    """

    cursor: int = 0
    items: int = 0
    pages_per_run: int = Field(default=500, ge=1)
    pause: timedelta = timedelta(minutes=1)


@workflows.activity(retry_policy_max_attempts=10)
async def read_page(cursor: int) -> Page:
    """Read what comes after the cursor: nothing, if there is nothing new."""
    items = FEED[cursor : cursor + PAGE_ITEMS]
    return Page(items=items, cursor=cursor + len(items))


@workflows.activity(retry_policy_max_attempts=10)
async def keep(page: Page) -> None:
    """Store a page under its cursor, so that storing it twice leaves one."""
    print(f"   up to {page.cursor}: {', '.join(page.items)}", flush=True)


@workflow.define(name="pager", execution_timeout=timedelta(days=365))
class Pager:
    """Reads a feed until it is told to stop."""

    def __init__(self) -> None:
        self.position = Position()
        self.is_stopping = False

    @workflow.entrypoint
    async def run(self, position: Position) -> Position:
        """Return how far the reading came."""
        self.position = position
        pages = 0
        while not self.is_stopping:  # asked first: a signal that this run has taken is not the next one's
            if pages == position.pages_per_run:
                workflow.continue_as_new(self.position)
            await self.read_on()
            pages += 1
        return self.position

    async def read_on(self) -> None:
        """Read one page and keep it; where there is none, rest for a while, or until it is time to stop."""
        page = await read_page(self.position.cursor)
        if page.items:
            await keep(page)
            done = {"cursor": page.cursor, "items": self.position.items + len(page.items)}
            self.position = self.position.model_copy(update=done)
        else:
            with suppress(TimeoutError):
                await workflow.wait_condition(lambda: self.is_stopping, timeout=self.position.pause)

    @workflow.signal(name="stop")
    def stop(self) -> None:
        """Read no further page."""
        self.is_stopping = True

    @workflow.query(name="position")
    def current_position(self) -> Position:
        """Say how far the reading has come."""
        return self.position


def drive(client: Mistral) -> None:
    """Read the feed to its present end, in runs of two pages each, then stop."""
    executions = client.workflows.executions
    begin = {"pages_per_run": 2, "pause": "PT0.2S"}
    pager_id = client.workflows.execute_workflow(workflow_identifier="pager", input=begin).execution_id
    kept = 0
    with executions.stream(execution_id=pager_id) as frames:
        for event in (frame.data.data for frame in frames if frame.data):
            if event.event_type == "WORKFLOW_EXECUTION_CONTINUED_AS_NEW":
                print("continued as new")
            elif event.event_type == "ACTIVITY_TASK_COMPLETED" and event.attributes.activity_name == "keep":
                kept += 1
                if kept == ceil(len(FEED) / PAGE_ITEMS):
                    executions.signal_workflow_execution(execution_id=pager_id, name="stop")
    pager = executions.get_workflow_execution(execution_id=pager_id)
    print(f"{pager.status}: {pager.result}")


if __name__ == "__main__":
    from running import example  # type: ignore[import-not-found]  # beside this file, where Python looks when it is run

    with example(__file__) as site:
        drive(site.client)
