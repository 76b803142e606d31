"""§2, §3, §7, §8 and §9: where and how activities run, and what workers are told by their environment."""

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from unittest.mock import ANY

import levante as workflows
from levante import workflow
from levante.encoding import OffloadableField, PayloadCodec, PayloadContext, is_encoded, read_encoding_settings
from tests.behaviour.driving import Behaviour, Driver, Ended, completed, left_at
from tests.behaviour.failing import is_other_code
from tests.behaviour.messages import Counter
from tests.behaviour.programs import at_the_third_attempt, echo, echo_over_the_queue, provided, sticky

BLOBS = left_at(f"blobs-{os.getpid()}")
SEALED = {
    "TEMPORAL_PAYLOAD_ENCRYPTION__MODE": "full",
    "TEMPORAL_PAYLOAD_ENCRYPTION__MAIN_KEY": "0f" * 32,
    "TEMPORAL_PAYLOAD_COMPRESSION__MIN_SIZE_BYTES": "1000",
    "TEMPORAL_PAYLOAD_OFFLOADING__MIN_SIZE_BYTES": "100",
    "TEMPORAL_PAYLOAD_OFFLOADING__STORAGE_CONFIG__STORAGE_PROVIDER": "directory",
    "TEMPORAL_PAYLOAD_OFFLOADING__STORAGE_CONFIG__DIRECTORY": str(BLOBS),
    "ACTIVITY_ATTRIBUTES_OFFLOADING__MIN_SIZE_BYTES": "0",
    "ACTIVITY_ATTRIBUTES_OFFLOADING__STORAGE_CONFIG__STORAGE_PROVIDER": "directory",
    "ACTIVITY_ATTRIBUTES_OFFLOADING__STORAGE_CONFIG__DIRECTORY": str(BLOBS),
}
SECRET = "nobody-else-reads-this"
SHARED = workflows.RateLimit(time_window_in_sec=1, max_execution=5, key="behaviour-shared")
HOURLY = workflows.RateLimit(time_window_in_sec=3600, max_execution=1)
_numbers = itertools.count()


def plain() -> str:
    """Provide a text."""
    return "function"


async def later() -> str:
    """Provide a text, after a while."""
    await asyncio.sleep(0)
    return "async function"


def generated() -> Iterator[str]:
    """Provide a text, and clean up."""
    yield "generator"


async def generated_later() -> AsyncIterator[str]:
    """Provide a text after a while, and clean up."""
    yield "async generator"


@contextmanager
def managed() -> Iterator[str]:
    """Provide a text, and clean up."""
    yield "context manager"


@asynccontextmanager
async def managed_later(inside: str = workflows.Depends(plain)) -> AsyncIterator[str]:
    """Provide a text that needs another one."""
    yield f"async context manager with {inside}"


def number() -> int:
    """Provide another number each time."""
    return next(_numbers)


@workflows.activity(name="behaviour-provided-all")
async def all_provided(
    own: str,
    *,
    a: str = workflows.Depends(plain),
    b: str = workflows.Depends(later),
    c: str = workflows.Depends(generated),
    d: str = workflows.Depends(generated_later),
    e: str = workflows.Depends(managed),
    f: str = workflows.Depends(managed_later),
) -> list[str]:
    """Return all that is provided."""
    return [own, a, b, c, d, e, f]


@workflows.activity(name="behaviour-numbered")
async def numbered(number: int = workflows.Depends(number)) -> int:
    """Return what is provided."""
    return number


@workflows.activity(name="behaviour-hourly", rate_limit=HOURLY)
async def hourly(value: str) -> str:
    """Return what came, once an hour."""
    return value


@workflows.activity(name="behaviour-limited", rate_limit=SHARED)
async def limited(value: str) -> str:
    """Return what came, five times a second."""
    return value


@workflows.activity(name="behaviour-limited-too", rate_limit=SHARED)
async def limited_too(value: str) -> str:
    """Return what came, as one of the five."""
    return value


@workflows.activity(name="behaviour-refuses-b", retry_policy_max_attempts=1)
async def refuses_b(letter: str) -> str | None:
    """Refuse one of them."""
    if letter == "b":
        raise workflows.WorkflowError("not this one", non_retryable=True)
    return None if letter == "-" else letter


@workflows.activity(name="behaviour-read-field")
async def read_field(field: OffloadableField[str]) -> OffloadableField[str]:
    """Read a field that workflow code does not have, and write another one."""
    return OffloadableField(value=field.get_value() + "!")


