"""Executions that are pinned to the build that started them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from levante import workflow
from levante.definition.definitions import get_workflow_definition
from levante.testing.installation import WORKSPACE, Installation
from levante.testing.virtual_time import LoopClock
from levante_core.domain.names import DeploymentName
from levante_core.services.executions.reset import ResetRequest
from levante_local.greenlets import call

pytestmark = pytest.mark.levante
D = DeploymentName("d")
LONG = 120
"""Seconds after which a worker that is gone counts as gone, and the sweep has looked twice."""


def waiter(build: str) -> type:
    """Make the workflow as one build has it: it tells by which build it was ended."""

    @workflow.define(name="builds-child")
    class Child:
        """Says which build it is of."""

        @workflow.entrypoint
        async def run(self) -> str:
            """See the class."""
            return build

    @workflow.define(name="builds-wait")
    class Wait:
        """Waits to be told to end."""

        def __init__(self) -> None:
            self.is_signalled = False

        @workflow.entrypoint
        async def run(self, rounds: int = 0, with_child: bool = False) -> str:  # noqa: FBT001, FBT002 - an input
            """See the class."""
            await workflow.wait_condition(lambda: self.is_signalled)
            if rounds:
                workflow.continue_as_new({"rounds": rounds - 1, "with_child": with_child})
            if with_child:
                return str(await workflow.execute_workflow(Child))
            return build

        @workflow.signal()
        def end(self) -> None:
            """Tell it."""
            self.is_signalled = True

    Wait.child = Child  # type: ignore[attr-defined]
    return Wait


class Fleet:
    """An installation with workers of several builds, and a sweep each minute."""

    def __init__(self, place: Installation, stack: AsyncExitStack) -> None:
        self.place = place
        self._stack = stack
        self._workers: dict[str | None, asyncio.Task[None]] = {}

    async def start_worker(self, build: str | None) -> None:
        """Start a worker, and return when it is registered."""
        cls: Any = waiter(build or "none")
        served = [get_workflow_definition(cls), get_workflow_definition(cls.child)]
        serving = self.place.serving(served, {}, build_id=build, worker_name=f"w-{build}")
        self._workers[build] = await self._stack.enter_async_context(serving)
        await asyncio.sleep(1)

    async def kill_worker(self, build: str | None) -> None:
        """Let a worker die, and wait until that is noticed."""
        self.place.kill(self._workers[build])
        await asyncio.sleep(LONG)

    async def sweep(self) -> None:
        """Sweep each minute."""
        while True:
            await asyncio.sleep(60)
            await call(self.place.handlers.sweep, {}, None)

    async def started(self, **given: Any) -> str:
        """Start an execution, and let it come to where it waits. Returns its id."""
        execution_id = await self.place.start("builds-wait", given)
        await asyncio.sleep(1)
        return execution_id

    async def ended(self, execution_id: str) -> str:
        """Tell an execution to end. Returns the build that ended it."""
        await call(self.place.engine.messages.signal, WORKSPACE, execution_id, "end", None)
        ending = (await self.place.result(execution_id, 3600)).ending
        assert ending is not None
        result: Any = ending.result
        return str(result["result"])

    async def build_of(self, execution_id: str) -> str:
        """Return what an execution is pinned to."""
        return str((await call(self.place.engine.executions.get, WORKSPACE, execution_id)).pool)


@asynccontextmanager
async def _fleet(path: Path) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        place = Installation(path, LoopClock())
        await stack.enter_async_context(place.running())
        fleet = Fleet(place, stack)
        sweep = asyncio.create_task(fleet.sweep())
        stack.callback(sweep.cancel)
        yield fleet


async def test_execution_when_a_newer_build_comes_then_it_stays_and_new_ones_go_there(tmp_path: Path) -> None:
    """SDK contract §9: running executions stay on their build, new ones go to the current one."""
    async with _fleet(tmp_path) as fleet:
        await fleet.start_worker("b1")
        old = await fleet.started()
        await fleet.start_worker("b2")
        new = await fleet.started()
        await asyncio.sleep(LONG)
        assert (await fleet.build_of(old), await fleet.build_of(new)) == ("d@b1", "d@b2")
        assert (await fleet.ended(old), await fleet.ended(new)) == ("b1", "b2")


async def test_execution_when_its_build_has_no_workers_left_then_the_current_one_takes_over(tmp_path: Path) -> None:
    """Nothing is stranded: neither what waits for a message that comes later, nor what has one already."""
    async with _fleet(tmp_path) as fleet:
        await fleet.start_worker("b1")
        waiting, asked = await fleet.started(), await fleet.started()
        await fleet.start_worker("b2")
        await fleet.kill_worker("b1")
        for execution_id in (waiting, asked):
            assert await fleet.ended(execution_id) == "b2"
            assert await fleet.build_of(execution_id) == "d@b2"


async def test_build_when_an_older_one_restarts_then_it_is_not_the_current_one_until_it_is_alone(tmp_path: Path) -> None:
    """A restart is no release; going back is: stop the newer build."""
    async with _fleet(tmp_path) as fleet:
        await fleet.start_worker("b1")
        await fleet.start_worker("b2")
        await fleet.kill_worker("b1")
        await fleet.start_worker("b1")
        assert await fleet.build_of(await fleet.started()) == "d@b2"
        await fleet.kill_worker("b2")
        assert await fleet.build_of(await fleet.started()) == "d@b1"


async def test_execution_when_builds_are_new_to_its_deployment_then_they_take_it_once_nobody_else_does(
    tmp_path: Path,
) -> None:
    """From workers without a build to workers with one, and back."""
    async with _fleet(tmp_path) as fleet:
        await fleet.start_worker(None)
        first, second = await fleet.started(), await fleet.started()
        await fleet.start_worker("b1")
        assert await fleet.ended(first) == "none"
        await fleet.kill_worker(None)
        assert await fleet.ended(second) == "b1"


async def test_runs_and_children_when_an_execution_is_pinned_then_they_are_too(tmp_path: Path) -> None:
    """Continue-as-new and children are the same build's."""
    async with _fleet(tmp_path) as fleet:
        await fleet.start_worker("b1")
        execution_id = await fleet.started(rounds=1, with_child=True)
        await fleet.start_worker("b2")
        await call(fleet.place.engine.messages.signal, WORKSPACE, execution_id, "end", None)
        await asyncio.sleep(1)
        assert await fleet.ended(execution_id) == "b1"
        assert await fleet.build_of(execution_id) == "d@b1"


