"""Sticky sessions: activities that run in one and the same worker, for as long as that lives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import levante as workflows
from levante import workflow
from levante.context import current_activity
from levante.definition.definitions import get_activity_definition, get_workflow_definition
from levante.errors import WorkflowsException
from levante.testing import WorkflowEnvironment
from levante.testing.installation import WORKSPACE, Installation
from levante.testing.virtual_time import LoopClock
from levante.worker.tasks.source import TaskSource
from levante_core.domain.worker_pool import WorkerPool
from levante_local.greenlets import call

pytestmark = pytest.mark.levante


LIMIT = workflows.RateLimit(time_window_in_sec=1, max_execution=1000)


def here() -> str:
    """Name the worker that runs the calling activity."""
    context = current_activity.get()
    assert context
    return context.open_session()


@workflows.activity(name="sticky-where", sticky_to_worker=True, retry_policy_max_attempts=3)
async def where(*, fail_first: bool = False) -> str:
    """Name the worker."""
    if fail_first and workflows.activity.info().attempt == 1:
        raise RuntimeError("once")
    return here()


@workflows.activity(name="sticky-where-limited", sticky_to_worker=True, rate_limit=LIMIT)
async def where_over_the_queue() -> str:
    """As `where`, never in place."""
    return here()


@workflows.activity(name="sticky-nap")
async def nap() -> None:
    """Do nothing."""


@workflow.define(name="sticky", execution_timeout=timedelta(hours=10))
class Sticky:
    """Runs activities within sessions."""

    def __init__(self) -> None:
        self.may_go_on = False

    @workflow.entrypoint
    async def run(self, how: str) -> Any:
        """See the class."""
        match how:
            case "nested":
                return await self._nested()
            case "outside":
                return await where()
            case "lost":
                return await self._lost()
            case _:
                async with workflows.run_sticky_worker_session() as session:
                    found = [await where(), await where_over_the_queue(), await where(fail_first=True)]
                    await nap()
                    return [session.task_queue, *found]

    @workflow.signal()
    def go_on(self) -> None:
        """Let it go on."""
        self.may_go_on = True

    async def _nested(self) -> list[str]:
        outer = await workflows.get_sticky_worker_session()
        other = workflows.StickyWorkerSession(task_queue=outer.task_queue)
        async with workflows.run_sticky_worker_session(outer):
            first = await where()
            async with workflows.run_sticky_worker_session(other):
                second = await where()
            return [first, second, await where()]

    async def _lost(self) -> list[str]:
        session = await workflows.get_sticky_worker_session()
        await workflow.wait_condition(lambda: self.may_go_on)
        try:
            async with workflows.run_sticky_worker_session(session):
                return [await where_over_the_queue()]
        except workflows.ActivityError as error:
            async with workflows.run_sticky_worker_session() as new:
                return [str(error), session.task_queue, new.task_queue, await where()]


ACTIVITIES: list[Any] = [where, where_over_the_queue, nap]


@pytest.mark.parametrize("always_replay", [False, True])
@pytest.mark.parametrize("how", ["plain", "nested"])
async def test_activities_when_they_are_sticky_then_they_run_in_the_worker_of_the_session(
    how: str, *, always_replay: bool
) -> None:
    """In place, over its own queue, and retried; the session is one of the workers."""
    async with WorkflowEnvironment([Sticky], activities=ACTIVITIES, always_replay=always_replay) as environment:
        execution = await environment.start(Sticky, {"how": how})
        found = await execution.result()
        assert len(set(found)) == 1
        assert "-sticky-worker-session-" in found[0]
        (await execution.history()).replay(Sticky)


async def test_sticky_activity_when_called_outside_of_a_session_then_the_code_is_told() -> None:
    """SDK contract §2: sticky_worker_session_missing. That is a bug, so the execution stays open."""
    async with WorkflowEnvironment([Sticky], activities=ACTIVITIES) as environment:
        execution = await environment.start(Sticky, {"how": "outside"})
        await asyncio.sleep(1)
        failure = (await execution.history()).document["workflow_task_failure"]["failure"]
        assert "call it within `async with run_sticky_worker_session():`" in failure["message"]


async def test_sticky_activity_when_no_worker_runs_it_then_it_is_just_called() -> None:
    """Outside of workflows there is only this process."""
    async with workflows.run_sticky_worker_session() as session:
        assert session.task_queue == "local"
        await nap()


@asynccontextmanager
async def _place(path: Path) -> AsyncIterator[tuple[Installation, AsyncExitStack]]:
    async with AsyncExitStack() as stack:
        place = Installation(path, LoopClock())
        await stack.enter_async_context(place.running())
        yield place, stack


async def started_worker(place: Installation, stack: AsyncExitStack, name: str) -> "asyncio.Task[None]":
    served = {one.name: one for one in map(get_activity_definition, ACTIVITIES)}
    worker = await stack.enter_async_context(place.serving([get_workflow_definition(Sticky)], served, worker_name=name))
    await asyncio.sleep(1)
    return worker


@pytest.mark.slow
async def test_session_when_there_are_several_workers_then_its_activities_go_to_its_worker_whoever_advances_the_run(
    tmp_path: Path,
) -> None:
    """Ten executions on three workers: each sees one worker, and not all the same one."""
    async with _place(tmp_path) as (place, stack):
        for number in range(3):
            await started_worker(place, stack, f"w{number}")
        ids = [await place.start("sticky", {"how": "plain"}) for _ in range(10)]
        found = []
        for execution_id in ids:
            ending = (await place.result(execution_id, 600)).ending
            assert ending is not None
            result: Any = ending.result
            found.append(set(result["result"]))
    assert {len(one) for one in found} == {1}
    assert len(set.union(*found)) > 1


async def test_session_when_its_worker_dies_then_the_activity_fails_and_another_session_goes_on(tmp_path: Path) -> None:
    """The sweep finds it out: nobody waits for ever for a worker that is gone."""
    async with _place(tmp_path) as (place, stack):
        first = await started_worker(place, stack, "w1")
        execution_id = await place.start("sticky", {"how": "lost"})
        await asyncio.sleep(5)
        place.kill(first)
        await started_worker(place, stack, "w2")
        await call(place.engine.messages.signal, WORKSPACE, execution_id, "go_on", None)
        for _ in range(10):
            await asyncio.sleep(60)
            await call(place.handlers.sweep, {}, None)
        ending = (await place.result(execution_id, 60)).ending
        assert ending is not None
        result: Any = ending.result
        said, lost, new, ran_in = result["result"]
    assert "the worker of the sticky session is gone" in said
    assert lost != new == ran_in


async def test_session_when_its_tasks_cannot_be_had_for_a_while_then_it_is_served_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that counts as live is served: its worker tries again until it gets tasks."""
    refusals = [WorkflowsException("no access to the queues", status=503) for _ in range(5)]
    tasks_of = Installation._tasks_of

    async def refused_at_first(self: Installation, worker_id: str, pool: WorkerPool) -> TaskSource:
        if refusals:
            raise refusals.pop()
        return await tasks_of(self, worker_id, pool)

    monkeypatch.setattr(Installation, "_tasks_of", refused_at_first)
    async with _place(tmp_path) as (place, stack):
        await started_worker(place, stack, "w1")
        execution_id = await place.start("sticky", {"how": "plain"})
        ending = (await place.result(execution_id, 600)).ending
        assert ending is not None
        assert ending.failure is None
    assert refusals == []