@workflow.define(name="behaviour-provides")
class Provides:
    """§8: what activities need is provided by their worker."""

    @workflow.entrypoint
    async def run(self, *, shared: bool) -> Any:
        if shared:
            return await numbered() == await numbered()
        return await all_provided("given")


@workflow.define(name="behaviour-local")
class Local:
    """§2: activities in the worker of the workflow; retries and providers are as ever, limits of rate are not."""

    @workflow.entrypoint
    async def run(self) -> list[Any]:
        with workflows.run_activities_locally():
            first = await asyncio.gather(*(hourly(letter) for letter in "ab"))
            return [*first, await at_the_third_attempt(1), await provided()]


@workflow.define(name="behaviour-rates")
class Rates:
    """§2: places in time are shared by all activities of one key."""

    @workflow.entrypoint
    async def run(self) -> bool:
        began = workflow.now()
        await asyncio.gather(limited("a"), limited_too("b"), limited("c"), limited_too("d"))
        return (workflow.now() - began).total_seconds() >= 0.6


@workflow.define(name="behaviour-stuck")
class Stuck:
    """§2: a session may be passed on to children."""

    @workflow.entrypoint
    async def run(self, session: workflows.StickyWorkerSession) -> str:
        async with workflows.run_sticky_worker_session(session):
            return await sticky("child")


@workflow.define(name="behaviour-session")
class Session:
    """§2: sticky activities need a session; sessions may be nested."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        found: list[str] = []
        try:
            await sticky("outside")
        except workflows.WorkflowsException as error:
            found.append(str(error.code))
        while len(found) == 1:
            with suppress(workflows.ActivityError, workflows.ChildWorkflowError):  # the worker of the session is gone
                async with workflows.run_sticky_worker_session() as outer:
                    async with workflows.run_sticky_worker_session(await workflows.get_sticky_worker_session()):
                        inner = await sticky("inner")
                    child = await workflow.execute_workflow(Stuck, outer)
                    found += [inner, await sticky("outer"), child]
        return found


@workflow.define(name="behaviour-refused-items")
class RefusedItems:
    """§2: many at once, of which one fails or does not fit."""

    @workflow.entrypoint
    async def run(self, items: list[Any]) -> Any:
        try:
            return await workflows.execute_activities_in_parallel(refuses_b, items=items)
        except workflows.ChildWorkflowError as error:
            return str(error.cause)


@workflow.define(name="behaviour-sealed")
class Sealed:
    """§7: code sees plain values; nobody else does."""

    def __init__(self) -> None:
        self.found: list[str] = []

    @workflow.entrypoint
    async def run(self, secret: str) -> list[str]:
        await workflow.wait_condition(lambda: len(self.found) == 2)
        field = await read_field(OffloadableField(value=secret))
        assert field.value is None, "workflow code has a reference"
        long = await echo_over_the_queue(secret * 100)
        return [await echo(secret), *self.found, str(len(long))]

    @workflow.signal()
    def tell(self, secret: str) -> None:
        self.found.append(secret)

    @workflow.update()
    def ask(self, secret: str) -> str:
        self.found.append(secret)
        return secret

    @workflow.query()
    def last(self, secret: str) -> str:
        return f"{secret} {self.found[-1]}"


@workflow.define(name="behaviour-amended")
class Amended:
    """§3: code that is changed in place, with both sides of the change."""

    def __init__(self) -> None:
        self.is_signalled = False

    @workflow.entrypoint
    async def run(self) -> list[str]:
        found = []
        if is_other_code() and workflow.patched("amended"):
            found.append(await echo_over_the_queue("new"))
        found.append(await echo("old"))
        await workflow.wait_condition(lambda: self.is_signalled)
        return found

    @workflow.signal()
    def go_on(self) -> None:
        self.is_signalled = True


class Sealing:
    """A client that encodes what it sends, and decodes what it gets."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._codec = PayloadCodec(read_encoding_settings(SEALED))
        self._context = PayloadContext(namespace=driver.place.namespace, execution_id=driver.execution_id)

    def sent(self, value: Any) -> Any:
        """Encode."""
        return self._codec.encode(value, self._context)

    def got(self, value: Any) -> Any:
        """Decode what is encoded."""
        assert is_encoded(value), value
        return self._codec.decode(value, self._context)

    async def talk(self) -> None:
        """Send the secret wherever one can, and read the result."""
        call, given = self.driver.call, self.sent({"secret": SECRET})
        await call("signals", {"name": "tell", "input": given})
        asked = await call("queries", {"name": "last", "input": given})
        assert self.got(asked["result"]) == f"{SECRET} {SECRET}"
        updated = await call("updates", {"name": "ask", "input": given})
        assert self.got(updated["result"]) == SECRET
        result = self.got(await self.driver.result())["result"]
        assert result == [SECRET, SECRET, SECRET, str(100 * len(SECRET))]


