"""§1, §3 and §4: what fails in activities, and what is wrong with workflow code."""

import asyncio
import random
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import levante as workflows
from levante import workflow
from levante.determinism.blocks import TURN_SECONDS
from tests.behaviour.driving import Behaviour, Driver, Ended, completed, left_at, refused
from tests.behaviour.programs import echo, echo_over_the_queue, never


def is_other_code() -> bool:
    """Tell whether this is another version of the code: whoever drives leaves a file, as one would deploy it."""
    with workflow.unsafe.skip_determinism_enforcement():
        return left_at(str(workflows.get_execution_id())).exists()


@workflows.activity(name="behaviour-caused", retry_policy_max_attempts=1)
async def caused() -> None:
    """Fail because of something else."""
    raise RuntimeError("outside") from ValueError("inside")


@workflows.activity(name="behaviour-hopeless")
async def hopeless() -> None:
    """Fail at every attempt."""
    raise RuntimeError("no luck")


@workflows.activity(name="behaviour-patient", retry_policy_max_attempts=5, retry_policy_backoff_coefficient=50)
async def patient() -> None:
    """Fail at every attempt, longer and longer after another."""
    raise RuntimeError("no luck")


@workflows.activity(name="behaviour-outlived")
async def outlived() -> int:
    """Outlive the worker at the first attempt."""
    attempt = workflows.activity.info().attempt
    if attempt == 1:
        left_at(str(workflows.get_execution_id())).touch()
        await asyncio.sleep(600)
    return attempt


@workflows.activity(name="behaviour-lies", retry_policy_max_attempts=1)
async def lies() -> int:
    """Return something else than it says."""
    return "no number"  # type: ignore[return-value]


@workflows.activity(name="behaviour-opaque", retry_policy_max_attempts=1)
async def opaque() -> Any:
    """Return what is no JSON."""
    return object()


@workflows.activity(name="behaviour-exits", retry_policy_max_attempts=1)
def exits() -> None:
    """Try to end the process."""
    sys.exit(3)


@workflows.activity(name="behaviour-exits-later", retry_policy_max_attempts=1)
async def exits_on_the_loop() -> None:
    """Try to end the process, from its event loop."""
    sys.exit(4)


ACTIVITIES = {
    "chain": caused,
    "attempts": hopeless,
    "result": lies,
    "opaque": opaque,
    "exit": exits,
    "exit on the loop": exits_on_the_loop,
}


@workflow.define(name="behaviour-failures")
class Failures:
    """§4: what workflow code sees of activities that fail, and what becomes of it."""

    @workflow.entrypoint
    async def run(self, which: str) -> Any:
        match which:
            case "escapes":
                return await never()
            case "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(never())
                return None
            case "lost":
                return await outlived()
            case "pauses":
                return await self.pauses()
            case "argument":
                return await self.argument()
        return await self.caught(ACTIVITIES[which])

    async def caught(self, activity: Any) -> list[Any]:
        try:
            await activity()
        except workflows.ActivityError as error:
            chain, cause = [error.attempt, error.failure_kind.value], error.cause
            while isinstance(cause, workflows.RecordedError):
                chain += [cause.failure.type, cause.message]
                cause = cause.__cause__
            return chain
        return []

    async def pauses(self) -> int:
        began = workflow.now()
        await self.caught(patient)
        return round((workflow.now() - began).total_seconds())

    async def argument(self) -> str:
        try:
            await echo(17)  # type: ignore[arg-type]
        except workflows.InvalidArguments as error:
            return await echo(str(error).partition(" (called at ")[0])
        return "it was taken"


