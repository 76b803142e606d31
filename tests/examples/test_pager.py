"""examples/pager.py: pages over many runs, none left out and none read twice."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from examples.pager import FEED, Page, Pager, Position, keep, read_page

from levante.testing import WorkflowEnvironment

pytestmark = pytest.mark.levante


class Store:
    """Keeps pages by cursor, and tells when so many items are there."""

    def __init__(self, wanted: int) -> None:
        self.pages: dict[int, list[str]] = {}
        self.is_full = asyncio.Event()
        self._wanted = wanted

    async def keep(self, page: Page) -> None:
        self.pages[page.cursor] = page.items
        if len(self.items) >= self._wanted:
            self.is_full.set()

    @property
    def items(self) -> list[str]:
        return [item for items in self.pages.values() for item in items]


def environment_with(store: Store, read: Callable[..., Any] = read_page, **mode: Any) -> WorkflowEnvironment:
    return WorkflowEnvironment([Pager], activities=[read_page, keep], mocks={keep: store.keep, read_page: read}, **mode)


async def test_pager_when_it_takes_many_runs_then_every_item_is_kept_once_and_in_order(mode: Mapping[str, Any]) -> None:
    """What a run knows goes on in the input of the next one."""
    store = Store(len(FEED))
    async with environment_with(store, **mode) as environment:
        execution = await environment.start(Pager, Position(pages_per_run=1))
        await store.is_full.wait()
        await execution.signal("stop")
        position = await execution.result()
        assert (position.cursor, position.items, store.items) == (len(FEED), len(FEED), FEED)


async def test_pager_when_a_run_ends_then_the_history_begins_anew(mode: Mapping[str, Any]) -> None:
    """The history of the last run holds its own pages, however many were read before."""
    store = Store(len(FEED))
    async with environment_with(store, **mode) as environment:
        execution = await environment.start(Pager, Position(pages_per_run=2))
        await store.is_full.wait()
        await execution.signal("stop")
        await execution.result()
        history = await execution.history()
        assert len(history.activities) <= 4
        history.replay(Pager)


@pytest.mark.parametrize("pages_per_run", [1, 2, 500])
async def test_pager_when_stopped_while_it_reads_then_no_further_page_is_read(pages_per_run: int) -> None:
    """A signal that a run has taken ends it, also when it was about to continue as new."""

    async def slowly(cursor: int) -> Page:
        await asyncio.sleep(10)
        return await read_page(cursor)

    async with environment_with(Store(3), slowly) as environment:
        execution = await environment.start(Pager, Position(pages_per_run=pages_per_run))
        await execution.signal("stop")
        position = await execution.result()
        assert (position.items, position.cursor) == (3, 3)


@pytest.mark.slow
async def test_pager_when_there_is_nothing_new_then_it_looks_again_after_the_pause() -> None:
    """New items are found by the run that is there by then, here the third."""
    began = asyncio.get_running_loop().time()

    async def published_after_a_day(cursor: int) -> Page:
        is_there = asyncio.get_running_loop().time() - began > 86_400
        return Page(items=["news"], cursor=1) if is_there and cursor == 0 else Page(items=[], cursor=cursor)

    store = Store(1)
    async with environment_with(store, published_after_a_day) as environment:
        execution = await environment.start(Pager, Position(pages_per_run=10, pause=timedelta(hours=1)))
        await store.is_full.wait()
        assert 86_400 <= asyncio.get_running_loop().time() - began < 86_400 + 3_700
        await execution.signal("stop")
        assert (await execution.result()).items == 1
