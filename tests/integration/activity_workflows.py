"""Activities that say how far they have come, that are given up, and that may not all begin at once."""

import asyncio
import threading
import time
from collections import defaultdict
from datetime import timedelta
from typing import Any

import levante as workflows
from levante import activity, activity_heartbeat

SEEN: dict[str, list[Any]] = defaultdict(list)
"""What activities tell the tests, by label."""
RELEASED: set[str] = set()
"""Labels of activities that may go on."""


@workflows.activity(heartbeat_timeout=timedelta(seconds=0.3), retry_policy_max_attempts=2)
async def copy_rows(label: str, rows: int, stop_after: int) -> int:
    """Say after each row how far it is; the first attempt falls silent, or fails, on the way."""
    details = activity.heartbeat_details()
    begin = details[0]["row"] if details else 0
    SEEN[label].append((activity.info().attempt, begin))
    for row in range(begin, rows):
        if activity.info().attempt == 1 and row == abs(stop_after):
            if stop_after < 0:
                raise ValueError("the disk is full")
            await asyncio.Event().wait()
        activity_heartbeat({"row": row + 1})
        await asyncio.sleep(0)
    return rows


@workflows.activity(heartbeat_timeout=timedelta(seconds=0.3), retry_policy_max_attempts=1)
def beat_in_a_thread(label: str, beats: int) -> str:
    """Take longer than the heartbeat timeout, in a thread."""
    SEEN[label].append(threading.current_thread().name)
    for _ in range(beats):
        time.sleep(0.1)  # the thread is busy
        activity_heartbeat()
    return "done"


@workflows.activity(heartbeat_timeout=timedelta(seconds=0.5))
async def until_given_up(label: str) -> str:
    """Run until nobody waits for it any more."""
    SEEN[label].append("began")
    try:
        while True:
            activity_heartbeat()
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        SEEN[label].append("cleaned up")
        raise


@workflows.activity()
async def until_released(label: str) -> str:
    """Run until a test says so, and send no heartbeat."""
    SEEN[label].append("began")
    while label not in RELEASED:
        await asyncio.sleep(0.01)
    return "released"


@workflows.activity(schedule_to_close_timeout=timedelta(seconds=1.8), retry_policy_max_attempts=100)
async def never_works(label: str) -> None:
    """Fail each time."""
    SEEN[label].append(activity.info().attempt)
    raise ValueError("again")


@workflows.activity(rate_limit=workflows.RateLimit(time_window_in_sec=1, max_execution=20))
async def limited(label: str) -> None:
    """Say when it began."""
    SEEN[label].append(time.monotonic())


@workflows.activity()
async def where(label: str) -> None:
    """Say what is known of the attempt."""
    SEEN[label].append(activity.info())


@workflows.workflow.define(name="activities-one")
class One:
    """Runs one of the activities."""

    @workflows.workflow.entrypoint
    async def run(self, kind: str, label: str, rows: int = 0, stop_after: int = 0) -> Any:
        """Run it, and return its result."""
        match kind:
            case "copy":
                return await copy_rows(label, rows, stop_after)
            case "thread":
                return await beat_in_a_thread(label, rows)
            case "overdue":
                return await never_works(label)
            case "local":
                with workflows.run_activities_locally():
                    await asyncio.gather(*(where(label) for _ in range(rows)))
                return None
            case "limited":
                await asyncio.gather(*(limited(label) for _ in range(rows)))
                return None
            case _:
                return await where(label)


@workflows.workflow.define(name="activities-give-up")
class GiveUp:
    """Waits for an activity for a while only."""

    def __init__(self) -> None:
        self.has_enough = False

    @workflows.workflow.entrypoint
    async def run(self, label: str, *, is_silent: bool = False) -> str:
        """Give the activity up when told so."""
        work = asyncio.ensure_future(until_released(label) if is_silent else until_given_up(label))
        await workflows.workflow.wait_condition(lambda: self.has_enough)
        work.cancel()
        return "gave up"

    @workflows.workflow.signal(name="enough")
    def enough(self) -> None:
        """Give up."""
        self.has_enough = True


WORKFLOWS = [One, GiveUp]
ACTIVITIES = [copy_rows, beat_in_a_thread, until_given_up, until_released, never_works, limited, where]