async def test_reset_when_a_newer_build_is_there_then_the_new_run_is_its(tmp_path: Path) -> None:
    """REST contract §8: a reset replays with the latest code."""
    async with _fleet(tmp_path) as fleet:
        await fleet.start_worker("b1")
        execution_id = await fleet.started()
        await fleet.start_worker("b2")
        await call(fleet.place.engine.resets.reset, WORKSPACE, execution_id, ResetRequest(1))
        assert await fleet.ended(execution_id) == "b2"


async def test_builds_when_listed_then_they_say_what_keeps_each_of_them(tmp_path: Path) -> None:
    """A build is drained when no execution is open that is pinned to it, and it is not the current one."""
    async with _fleet(tmp_path) as fleet:
        builds = fleet.place.engine.builds
        await fleet.start_worker("b1")
        execution_id = await fleet.started()
        await fleet.start_worker("b2")
        newest, oldest = await call(builds.all, WORKSPACE, D)
        assert [(one.build_id, one.is_live) for one in (newest, oldest)] == [("b2", True), ("b1", True)]
        assert (await call(builds.open_runs, WORKSPACE, D)).by_build == {"b1": 1}
        await fleet.ended(execution_id)
        assert (await call(builds.open_runs, WORKSPACE, D)).by_build == {}


@pytest.mark.parametrize("pause", [0, 20, 45])
async def test_execution_when_its_build_is_only_gone_for_a_moment_then_it_stays(pause: int, tmp_path: Path) -> None:
    """A worker that restarts within its window of liveness keeps what is its."""
    async with _fleet(tmp_path) as fleet:
        await fleet.start_worker("b1")
        execution_id = await fleet.started()
        await fleet.start_worker("b2")
        fleet.place.kill(fleet._workers["b1"])
        await asyncio.sleep(pause)
        await fleet.start_worker("b1")
        assert await fleet.ended(execution_id) == "b1"
