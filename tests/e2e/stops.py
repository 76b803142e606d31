"""Activities that are at it when their worker is told to stop, and that leave a trace of when."""

import asyncio
import atexit
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import levante as workflows
from levante import workflow

AGES = 30.0
"""Longer than any of the tests."""
ROWS = 1_000


def note(trace: str, what: str) -> None:
    """Append a line to a file: what, and of which attempt."""
    with Path(trace).open("a") as file:
        file.write(f"{what} {workflows.activity.info().attempt}\n")


def was_stopped(trace: str) -> bool:
    """Tell whether there was an attempt before. Note that there is one now."""
    is_there = Path(trace).exists()
    note(trace, "began")
    return is_there


def known_or_first(trace: str) -> list[Any] | None:
    """Return what the attempt before has said; None if there was none."""
    return list(workflows.activity.heartbeat_details()) if was_stopped(trace) else None


def copied(trace: str, row: int) -> None:
    """A row is copied."""
    workflows.activity_heartbeat(row)
    Path(f"{trace}.row").write_text(str(row))


@workflows.activity(name="stops-rows", heartbeat_timeout=timedelta(seconds=60))
async def copy_rows(trace: str) -> list[Any]:
    """Copy rows until an attempt knows how far the one before it came."""
    known = known_or_first(trace)
    if known is not None:
        return known
    for row in range(ROWS):
        copied(trace, row)
        await asyncio.sleep(0.02)
    return ["nobody stopped it"]


@workflows.activity(name="stops-rows-in-thread", heartbeat_timeout=timedelta(seconds=60))
def copy_rows_in_thread(trace: str) -> list[Any]:
    """Do so in a thread, until a heartbeat tells it to end."""
    known = known_or_first(trace)
    if known is not None:
        return known
    for row in range(ROWS):
        copied(trace, row)
        time.sleep(0.02)
    return ["nobody stopped it"]


@workflows.activity(name="stops-clean-up")
async def clean_up(trace: str) -> str:
    """Clean up for a while when it is cancelled; the next attempt returns at once."""
    if was_stopped(trace):
        return "done"
    try:
        await asyncio.sleep(AGES)
    finally:
        await asyncio.sleep(0.6)
        note(trace, "cleaned-up")
    return "nobody stopped it"


@workflows.activity(name="stops-clean-up-queued", rate_limit=workflows.RateLimit(time_window_in_sec=1, max_execution=1000))
async def clean_up_from_queue(trace: str) -> str:
    """Do so as a task of the queue, where all activities are that have a limit of rate."""
    return await clean_up(trace)


@workflows.activity(name="stops-swallow")
async def swallow(trace: str) -> str:
    """Take no notice of being cancelled."""
    if was_stopped(trace):
        return "done"
    while True:
        try:
            await asyncio.sleep(AGES)
        except asyncio.CancelledError:
            continue


@workflows.activity(name="stops-sleep", start_to_close_timeout=timedelta(seconds=60))
def sleep_in_thread(trace: str) -> str:
    """Block a thread; the next attempt returns at once."""
    if was_stopped(trace):
        return "done"
    time.sleep(AGES)
    return "nobody stopped it"


@workflows.activity(name="stops-to-thread")
async def sleep_elsewhere(trace: str) -> str:
    """Block a thread that asyncio joins when the loop ends."""
    if was_stopped(trace):
        return "done"
    await asyncio.to_thread(time.sleep, AGES)
    return "nobody stopped it"


@workflows.activity(name="stops-own-thread")
async def own_thread(trace: str) -> str:
    """Leave a thread behind that Python joins when the process ends."""
    if was_stopped(trace):
        return "done"
    threading.Thread(target=time.sleep, args=(AGES,)).start()
    await asyncio.sleep(AGES)
    return "nobody stopped it"


@workflows.activity(name="stops-at-exit")
async def at_exit(trace: str) -> str:
    """Leave a hook behind that keeps the process from its end."""
    if was_stopped(trace):
        return "done"
    atexit.register(time.sleep, AGES)
    await asyncio.sleep(AGES)
    return "nobody stopped it"


@workflows.activity(name="stops-loop")
async def block_the_loop(trace: str) -> str:
    """Keep the loop of the worker from turning."""
    if was_stopped(trace):
        return "done"
    time.sleep(AGES)  # noqa: ASYNC251 - that is what goes wrong
    return "nobody stopped it"


KINDS: dict[str, Callable[[str], Any]] = {
    "rows": copy_rows,
    "rows in a thread": copy_rows_in_thread,
    "cleanup in place": clean_up,
    "cleanup from the queue": clean_up_from_queue,
    "swallowed cancellation": swallow,
    "thread": sleep_in_thread,
    "thread of the loop": sleep_elsewhere,
    "thread of its own": own_thread,
    "hook at the exit": at_exit,
    "blocked loop": block_the_loop,
}


@workflow.define(name="stops")
class Stops:
    """Calls one of the activities."""

    @workflow.entrypoint
    async def run(self, kind: str, trace: str) -> Any:
        """Return what it returns."""
        return await KINDS[kind](trace)


if __name__ == "__main__":
    asyncio.run(workflows.run_worker([Stops]))
    sys.exit(0)
