"""What each program of `programs` and `further` does: what it is given, what is done to it meanwhile, and how it ends."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any
from unittest.mock import ANY

from tests.behaviour import (
    cancelling,
    children,
    failing,
    further,
    messages,
    programs,
    publishing,
    refusals,
    replaying,
    shapes,
    values,
    working,
)
from tests.behaviour.driving import Behaviour, Driver, Ended, completed, left_at, refused

MODULES: tuple[ModuleType, ...] = (
    *(cancelling, programs, further, failing, children, messages),
    *(refusals, replaying, shapes, publishing, values, working),
)
"""Whatever a worker serves."""


def retries(which: str, ends: Ended) -> Behaviour:
    """Say how activities are tried again."""
    return Behaviour(programs.Retries, ends, {"which": which})


async def _talk(driver: Driver) -> None:
    await driver.signal("note", text="a")
    await driver.signal("note_later", text="b")
    await driver.until_queried("count", 2)
    await driver.signal("note", text="c")
    await refused(driver.update("end", text=""), 409, "HANDLER_FAILED", "say something")
    assert await driver.update("end", text="d") == "ended with d"


async def _cancel(driver: Driver) -> None:
    await driver.place.sleep(0.3)
    await driver.cancel()


async def _go_on(driver: Driver) -> None:
    for text in "abc":
        await driver.signal("go", text=text)


async def _vote(driver: Driver) -> None:
    found: list[Any] = []

    async def is_asked() -> bool:
        found[:] = (await driver.query("__get_pending_inputs"))["pending_inputs"]
        return bool(found)

    await driver.until(is_asked)
    assert found[0]["label"] == "first"
    wrong = driver.update("__submit_input", task_id=found[0]["task_id"], input={"yes": "perhaps so"})
    await refused(wrong, 409, "HANDLER_FAILED", "yes")
    await driver.update("__submit_input", task_id=found[0]["task_id"], input={"yes": True})


async def _terminate(driver: Driver) -> None:
    await driver.place.sleep(0.1)
    await driver.terminate()


async def _again(driver: Driver) -> None:
    """Go back to the beginning twice: from the middle, and from the end."""
    await driver.signal("note", text="a")
    await driver.reset(1)
    await driver.signal("note", text="b")
    assert await driver.result() == {"result": ["first", "a", "b"]}
    await driver.reset(1)


async def _left(driver: Driver) -> None:
    """See what becomes of the children, and end the one that goes on."""
    children = (await driver.result())["result"]
    expected = {"TERMINATE": "TERMINATED", "REQUEST_CANCEL": "CANCELED", "ABANDON": "RUNNING", "none": "RUNNING"}

    async def all_are_as_expected() -> bool:
        return {policy: await driver.other(child).status() for policy, child in children.items()} == expected

    await driver.until(all_are_as_expected)


async def _seek(driver: Driver) -> None:
    await driver.result()
    assert (await driver.get())["search_keys"] == {"id": "c7", "state": "done"}


async def _sign(driver: Driver) -> None:
    """Sign with the token of the last attempt: the one before may have been given up."""
    place = left_at(driver.execution_id)
    try:

        async def is_signed() -> bool:
            if not place.exists():
                return False
            body = {"task_token": place.read_text(), "result": "signed"}
            return bool((await driver.place.call("POST", "/v1/workflows/activities/complete", body))["is_accepted"])

        await driver.until(is_signed)
    finally:
        place.unlink(missing_ok=True)


BEHAVIOURS: Mapping[str, Behaviour] = {
    "activities of every kind": Behaviour(programs.Steps, completed(["a", "b", "c", "provided", "d", "e"])),
    "concurrency": Behaviour(programs.Together, completed(["a", "b", "c", "d", "e"])),
    "locks, semaphores, queues, barriers, shields": Behaviour(
        further.Tools, completed(["a", "b", "c", "w", "x", "y", "z", "d", "e", "kept"])
    ),
    "timers and conditions": Behaviour(programs.Timers, completed([True, "timed out"]), {"seconds": 0.2}),
    "a timer of a year": Behaviour(
        programs.Timers, completed([True, "timed out"]), {"seconds": 365 * 86400.0}, only_virtual="nobody has a year"
    ),
    "chance is recorded": Behaviour(programs.Chance, completed(True)),
    "messages": Behaviour(programs.Messages, completed(["a", "b", "c", "d"]), drive=_talk),
    "cancelled, and gives in": Behaviour(programs.Cancelled, Ended("CANCELED"), {"gives_in": True}, _cancel),
    "cancelled, and goes on": Behaviour(programs.Cancelled, completed("cleaned up"), {"gives_in": False}, _cancel),
    "continue-as-new with unread messages": Behaviour(programs.Rounds, completed(["a", "b", "c"]), {"rounds": 2}, _go_on),
    "children": Behaviour(programs.Children, completed(["a", "b", "the child fails", "c"])),
    "retried until it works": retries("third", completed(3)),
    "not retried": retries("never", completed("no use to try again")),
    "start-to-close timeout": retries(
        "slow",
        completed("behaviour-slow took longer than 0.3 s"),
    ),
    "schedule-to-close timeout": retries(
        "late",
        completed("activity 'behaviour-late' has no outcome after 0.5 s, its schedule_to_close_timeout"),
    ),
    "heartbeat timeout, and details for the next attempt": retries("silent", completed(["row", 17])),
    "failure on purpose": Behaviour(programs.Fails, Ended("FAILED", said="failed after x"), {"after": "x"}),
    "execution timeout": Behaviour(programs.Timeout, Ended("TIMED_OUT")),
    "patches": Behaviour(programs.Patched, completed([True, True])),
    "terminated": Behaviour(programs.Cancelled, Ended("TERMINATED"), {"gives_in": True}, _terminate),
    "reset, with signals that are kept": Behaviour(further.Notified, completed(["first", "a", "b"]), drive=_again),
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
    **failing.BEHAVIOURS,
    **children.BEHAVIOURS,
    **messages.BEHAVIOURS,
    **refusals.BEHAVIOURS,
    **cancelling.BEHAVIOURS,
    **replaying.BEHAVIOURS,
    **shapes.BEHAVIOURS,
    **publishing.BEHAVIOURS,
    **values.BEHAVIOURS,
    **working.BEHAVIOURS,
}
