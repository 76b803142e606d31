"""Workflows that each show one line of the programming model. Sections are those of the SDK contract."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

import levante as workflows
from levante import workflow

LIMIT = workflows.RateLimit(time_window_in_sec=1, max_execution=1000)
SHORT = timedelta(seconds=0.3)


class Vote(BaseModel):
    """What somebody says."""

    yes: bool


@contextmanager
def get_prefix() -> Iterator[str]:
    """Provide a text."""
    yield "provided"


@workflows.activity(name="behaviour-echo")
async def echo(value: str) -> str:
    """Return what came."""
    return value


@workflows.activity(name="behaviour-echo-thread")
def echo_in_a_thread(value: str) -> str:
    """As `echo`, in a thread."""
    return value


@workflows.activity(name="behaviour-echo-queue", rate_limit=LIMIT)
async def echo_over_the_queue(value: str) -> str:
    """As `echo`, never in place."""
    return value


@workflows.activity(name="behaviour-third", retry_policy_max_attempts=5)
async def at_the_third_attempt(fails: int) -> int:
    """Fail so often, then return the number of the attempt."""
    attempt = workflows.activity.info().attempt
    if attempt <= fails:
        raise RuntimeError(f"attempt {attempt}")
    return attempt


@workflows.activity(name="behaviour-never", retry_policy_max_attempts=5)
async def never() -> None:
    """Fail for good."""
    raise workflows.WorkflowError("no use to try again", non_retryable=True)


@workflows.activity(name="behaviour-slow", start_to_close_timeout=SHORT, retry_policy_max_attempts=2)
async def slow() -> None:
    """Take too long."""
    await asyncio.sleep(60)


@workflows.activity(name="behaviour-late", schedule_to_close_timeout=timedelta(seconds=0.5), retry_policy_max_attempts=9)
async def late() -> None:
    """Fail until the time for all attempts is up."""
    raise RuntimeError("again")


@workflows.activity(name="behaviour-silent", heartbeat_timeout=SHORT, retry_policy_max_attempts=3)
async def silent() -> list[Any]:
    """Fall silent at the first attempt, and return what that one said at the second."""
    if workflows.activity.info().attempt == 1:
        workflows.activity_heartbeat("row", 17)
        await asyncio.sleep(60)
    return list(workflows.activity.heartbeat_details())


@workflows.activity(name="behaviour-provided")
async def provided(prefix: str = workflows.Depends(get_prefix)) -> str:
    """Return what is provided."""
    return prefix


@workflows.activity(name="behaviour-sticky", sticky_to_worker=True)
async def sticky(value: str) -> str:
    """Return what came."""
    return value


@workflow.define(name="behaviour-steps")
class Steps:
    """§4: activities one after the other, of every kind."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""
        found = [await echo("a"), await echo_in_a_thread("b"), await echo_over_the_queue("c"), await provided()]
        with workflows.run_activities_locally():
            found.append(await echo("d"))
        while len(found) == 5:
            with suppress(workflows.ActivityError):  # the worker of the session is gone
                async with workflows.run_sticky_worker_session():
                    found.append(await sticky("e"))
        return found


@workflow.define(name="behaviour-together")
class Together:
    """§4: gather, TaskGroup and wait are the tools for concurrency."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""
        found = list(await asyncio.gather(echo("a"), echo_over_the_queue("b")))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(echo(letter)) for letter in "cd"]
        found += [task.result() for task in tasks]
        waits = [asyncio.ensure_future(workflow.sleep(3600)), asyncio.ensure_future(echo("e"))]
        done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return [*found, *(str(task.result()) for task in done)]


@workflow.define(name="behaviour-timers", execution_timeout=timedelta(days=800))
class Timers:
    """§4: sleeps are durable, however long; conditions have timeouts."""

    @workflow.entrypoint
    async def run(self, seconds: float) -> list[Any]:
        """See the class."""
        began = workflow.now()
        await workflow.sleep(timedelta(seconds=seconds))
        await asyncio.sleep(0.1)
        slept = workflow.now() - began >= timedelta(seconds=seconds + 0.1)
        try:
            await workflow.wait_condition(lambda: False, timeout=0.2)
        except TimeoutError:
            return [slept, "timed out"]
        return [slept, "held"]


@workflow.define(name="behaviour-random")
class Chance:
    """§4: now, uuid4 and random are the same on replay."""

    @workflow.entrypoint
    async def run(self) -> bool:
        """See the class."""
        drawn = [str(workflow.uuid4()), str(workflow.random().random()), str(workflow.now())]
        recorded = [await echo_over_the_queue(one) for one in drawn]
        await workflow.sleep(0.1)
        return recorded == drawn


@workflow.define(name="behaviour-messages")
class Messages:
    """§4: signals in order, queries, updates with answers and refusals; async handlers may run activities."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.is_over = False

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""
        await workflow.wait_condition(lambda: self.is_over)
        return self.notes

    @workflow.signal()
    def note(self, text: str) -> None:
        """Note it."""
        self.notes.append(text)

    @workflow.signal()
    async def note_later(self, text: str) -> None:
        """Note what an activity says."""
        self.notes.append(await echo_over_the_queue(text))

    @workflow.query()
    def count(self) -> int:
        """Return how many there are."""
        return len(self.notes)

    @workflow.update()
    async def end(self, text: str) -> str:
        """Note what an activity says, and end."""
        if not text:
            raise workflows.WorkflowError("say something")
        self.notes.append(await echo_over_the_queue(text))
        self.is_over = True
        return f"ended with {text}"


