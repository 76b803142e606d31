"""What each program of `programs` does: what it is given, what is done to it meanwhile, and how it has to end."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from unittest.mock import ANY

import pytest

from tests.behaviour import further, programs


class Driver(Protocol):
    """What a behaviour does to its execution, whatever runs it."""

    execution_id: str

    async def signal(self, name: str, **arguments: Any) -> None:
        """Send a signal."""
        ...

    async def update(self, name: str, **arguments: Any) -> Any:
        """Call an update. Raises: Refused with what was said."""
        ...

    async def query(self, name: str, **arguments: Any) -> Any:
        """Ask a query."""
        ...

    async def cancel(self) -> None:
        """Ask it to end."""
        ...

    async def terminate(self) -> None:
        """End it."""
        ...

    async def reset(self, event_id: int) -> None:
        """Let it go on from an event of its history."""
        ...

    async def result(self) -> Any:
        """Wait until it has completed. Returns its result."""
        ...

    async def search_keys(self) -> Mapping[str, str | None]:
        """Return what it is found by."""
        ...

    async def complete_activity(self, task_token: str, result: Any) -> bool:
        """Complete an attempt that goes on elsewhere. Tells whether somebody waits for it."""
        ...

    async def status_of(self, execution_id: str) -> str:
        """Return the status of another execution."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


class Refused(Exception):
    """An update was refused."""


@dataclass(frozen=True)
class Ended:
    """How an execution ended: with a result, or with what its failure says."""

    status: str
    result: Any = None
    said: str = ""


@dataclass(frozen=True)
class Behaviour:
    """One behaviour. ends: `said` has to be part of what the failure says. only_virtual: why no real host shows it."""

    workflow: type
    ends: Ended
    given: Mapping[str, Any] = field(default_factory=dict)
    drive: Callable[[Driver], Awaitable[Any]] | None = None
    only_virtual: str = ""


def completed(result: Any) -> Ended:
    """Say that it completes with this result."""
    return Ended("COMPLETED", result)


def retries(which: str, ends: Ended, only_virtual: str = "") -> Behaviour:
    """Say how activities are tried again."""
    return Behaviour(programs.Retries, ends, {"which": which}, only_virtual=only_virtual)


