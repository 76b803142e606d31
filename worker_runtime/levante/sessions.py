"""Sticky sessions: activities that are to run in one and the same worker. Source: SDK contract §2 (read 2026-11-23)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import BaseModel, ConfigDict

from levante.activity import activity
from levante.context import current_activity, current_session

__all__ = ["StickyWorkerSession", "get_sticky_worker_session", "run_sticky_worker_session"]

NOWHERE = "local"
"""The session of code that no worker runs: there is only this process."""


class StickyWorkerSession(BaseModel):
    """A worker, for as long as its process lives. Can be passed on, also to children. task_queue: its name."""

    model_config = ConfigDict(frozen=True)

    task_queue: str


@activity(name="__internal__sticky_worker_session")
async def _begin_session() -> StickyWorkerSession:
    """Name the worker that runs this."""
    context = current_activity.get()
    return StickyWorkerSession(task_queue=context.open_session() if context else NOWHERE)


async def get_sticky_worker_session() -> StickyWorkerSession:
    """Choose a free worker, and return a session with it.

    Raises:
        ActivityError: When there was no worker.
    """
    return await _begin_session()


@asynccontextmanager
async def run_sticky_worker_session(session: StickyWorkerSession | None = None) -> AsyncIterator[StickyWorkerSession]:
    """Run the sticky activities called in the block in one worker: that of the session, or of a new one.

        async with workflows.run_sticky_worker_session():
            path = await download(url)
            return await convert(path)

    Blocks may be nested; the inner one counts. If the worker is gone, an activity fails with an ActivityError after a minute
    or two, whatever its retry policy. Then begin another session; nothing of the old one is left.
    """
    chosen = session or await get_sticky_worker_session()
    token = current_session.set(chosen.task_queue)
    try:
        yield chosen
    finally:
        current_session.reset(token)