@workflow.define(name="behaviour-cancelled")
class Cancelled:
    """§4: a request to cancel reaches the code, which may clean up, shielded."""

    @workflow.entrypoint
    async def run(self, *, gives_in: bool) -> str:
        """See the class."""
        try:
            await workflow.sleep(3600)
        except asyncio.CancelledError:
            cleaned = await asyncio.shield(asyncio.ensure_future(echo_over_the_queue("cleaned up")))
            if gives_in:
                raise
            return cleaned
        return "slept"


@workflow.define(name="behaviour-rounds")
class Rounds:
    """§4: continue-as-new keeps what was sent and not taken."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    @workflow.entrypoint
    async def run(self, rounds: int, seen: list[str] | None = None, left: list[str] | None = None) -> list[str]:
        """See the class."""
        seen, self.taken = seen or [], [*(left or []), *self.taken]
        await workflow.wait_condition(lambda: bool(self.taken))
        seen += [await echo(self.taken[0])]
        if rounds:
            workflow.continue_as_new({"rounds": rounds - 1, "seen": seen, "left": self.taken[1:]})
        return seen

    @workflow.signal()
    def go(self, text: str) -> None:
        """Note it."""
        self.taken.append(text)


@workflow.define(name="behaviour-child")
class Child:
    """Returns or fails as it is told."""

    @workflow.entrypoint
    async def run(self, text: str) -> str:
        """See the class."""
        if text == "fail":
            raise workflows.WorkflowError("the child fails")
        await workflow.sleep(0.1)
        return await echo(text)


@workflow.define(name="behaviour-children")
class Children:
    """§4: children are awaited or not; their failures are errors."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""
        found = list(await asyncio.gather(*(workflow.execute_workflow(Child, {"text": letter}) for letter in ("a", "b"))))
        handle = await workflow.execute_workflow(Child, {"text": "c"}, wait=False)
        try:
            await workflow.execute_workflow(Child, {"text": "fail"})
        except workflows.ChildWorkflowError as error:
            found.append(str(error.cause or error))
        return [*found, str(await handle)]


@workflow.define(name="behaviour-retries")
class Retries:
    """§2: retries by policy, timeouts, heartbeats; what is not to be retried is not."""

    @workflow.entrypoint
    async def run(self, which: str) -> Any:
        """See the class."""
        try:
            match which:
                case "third":
                    return await at_the_third_attempt(2)
                case "never":
                    return await never()
                case "slow":
                    return await slow()
                case "late":
                    return await late()
                case _:
                    return await silent()
        except workflows.ActivityError as error:
            return str(error.cause or error)


@workflow.define(name="behaviour-fails")
class Fails:
    """§4: WorkflowError ends the execution as failed."""

    @workflow.entrypoint
    async def run(self, after: str) -> None:
        """See the class."""
        await echo(after)
        raise workflows.WorkflowError(f"failed after {after}")


@workflow.define(name="behaviour-timeout", execution_timeout=timedelta(seconds=1))
class Timeout:
    """§1: the execution timeout ends it, whatever it does."""

    @workflow.entrypoint
    async def run(self) -> None:
        """See the class."""
        await workflow.sleep(3600)


@workflow.define(name="behaviour-patched")
class Patched:
    """§9: changes in place are recorded."""

    @workflow.entrypoint
    async def run(self) -> list[bool]:
        """See the class."""
        first = workflow.patched("one")
        await echo_over_the_queue("between")
        workflow.deprecate_patch("two")
        await workflow.sleep(0.1)
        return [first, workflow.patched("one")]


@workflow.define(name="behaviour-asks")
class Asks(workflows.InteractiveWorkflow):
    """§5: people are asked, and answer; §6: tasks publish it."""

    @workflow.entrypoint
    async def run(self) -> list[bool]:
        """See the class."""
        async with workflows.task("voting", {"votes": 0}) as task:
            first = await self.wait_for_input(Vote, label="first")
            await task.update_state({"votes": 1})
        return [first.yes]