async def _seal(driver: Driver) -> None:
    """Talk to one that began in plain, and to one that did not."""
    try:
        await Sealing(driver).talk()
        other = Sealing(driver.other(f"{driver.execution_id}-sealed"))
        given = {"encoded_input": other.sent({"secret": SECRET}), "execution_id": other.driver.execution_id}
        deployment = (await driver.get())["deployment_name"]
        await driver.start("behaviour-sealed", None, deployment_name=deployment, **given)
        await other.talk()
        assert SECRET not in json.dumps(await other.driver.history())
        assert SECRET not in json.dumps(await other.driver.events())
    finally:
        shutil.rmtree(BLOBS, ignore_errors=True)


async def _build(driver: Driver) -> None:
    """Start one with each build, and see where they stay."""
    name = f"builds-{driver.execution_id}"
    async with driver.place.worker(Counter, DEPLOYMENT_NAME=name, BUILD_ID="one"):
        first = await driver.start("behaviour-counter", {"until": 2}, deployment_name=name)
        async with driver.place.worker(Counter, DEPLOYMENT_NAME=name, BUILD_ID="two"):
            second = await driver.start("behaviour-counter", {"until": 2}, deployment_name=name)
            for one in (first, second):
                await one.until_queried("count", 1)
                await one.signal("add", text="a")
                assert await one.result() == {"result": ["begun", "a"]}
            assert [(await one.get())["build_id"] for one in (first, second)] == ["one", "two"]


async def _amend(driver: Driver) -> None:
    """Change the code under one, and start another one with it."""
    other = driver.other(f"{driver.execution_id}-new")

    async def is_at_rest() -> bool:
        return (await driver.kinds())[-1] == "activity_completed"

    await driver.until(is_at_rest)
    places = [left_at(driver.execution_id), left_at(other.execution_id)]
    for place in places:
        place.touch()
    try:
        await driver.place.replace_worker()
        await driver.start("behaviour-amended", execution_id=other.execution_id)
        for one in (driver, other):
            await one.signal("go_on")
        assert await other.result() == {"result": ["new", "old"]}
        await driver.result()
    finally:
        for place in places:
            place.unlink()


async def _in_this_process(driver: Driver) -> None:
    """Run the same without a server."""
    assert {"result": await workflows.execute_workflow(Local)} == await driver.result()
    assert await echo("as a function") == "as a function"
    try:
        await workflows.execute_workflow(Counter, {"until": 2})
    except workflows.WorkflowsException as error:
        assert "waits for a signal or an update" in str(error)  # noqa: PT017 - not every mode is a test of its own
    else:
        raise AssertionError("a signal cannot come")


NOT_THIS_ONE = "activity 'behaviour-refuses-b' failed on attempt 1: not this one"
PROVIDED = ["given", "function", "async function", "generator", "async generator", "context manager"]
BEHAVIOURS: Mapping[str, Behaviour] = {
    "providers of every kind": Behaviour(
        Provides, completed([*PROVIDED, "async context manager with function"]), {"shared": False}
    ),
    "what is provided is shared": Behaviour(
        Provides, completed(result=True), {"shared": True}, no_deaths="another worker has another one"
    ),
    "activities in the worker of the workflow": Behaviour(Local, completed(["a", "b", 2, "provided"])),
    "limits of rate": Behaviour(Rates, completed(result=True)),
    "sticky sessions": Behaviour(Session, completed(["sticky_worker_session_missing", "inner", "outer", "child"])),
    "many at once: one fails": Behaviour(RefusedItems, completed(NOT_THIS_ONE), {"items": ["a", "b", "c"]}),
    "many at once: one does not fit": Behaviour(
        RefusedItems, Ended("FAILED", said="item 1: activity '"), {"items": ["a", {"letter": 7}]}
    ),
    "many at once: nothing comes back of one": Behaviour(RefusedItems, completed(["a", None]), {"items": ["a", "-"]}),
    "encoded, in and out": Behaviour(Sealed, Ended("COMPLETED", ANY), {"secret": SECRET}, _seal, variables=SEALED),
    "builds": Behaviour(Counter, completed(["begun"]), {"until": 1}, _build),
    "a change in place": Behaviour(Amended, completed(["old"]), drive=_amend),
    "without a server": Behaviour(Local, completed(["a", "b", 2, "provided"]), drive=_in_this_process),
}
