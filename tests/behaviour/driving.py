"""What is done to an execution from outside, by the calls of the API, whatever runs it; and what a behaviour is."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Protocol

EXECUTIONS = "/v1/workflows/executions"
LOOK_SECONDS = 0.02
MOST_SECONDS = 0.5


class Refused(Exception):
    """The API refused a call. code: of its error; body: all that it answered."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body
        self.code = body["code"]
        super().__init__(f"{status}: {body}")


class Place(Protocol):
    """An installation with a worker that serves all programs, in one of the modes."""

    namespace: str

    async def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Call the API. Raises: Refused."""
        ...

    async def closed(self, execution_id: str) -> None:
        """Return when the execution is closed."""
        ...

    async def replace_worker(self) -> None:
        """Let the worker die, and another one come."""
        ...

    def worker(self, workflow: type, **settings: str) -> AbstractAsyncContextManager[None]:
        """Run another worker inside the block, which serves what is beside a workflow. settings: deployment_name, ..."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


class Driver:
    """One execution in a place."""

    def __init__(self, place: Place, execution_id: str) -> None:
        self.place = place
        self.execution_id = execution_id

    async def call(self, path: str, body: Any = None, **headers: str) -> Any:
        """Post to the execution. Raises: Refused."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.place.call("POST", f"{EXECUTIONS}/{self.execution_id}/{path}", body, named)

    async def signal(self, name: str, /, **arguments: Any) -> None:
        """Send a signal."""
        await self.call("signals", {"name": name, "input": arguments})

    async def update(self, name: str, /, **arguments: Any) -> Any:
        """Call an update."""
        return (await self.call("updates", {"name": name, "input": arguments}))["result"]

    async def query(self, name: str, /, **arguments: Any) -> Any:
        """Ask a query."""
        return (await self.call("queries", {"name": name, "input": arguments}))["result"]

    async def cancel(self) -> None:
        """Ask it to end."""
        await self.call("cancel")

    async def terminate(self) -> None:
        """End it."""
        await self.call("terminate")

    async def reset(self, event_id: int, **how: Any) -> None:
        """Let it go on from an event of its history."""
        await self.call("reset", {"event_id": event_id, **how})

    async def get(self) -> Any:
        """Return what the API says of it."""
        return await self.place.call("GET", f"{EXECUTIONS}/{self.execution_id}?include_search_keys=true")

    async def status(self) -> str:
        """Return its status."""
        return str((await self.get())["status"])

    async def history(self) -> Any:
        """Return its history."""
        return await self.place.call("GET", f"{EXECUTIONS}/{self.execution_id}/history")

    async def kinds(self) -> list[str]:
        """Return the kinds of the events of its history."""
        return [event["kind"] for event in (await self.history())["events"]]

    async def events(self, prefix: str = "") -> list[Any]:
        """Return the stream events of it and of all below it, of the types that begin like that."""
        path = f"/v1/workflows/events/list?root_workflow_exec_id={self.execution_id}&limit=1000"
        return [one for one in (await self.place.call("GET", path))["events"] if one["event_type"].startswith(prefix)]

    async def result(self) -> Any:
        """Wait for the end. Returns its result as JSON."""
        await self.place.closed(self.execution_id)
        return (await self.get())["result"]

    async def ended(self) -> "Ended":
        """Wait for the end. Returns how it ended."""
        await self.place.closed(self.execution_id)
        found = await self.get()
        return Ended(found["status"], found["result"], (found["failure"] or {}).get("message", ""))

    async def blocked(self) -> Any:
        """Wait until its code cannot be advanced. Returns the failure that says why."""
        found: list[Any] = []

        async def is_blocked() -> bool:
            found[:] = [(await self.history())["workflow_task_failure"]]
            return found[0] is not None

        await self.until(is_blocked)
        assert await self.status() == "RUNNING"
        return found[0]["failure"]

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something holds, and look less and less often: in virtual time, leases of the dead are long."""
        pause = LOOK_SECONDS
        while not await holds():
            await self.place.sleep(pause)
            pause = min(1.5 * pause, MOST_SECONDS)

    async def until_queried(self, name: str, expected: Any) -> None:
        """Wait until a query is answered like that."""

        async def is_expected() -> bool:
            return bool(await self.query(name) == expected)

        await self.until(is_expected)

    def other(self, execution_id: str) -> "Driver":
        """Drive another execution of the place."""
        return Driver(self.place, execution_id)

    async def start(self, workflow: str, given: Any = None, **options: Any) -> "Driver":
        """Start another execution. Raises: Refused."""
        body = {"input": given, "deployment_name": "d", **options}
        started = await self.place.call("POST", f"/v1/workflows/{workflow}/execute", body)
        return self.other(started["execution_id"])


async def refused(call: Awaitable[Any], status: int, code: str, said: str = "") -> Any:
    """Check that a call is refused like that. Returns all that was answered."""
    error: Refused | None = None
    try:
        await call
    except Refused as refusal:
        error = refusal
    assert error, "it was not refused"
    assert (error.status, error.code) == (status, code), error
    assert said in str(error), error
    return error.body


@dataclass(frozen=True)
class Ended:
    """How an execution ended: with a result as JSON, or with what its failure says."""

    status: str
    result: Any = None
    said: str = ""


def completed(result: Any) -> Ended:
    """Say that it completes with this result, which is neither a model nor None."""
    return Ended("COMPLETED", {"result": result})


@dataclass(frozen=True)
class Behaviour:
    """One behaviour. ends: `said` has to be part of what the failure says.

    variables: of the environment of its worker. has_schedules: the declared schedules are made, on a real host they always
    are. only_virtual: why no real host shows it. no_deaths: why no worker dies.
    """

    workflow: type
    ends: Ended
    given: Mapping[str, Any] | None = field(default_factory=dict)
    drive: Callable[[Driver], Awaitable[Any]] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    has_schedules: bool = False
    only_virtual: str = ""
    no_deaths: str = ""


def left_at(name: str) -> Path:
    """Return a place where whoever drives an execution and its code leave something for each other."""
    return Path(gettempdir()) / f"levante-behaviour-{name}"