async def until(driver: Driver, holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a while until something holds."""
    while not await holds():
        await driver.sleep(0.05)


async def _talk(driver: Driver) -> None:
    await driver.signal("note", text="a")
    await driver.signal("note_later", text="b")

    async def both_are_there() -> bool:
        return bool(await driver.query("count") == 2)

    await until(driver, both_are_there)
    await driver.signal("note", text="c")
    with pytest.raises(Refused, match="say something"):
        await driver.update("end", text="")
    assert await driver.update("end", text="d") == "ended with d"


async def _cancel(driver: Driver) -> None:
    await driver.sleep(0.3)
    await driver.cancel()


async def _go_on(driver: Driver) -> None:
    for text in "abc":
        await driver.signal("go", text=text)


async def _vote(driver: Driver) -> None:
    found: list[Any] = []

    async def is_asked() -> bool:
        found[:] = (await driver.query("__get_pending_inputs"))["pending_inputs"]
        return bool(found)

    await until(driver, is_asked)
    assert found[0]["label"] == "first"
    with pytest.raises(Refused, match="yes"):
        await driver.update("__submit_input", task_id=found[0]["task_id"], input={"yes": "perhaps so"})
    await driver.update("__submit_input", task_id=found[0]["task_id"], input={"yes": True})


async def _terminate(driver: Driver) -> None:
    await driver.sleep(0.1)
    await driver.terminate()


async def _again(driver: Driver) -> None:
    """Go back to the beginning twice: from the middle, and from the end."""
    await driver.signal("note", text="a")
    await driver.reset(1)
    await driver.signal("note", text="b")
    assert await driver.result() == ["first", "a", "b"]
    await driver.reset(1)


async def _left(driver: Driver) -> None:
    """See what becomes of the children, and end the one that goes on."""
    children = await driver.result()
    expected = {"TERMINATE": "TERMINATED", "REQUEST_CANCEL": "CANCELED", "ABANDON": "RUNNING"}

    async def all_are_as_expected() -> bool:
        return {policy: await driver.status_of(child) for policy, child in children.items()} == expected

    await until(driver, all_are_as_expected)


async def _seek(driver: Driver) -> None:
    await driver.result()
    assert await driver.search_keys() == {"id": "c7", "state": "done"}


async def _sign(driver: Driver) -> None:
    """Sign with the token of the last attempt: the one before may have been given up."""
    place = further.left_at(driver.execution_id)
    try:

        async def is_signed() -> bool:
            return place.exists() and await driver.complete_activity(place.read_text(), "signed")

        await until(driver, is_signed)
    finally:
        place.unlink(missing_ok=True)


LATER = "a retry waits for a second and more"
BEHAVIOURS: Mapping[str, Behaviour] = {
    "activities of every kind": Behaviour(programs.Steps, completed(["a", "b", "c", "provided", "d", "e"])),
    "concurrency": Behaviour(programs.Together, completed(["a", "b", "c", "d", "e"])),
    "timers and conditions": Behaviour(programs.Timers, completed([True, "timed out"]), {"seconds": 0.2}),
    "a timer of a year": Behaviour(
        programs.Timers, completed([True, "timed out"]), {"seconds": 365 * 86400.0}, only_virtual="nobody has a year"
    ),
    "chance is recorded": Behaviour(programs.Chance, completed(True)),
    "messages": Behaviour(programs.Messages, completed(["a", "b", "c", "d"]), drive=_talk),
    "cancelled, and gives in": Behaviour(programs.Cancelled, Ended("CANCELED"), {"gives_in": True}, _cancel),
    "cancelled, and goes on": Behaviour(programs.Cancelled, completed("cleaned up"), {"gives_in": False}, _cancel),
    "continue-as-new with unread mail": Behaviour(programs.Rounds, completed(["a", "b", "c"]), {"rounds": 2}, _go_on),
    "children": Behaviour(programs.Family, completed(["a", "b", "the child fails", "c"])),
    "retried until it works": retries("third", completed(3), LATER),
    "not retried": retries("never", completed("no use to try again")),
    "start-to-close timeout": retries(
        "slow",
        completed("behaviour-slow took longer than 0.3 s"),
    ),
    "schedule-to-close timeout": retries(
        "late",
        completed("activity 'behaviour-late' has no outcome after 0.5 s, its schedule_to_close_timeout"),
    ),
    "heartbeat timeout, and details for the next attempt": retries("silent", completed(["row", 17]), LATER),
    "failure on purpose": Behaviour(programs.Fails, Ended("FAILED", said="failed after x"), {"after": "x"}),
    "execution timeout": Behaviour(programs.Timeout, Ended("TIMED_OUT")),
    "patches": Behaviour(programs.Patched, completed([True, True])),
    "terminated": Behaviour(programs.Cancelled, Ended("TERMINATED"), {"gives_in": True}, _terminate),
    "reset, with signals that are kept": Behaviour(further.Told, completed(["first", "a", "b"]), drive=_again),
    "handles of children": Behaviour(further.Handles, completed(["hello", "given up"])),
    "policies of parents": Behaviour(further.Leaver, completed(ANY), drive=_left),
    **{
        f"many at once: {form}": Behaviour(further.Parallel, completed([2 * one for one in "abcde"]), {"form": form})
        for form in ("list", "chain", "places")
    },
    "search keys": Behaviour(further.Sought, completed("c7"), {"id": "c7"}, _seek),
    "completed from outside": Behaviour(further.Signing, completed("signed"), drive=_sign),
    "inputs of several shapes": Behaviour(further.Shapes, completed(["Parcel", '{"grams":3}']), {"grams": 3}),
    "people are asked": Behaviour(programs.Asks, completed([True]), drive=_vote),
}