@workflow.define(name="behaviour-buggy")
class Buggy:
    """§3 and §4: a bug ends nothing; mended code goes on."""

    @workflow.entrypoint
    async def run(self, which: str) -> str:
        said = await echo("before")
        if which == "wait":
            await self.wait()
        elif not is_other_code():
            getattr(self, which)()
        return f"{said} and after"

    async def wait(self) -> None:
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.1)
        except TimeoutError:
            if not is_other_code():
                raise

    def divide(self) -> float:
        return 1 / 0

    def leave(self) -> None:
        sys.exit(5)

    def clock(self) -> datetime:
        return datetime.now(UTC)

    def chance(self) -> float:
        return random.random()  # noqa: S311 - what workflow code must not use

    def compute(self) -> None:
        """Take too long, by a clock that the guard does not see."""
        with workflow.unsafe.skip_determinism_enforcement():
            end = datetime.now(UTC) + timedelta(seconds=TURN_SECONDS + 0.1)
            while datetime.now(UTC) < end:
                pass


@workflow.define(name="behaviour-unguarded", enforce_determinism=False)
class Unguarded:
    """§1 and §3: a workflow without the guard."""

    @workflow.entrypoint
    async def run(self) -> bool:
        await echo("before")
        return datetime.now(UTC) > datetime(2026, 1, 1, tzinfo=UTC)


@workflow.define(name="behaviour-passing")
class Passing:
    """§2: a few lines without the guard, and imports as they are."""

    @workflow.entrypoint
    async def run(self) -> bool:
        with workflow.unsafe.imports_passed_through():
            import colorsys  # noqa: PLC0415 - as code of the vendor's SDK does
        with workflow.unsafe.skip_determinism_enforcement():
            is_past = datetime.now(UTC) > datetime(2026, 1, 1, tzinfo=UTC)
        return is_past and await echo(colorsys.__name__) == "colorsys"


@workflow.define(name="behaviour-changed")
class Changed:
    """§3: other code asks for something else than what is recorded."""

    def __init__(self) -> None:
        self.is_signalled = False

    @workflow.entrypoint
    async def run(self) -> str:
        if is_other_code():
            await echo_over_the_queue("new")
        said = await echo("old")
        await workflow.wait_condition(lambda: self.is_signalled)
        return said

    @workflow.signal()
    def go_on(self) -> None:
        self.is_signalled = True

    @workflow.query()
    def is_waiting(self) -> bool:
        return not self.is_signalled


def blocks(which: str, kind: str, *said: str, no_deaths: str = "") -> Behaviour:
    """Say that code blocks the execution, why, and that it goes on with mended code."""

    async def mend(driver: Driver) -> None:
        failure = await driver.blocked()
        assert failure["type"] == kind
        assert all(one in failure["message"] for one in said), failure["message"]
        assert len(await driver.events("WORKFLOW_TASK_FAILED")) >= 1
        left_at(driver.execution_id).touch()
        try:
            await driver.place.closed(driver.execution_id)
        finally:
            left_at(driver.execution_id).unlink()

    return Behaviour(Buggy, completed("before and after"), {"which": which}, mend, no_deaths=no_deaths)


async def _give_up(driver: Driver) -> None:
    """End what its code cannot."""
    await driver.blocked()
    await driver.terminate()


async def _change(driver: Driver) -> None:
    """Deploy other code, see that it does not fit, and go back."""
    changed = left_at(driver.execution_id)

    async def is_at_rest() -> bool:
        return (await driver.kinds())[-1] == "activity_completed"

    await driver.until(is_at_rest)
    changed.touch()
    try:
        await driver.place.replace_worker()
        await driver.signal("go_on")
        failure = await driver.blocked()
        await refused(driver.query("is_waiting"), 409, "HANDLER_FAILED", "does not match its history at event 2")
    finally:
        changed.unlink()
    assert failure["type"] == "NonDeterminismError"
    for said in ("at event 2", "activity_scheduled 'behaviour-echo' ", "activity_scheduled 'behaviour-echo-queue'"):
        assert said in failure["message"], failure["message"]


async def _lose(driver: Driver) -> None:
    """Kill the worker in the middle of the attempt."""
    place = left_at(driver.execution_id)

    async def has_begun() -> bool:
        return place.exists()

    await driver.until(has_begun)
    place.unlink()
    await driver.place.replace_worker()


