"""The ways in which behaviours are run: the one list of them."""

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from levante.testing import ExecutionNotCompleted, WorkflowEnvironment, run_in_virtual_time
from levante.testing.environment import Execution
from levante_core.errors import HandlerFailed, InvalidInput
from tests.behaviour import further, programs
from tests.behaviour.behaviours import Behaviour, Driver, Ended, Refused
from tests.support.processes import LocalSite
from tests.support.processes import Refused as RefusedByTheApi

MODES = ("in memory", "always replay", "a real host")
HERE = Path(__file__).parent
DONE = {"COMPLETED", "FAILED", "CANCELED", "TERMINATED", "TIMED_OUT"}


class MemoryDriver:
    """Drives an execution of the testing kit."""

    def __init__(self, execution: Execution, environment: WorkflowEnvironment) -> None:
        self.execution_id = execution.id
        self._execution = execution
        self._environment = environment

    async def signal(self, name: str, **arguments: Any) -> None:
        """See Driver."""
        await self._execution.signal(name, **arguments)

    async def update(self, name: str, **arguments: Any) -> Any:
        """See Driver."""
        try:
            return await self._execution.update(name, **arguments)
        except (HandlerFailed, InvalidInput) as error:
            raise Refused(str(error)) from error

    async def query(self, name: str, **arguments: Any) -> Any:
        """See Driver."""
        return await self._execution.query(name, **arguments)

    async def cancel(self) -> None:
        """See Driver."""
        await self._execution.cancel()

    async def terminate(self) -> None:
        """See Driver."""
        await self._execution.terminate()

    async def reset(self, event_id: int) -> None:
        """See Driver."""
        await self._execution.reset(event_id)

    async def result(self) -> Any:
        """See Driver."""
        return await self._execution.result()

    async def search_keys(self) -> Mapping[str, str | None]:
        """See Driver."""
        return await self._execution.search_keys()

    async def complete_activity(self, task_token: str, result: Any) -> bool:
        """See Driver."""
        return await self._environment.complete_activity(task_token, result)

    async def status_of(self, execution_id: str) -> str:
        """See Driver."""
        return (await self._environment.execution(further.Listener, execution_id).status()).value

    async def sleep(self, seconds: float) -> None:
        """See Driver."""
        await asyncio.sleep(seconds)


class HostDriver:
    """Drives an execution over HTTP."""

    def __init__(self, site: LocalSite, execution_id: str) -> None:
        self.execution_id = execution_id
        self._site = site
        self._path = f"/v1/workflows/executions/{execution_id}"

    async def signal(self, name: str, **arguments: Any) -> None:
        """See Driver."""
        await self._call("POST", "/signals", {"name": name, "input": arguments})

    async def update(self, name: str, **arguments: Any) -> Any:
        """See Driver."""
        try:
            return (await self._call("POST", "/updates", {"name": name, "input": arguments}))["result"]
        except RefusedByTheApi as error:
            raise Refused(str(error)) from error

    async def query(self, name: str, **arguments: Any) -> Any:
        """See Driver."""
        return (await self._call("POST", "/queries", {"name": name, "input": arguments}))["result"]

    async def cancel(self) -> None:
        """See Driver."""
        await self._call("POST", "/cancel")

    async def terminate(self) -> None:
        """See Driver."""
        await self._call("POST", "/terminate")

    async def reset(self, event_id: int) -> None:
        """See Driver."""
        await self._call("POST", "/reset", {"event_id": event_id})

    async def result(self) -> Any:
        """See Driver."""
        return (await self.ended()).result

    async def search_keys(self) -> Mapping[str, str | None]:
        """See Driver."""
        found: dict[str, str | None] = (await self._call("GET", "?include_search_keys=true"))["search_keys"]
        return found

    async def complete_activity(self, task_token: str, result: Any) -> bool:
        """See Driver."""
        body = {"task_token": task_token, "result": result}
        found = await asyncio.to_thread(self._site.call, "POST", "/v1/workflows/activities/complete", body)
        return bool(found["is_accepted"])

    async def status_of(self, execution_id: str) -> str:
        """See Driver."""
        found = await asyncio.to_thread(self._site.call, "GET", f"/v1/workflows/executions/{execution_id}")
        return str(found["status"])

    async def sleep(self, seconds: float) -> None:
        """See Driver."""
        await asyncio.sleep(seconds)

    async def ended(self) -> Ended:
        """Wait for the end."""
        while (found := await self._call("GET", ""))["status"] not in DONE:
            await asyncio.sleep(0.02)
        said = (found["failure"] or {}).get("message", "")
        return Ended(found["status"], (found["result"] or {}).get("result"), said)

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        return await asyncio.to_thread(self._site.call, method, self._path + path, body)


def run_in_memory(behaviour: Behaviour, *, always_replay: bool = False, crashes: Collection[int] = ()) -> tuple[Ended, int]:
    """Run a behaviour in virtual time. Returns how it ended, and after how many commits."""

    async def run() -> tuple[Ended, int]:
        async with WorkflowEnvironment(
            [*programs.WORKFLOWS, *further.WORKFLOWS],
            activities=[*programs.ACTIVITIES, *further.ACTIVITIES],
            always_replay=always_replay,
            crashes=crashes,
        ) as environment:
            execution = await environment.start(behaviour.workflow, behaviour.given)
            if behaviour.drive:
                await behaviour.drive(MemoryDriver(execution, environment))
            try:
                ended = Ended("COMPLETED", await execution.result())
            except ExecutionNotCompleted as error:
                ended = Ended(error.status.value, said=error.failure.message if error.failure else "")
            return ended, environment.commits

    return run_in_virtual_time(run())


def run_on_a_host(behaviour: Behaviour, name: str, site: LocalSite) -> Ended:
    """Run a behaviour on a real host with a real worker."""

    async def run() -> Ended:
        path = f"/v1/workflows/{name}/execute"
        started = await asyncio.to_thread(site.call, "POST", path, {"input": dict(behaviour.given)})
        driver = HostDriver(site, started["execution_id"])
        if behaviour.drive:
            await behaviour.drive(driver)
        return await driver.ended()

    return asyncio.run(run())


_CHECK: type[Driver] = MemoryDriver
_CHECK = HostDriver
