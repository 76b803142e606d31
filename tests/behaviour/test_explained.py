"""Explain, at every point of random histories: an open execution says what it waits for, and times come true."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levante.testing import ExecutionNotCompleted, WorkflowEnvironment, run_in_virtual_time
from levante.testing.installation import WORKSPACE
from levante_core.domain.executions.waits import Wait
from levante_core.errors import NotRunning
from levante_core.ports.item_store import Change
from levante_local.greenlets import call
from tests.behaviour.random_programs import PROGRAMS, Child, Program, Random, hopeless, queued, step
from tests.support.forms import either

EXAMPLES = either(short=8, full=60)
LATE = timedelta(seconds=2)
"""What is due may be recorded so much later, as messages wait for whole seconds."""


class Watcher:
    """Explains the executions of an environment whenever something is written of them."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._place = environment._place
        self._tasks: set[asyncio.Task[None]] = set()
        self.seen: set[str] = set()
        self.looks = 0
        self.problems: list[str] = []
        self._place.store.listen(self._notice)

    def _notice(self, changes: Sequence[Change]) -> None:
        found = {change.new.attributes.get("execution_id") for change in changes if change.new}
        for execution_id in found:
            if isinstance(execution_id, str):
                self._begin(self._look(execution_id))

    def _begin(self, looking: Any) -> None:
        task = asyncio.get_running_loop().create_task(looking)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            self.problems.append(repr(task.exception()))

    async def _explain(self, execution_id: str) -> tuple[bool, Sequence[Wait]]:
        explanations = self._place.engine.explanations
        run = await call(explanations.find, WORKSPACE, execution_id)
        explanation = await call(explanations.explain, run)
        return run.is_open, explanation.waits

    async def _look(self, execution_id: str) -> None:
        is_open, waits = await self._explain(execution_id)
        self.looks += 1
        self.seen |= {wait.kind.value for wait in waits}
        if is_open != bool(waits):
            self.problems.append(f"{execution_id} is {'open' if is_open else 'closed'}, and waits for {waits}")
        for wait in waits:
            if wait.until is not None:
                self._begin(self._look_again(execution_id, wait))

    async def _look_again(self, execution_id: str, wait: Wait) -> None:
        """Look when a time has come: what was to be over then is not there any more."""
        assert wait.until
        left = wait.until + LATE - self._place.clock.now()
        await asyncio.sleep(max(0.0, left.total_seconds()))
        _, waits = await self._explain(execution_id)
        if any(
            (one.kind, one.seq, one.attempt, one.until) == (wait.kind, wait.seq, wait.attempt, wait.until) for one in waits
        ):
            self.problems.append(f"{execution_id} still waits at {self._place.clock.now()}: {wait}")

    async def stop(self) -> None:
        """Look at nothing more; whatever is under way is finished, unless its time is yet to come."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def watched(program: Program, crashes: Collection[int] = ()) -> Watcher:
    """Run a program. Returns what was seen of it."""

    async def run() -> Watcher:
        async with WorkflowEnvironment([Random, Child], activities=[step, queued, hopeless], crashes=crashes) as environment:
            watcher = Watcher(environment)
            execution = await environment.start(Random, {"program": program})
            await asyncio.sleep(30)
            with suppress(NotRunning):
                await execution.signal("go")
            with suppress(ExecutionNotCompleted):
                await execution.result()
            await watcher.stop()
            return watcher

    return run_in_virtual_time(run())


@pytest.mark.timeout(240)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PROGRAMS, st.sets(st.integers(1, 6), max_size=2))
def test_execution_when_it_is_open_then_it_waits_for_something_and_times_come_true(
    program: Program, crashes: set[int]
) -> None:
    """Invariant 15, at every point of the history, with workers that die."""
    watcher = watched(program, crashes)
    assert watcher.problems == []
    assert watcher.looks >= 2


def test_executions_when_they_wait_for_all_there_is_then_each_kind_is_seen() -> None:
    """The test above would hold of a service that always says the same."""

    def one(do: str, *parts: Program, value: int = 1) -> Program:
        return {"do": do, "value": value, "parts": list(parts)}

    everything = one("together", one("step", value=2), one("queued"), one("sleep", value=20), one("child", one("sleep")))
    seen = watched(one("sequence", everything, one("signal"))).seen
    kinds = {"starting", "workflow_task_queued", "activity_running", "activity_failing", "timer", "child", "condition"}
    assert kinds <= seen