def fails(which: str, ends: Ended, drive: Any = None, **more: Any) -> Behaviour:
    """Say what becomes of an activity that fails."""
    return Behaviour(Failures, ends, {"which": which}, drive, **more)


NO_JSON = "is no JSON: pass what it is made from, such as text, numbers or a model"
NO_NUMBER = "Input should be a valid integer, unable to parse string as an integer"
GUARD_OFF = {"DEFAULT_ENFORCE_DETERMINISM": "0"}
ONE_ATTEMPT = {"RETRY_POLICY_MAX_ATTEMPTS": "1"}
FAIL_ON_BUGS = {"DANGEROUSLY_FORCE_FAIL_WORKFLOW_ON_ERROR": "1"}
BEHAVIOURS: Mapping[str, Behaviour] = {
    "an activity's failure that nobody catches": fails("escapes", Ended("FAILED", said="no use to try again")),
    "a group of failures that nobody catches": fails("group", Ended("FAILED")),
    "three attempts where nothing else is said": fails("attempts", completed([3, "application", "RuntimeError", "no luck"])),
    "as many attempts as the worker is told": fails(
        "attempts", completed([1, "application", "RuntimeError", "no luck"]), variables=ONE_ATTEMPT
    ),
    "causes of failures": fails("chain", completed([1, "application", "RuntimeError", "outside", "ValueError", "inside"])),
    "pauses between attempts grow to a hundred seconds": fails(
        "pauses",
        completed(1 + 50 + 100 + 100),
        only_virtual="it waits for minutes",
        no_deaths="an attempt whose worker is lost is followed without a pause",
    ),
    "a lost worker is a failed attempt": fails("lost", completed(2), _lose, no_deaths="each death would be an attempt more"),
    "arguments that do not fit": fails(
        "argument", completed("activity 'behaviour-echo': parameter 'value': Input should be a valid string")
    ),
    "a result that does not fit": fails(
        "result",
        completed(
            [
                1,
                "application",
                "PayloadRefused",
                f"activity 'behaviour-lies': result: {NO_NUMBER}. The function did run, and is not run again",
            ]
        ),
    ),
    "a result that is no JSON": fails(
        "opaque",
        completed(
            [
                1,
                "application",
                "PayloadRefused",
                f"activity 'behaviour-opaque': result: object {NO_JSON}. The function did run, and is not run again",
            ]
        ),
    ),
    "an activity that ends its process": fails("exit", completed([1, "application", "SystemExit", "3"])),
    "an async activity that ends its process": fails("exit on the loop", completed([1, "application", "SystemExit", "4"])),
    "code that ends its process": blocks("leave", "SystemExit", "5"),
    "a bug": blocks("divide", "ZeroDivisionError", "division by zero"),
    "a bug, and an end": Behaviour(Buggy, Ended("TERMINATED"), {"which": "divide"}, _give_up),
    "a timeout that nobody catches": Behaviour(Buggy, Ended("FAILED", said="TimeoutError"), {"which": "wait"}),
    "the clock in workflow code": blocks("clock", "ForbiddenCall", "datetime.now at ", "failing.py:", "Use workflow.now()"),
    "chance in workflow code": blocks("chance", "ForbiddenCall", "random.random at ", "Use workflow.random()"),
    "code that does not wait": blocks(
        "compute", "TurnTooLong", "without waiting", "move the work to an activity", no_deaths="each run takes seconds"
    ),
    "changed code": Behaviour(Changed, completed("old"), drive=_change),
    "bugs that end executions, where that is wanted": Behaviour(
        Buggy, Ended("FAILED", said="division by zero"), {"which": "divide"}, variables=FAIL_ON_BUGS
    ),
    "no guard for a worker": Behaviour(Buggy, completed("before and after"), {"which": "clock"}, variables=GUARD_OFF),
    "no guard for a workflow": Behaviour(Unguarded, completed(result=True)),
    "no guard for some lines": Behaviour(Passing, completed(result=True)),
}
