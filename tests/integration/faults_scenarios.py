"""Work to be disturbed by faults, and what must be true of it however much it was."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import levante as workflows
from levante_core.domain.history.events import ActivityCompleted
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.ports.item_store import Change
from levante_core.storage import keys
from levante_core.storage.runs import batch_of, fact_of
from tests.support.faulty_installation import FaultyInstallation

RUNS: Counter[str] = Counter()
"""How often the body of each activity was entered, by its label."""
RECORDED: set[str] = set()
"""Labels of activities whose outcome is recorded."""
RUN_AGAIN: list[str] = []
"""Labels of activities that were entered after that. Invariant 3: none, ever."""
PAUSE_SECONDS = 5.0
"""Longer than a worker waits for by itself: the timer goes through the queue."""
DAY = timedelta(days=1)
"""What is sent for at doubling intervals, and lost time and again, may take hours: no timeout ends it."""
SLOW_SECONDS = 12.0
"""Longer than a lease goes without being extended."""


def _enter(label: str) -> None:
    RUNS[label] += 1
    if label in RECORDED:
        RUN_AGAIN.append(label)


@workflows.activity(name="faults-step", retry_policy_max_attempts=20, retry_policy_backoff_coefficient=1.0)
async def step(label: str, seconds: float = 0) -> str:
    """Take so long, then return the label."""
    _enter(label)
    await asyncio.sleep(seconds)
    return label


@workflows.activity(name="faults-flaky", retry_policy_max_attempts=20, retry_policy_backoff_coefficient=1.0)
async def flaky(label: str) -> str:
    """Fail at first, then return the label."""
    _enter(label)
    if RUNS[label] == 1:
        raise ConnectionError("not yet")
    return label


@workflows.workflow.define(name="faults-line", execution_timeout=DAY)
class Line:
    """Something of everything: in place and through the queue, a retry, a timer, a lease that has to be extended."""

    @workflows.workflow.entrypoint
    async def run(self, key: str) -> list[str]:
        """Return the labels of the activities."""
        labels = [await step(f"{key}/a"), await flaky(f"{key}/b")]
        await asyncio.sleep(PAUSE_SECONDS)
        return [*labels, await step(f"{key}/c", SLOW_SECONDS)]


@workflows.workflow.define(name="faults-fan", execution_timeout=DAY)
class Fan:
    """Activities at once."""

    @workflows.workflow.entrypoint
    async def run(self, key: str, width: int) -> list[str]:
        """Return the labels of the activities."""
        return list(await asyncio.gather(*[step(f"{key}/{number}") for number in range(width)]))


@workflows.workflow.define(name="faults-chain", execution_timeout=DAY)
class Chain:
    """Activities one after the other, each of which takes so long."""

    @workflows.workflow.entrypoint
    async def run(self, key: str, length: int, seconds: float = 0) -> list[str]:
        """Return the labels of the activities."""
        return [await step(f"{key}/{number}", seconds) for number in range(length)]


@workflows.workflow.define(name="faults-sleeper", execution_timeout=DAY)
class Sleeper:
    """A sleep between two activities."""

    @workflows.workflow.entrypoint
    async def run(self, key: str, seconds: float) -> list[str]:
        """Return the labels of the activities."""
        first = await step(f"{key}/before")
        await asyncio.sleep(seconds)
        return [first, await step(f"{key}/after")]


@workflows.workflow.define(name="faults-heir", execution_timeout=DAY)
class Heir:
    """A child that takes two runs."""

    @workflows.workflow.entrypoint
    async def run(self, key: str, generation: int = 1) -> list[str]:
        """Return the label of the second run's activity."""
        label = await step(f"{key}/{generation}")
        if generation == 1:
            workflows.workflow.continue_as_new({"key": key, "generation": 2})
        return [label]


@workflows.workflow.define(name="faults-clan", execution_timeout=DAY)
class Clan:
    """Waits for two signals, one of which starts an activity, and for a child; has another child that it leaves behind."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @workflows.workflow.entrypoint
    async def run(self, key: str) -> list[str]:
        """Return the labels of the activities."""
        start = workflows.workflow.execute_workflow
        await start(Sleeper, {"key": f"{key}/left", "seconds": 3600}, execution_id=f"{key}-left", wait=False,
                    parent_close_policy=workflows.ParentClosePolicy.TERMINATE)  # fmt: skip
        await workflows.workflow.wait_condition(lambda: len(self.words) == 2)
        return [*self.words, *await start(Heir, {"key": key}, execution_id=f"{key}-heir")]

    @workflows.workflow.signal(name="say")
    async def say(self, word: str) -> None:
        """Take a word once an activity has dealt with it."""
        self.words.append(await step(word))


WORKFLOWS = [Line, Fan, Chain, Sleeper, Heir, Clan]
ACTIVITIES = [step, flaky]


def new_key() -> str:
    """Return a key that no other execution has."""
    return uuid4().hex


def note_outcomes(changes: Sequence[Change]) -> None:
    """Note which activities have an outcome: a listener of the store, which it tells before anybody else."""
    for change in changes:
        if change.new is None or not change.key.partition.startswith("H#"):
            continue
        if change.key.sort.startswith(keys.BATCH):
            events = list(batch_of(change.new).events)
        elif change.key.sort.startswith(keys.FACT):
            input_taken = fact_of(change.new).input
            RECORDED.update([input_taken.result] if isinstance(input_taken, ActivityCompleted) else [])
            continue
        else:
            continue
        RECORDED.update(event.result for event in events if isinstance(event, ActivityCompleted))


def runs_of(key: str) -> dict[str, int]:
    """Return how often each activity of an execution was entered."""
    return {label.removeprefix(f"{key}/"): count for label, count in RUNS.items() if label.startswith(f"{key}/")}


def labels_of(key: str, names: Sequence[object]) -> list[str]:
    """Return the labels of the activities of an execution."""
    return [f"{key}/{name}" for name in names]


async def assert_completed_once(place: FaultyInstallation, execution_id: str, labels: Sequence[str]) -> None:
    """Wait for the end of an execution, and look at all that must be true of it.

    It completed with these activities' results; its history has no gap, one end, and an outcome for each activity; no
    activity was entered after its outcome was recorded, and nothing recorded was written again. (`history` itself raises for
    a gap.)
    """
    ended = await place.result(execution_id)
    assert (ended.status, ended.ending.failure) == (ExecutionStatus.COMPLETED, None)
    assert ended.ending.result == {"result": list(labels)}
    events = (await place.history(execution_id))["events"]
    kinds = [event["kind"] for event in events]
    assert [kind for kind in kinds if kind.startswith("execution_")] == ["execution_started", "execution_completed"]
    assert (kinds[0], kinds[-1]) == ("execution_started", "execution_completed")
    for scheduled, resolved in (("activity_scheduled", "activity_completed"), ("timer_started", "timer_fired")):
        asked = [event["seq"] for event in events if event["kind"] == scheduled]
        answered = [event["seq"] for event in events if event["kind"] == resolved]
        assert sorted(answered) == sorted(asked), f"each {scheduled} has one {resolved}: {json.dumps(events, indent=1)}"
    assert [label for label in RUN_AGAIN if label in labels] == []
    assert place.rewritten == []


def events_of(history: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the events of a kind."""
    return [event for event in history["events"] if event["kind"] == kind]
