"""Programs that nobody thought of: a little language of what asyncio offers, run as workflows to any end."""

import asyncio
from asyncio import as_completed, wait
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

from hypothesis import strategies as st

from levante.context import current_workflow
from levante.errors import ActivityError
from tests.unit.levante.replay.test_run import activity


@dataclass(frozen=True)
class Act:
    """Run an activity."""

    name: str


@dataclass(frozen=True)
class Sleep:
    """Wait."""

    seconds: int


@dataclass(frozen=True)
class Read:
    """Read the clock and the random source."""


@dataclass(frozen=True)
class Sequence:
    """One after the other."""

    parts: "tuple[Program, ...]"


@dataclass(frozen=True)
class Gather:
    """All at once."""

    parts: "tuple[Program, ...]"


@dataclass(frozen=True)
class Group:
    """All at once; the first that fails cancels the others."""

    parts: "tuple[Program, ...]"


@dataclass(frozen=True)
class Limit:
    """Give up after some seconds."""

    part: "Program"
    seconds: int


@dataclass(frozen=True)
class Attempt:
    """Go on whatever happens."""

    part: "Program"


@dataclass(frozen=True)
class Race:
    """Start one, do the other, then cancel the first."""

    loser: "Program"
    winner: "Program"


@dataclass(frozen=True)
class AsCompleted:
    """All at once, looked at in the order in which they end."""

    parts: "tuple[Program, ...]"


@dataclass(frozen=True)
class WaitFor:
    """All at once, waited for as futures of groups, the first that end first; what is left then is cancelled."""

    parts: "tuple[Program, ...]"
    leaves: int


@dataclass(frozen=True)
class Shielded:
    """Wait for no longer than some seconds, and then again without an end."""

    part: "Program"
    seconds: int


@dataclass(frozen=True)
class Generate:
    """An async generator that does one after the other, is left after some, and does the last part as it is closed."""

    parts: "tuple[Program, ...]"
    taken: int


@dataclass(frozen=True)
class Background:
    """Start something that nobody refers to."""

    part: "Program"


@dataclass(frozen=True)
class Share:
    """All at once, but not more than one at a time in a part of it."""

    parts: "tuple[Program, ...]"
    how: str


@dataclass(frozen=True)
class Until:
    """Wait by the clock of the loop, in as many sleeps as it takes."""

    thirds: int


Program: TypeAlias = (
    Act
    | Sleep
    | Read
    | Sequence
    | Gather
    | Group
    | Limit
    | Attempt
    | Race
    | AsCompleted
    | WaitFor
    | Shielded
    | Generate
    | Background
    | Share
    | Until
)

spoken: ContextVar[int] = ContextVar("spoken", default=0)

SECONDS = st.integers(0, 5)
LEAVES = st.one_of(
    st.builds(Act, st.sampled_from("abc")), st.builds(Sleep, SECONDS), st.builds(Read), st.builds(Until, st.integers(0, 9))
)


def _with_parts(parts: "st.SearchStrategy[Program]") -> "st.SearchStrategy[Program]":
    some = st.lists(parts, min_size=1, max_size=4).map(tuple)
    return st.one_of(
        st.builds(Sequence, some),
        st.builds(Gather, some),
        st.builds(Group, some),
        st.builds(Limit, parts, SECONDS),
        st.builds(Attempt, parts),
        st.builds(Race, parts, parts),
        st.builds(AsCompleted, some),
        st.builds(WaitFor, some, st.integers(0, 2)),
        st.builds(Shielded, parts, SECONDS),
        st.builds(Generate, some, st.integers(0, 3)),
        st.builds(Background, parts),
        st.builds(Share, some, st.sampled_from(["lock", "semaphore", "queue", "condition", "event"])),
    )


PROGRAMS: "st.SearchStrategy[Program]" = st.recursive(LEAVES, _with_parts, max_leaves=12)


async def interpret(program: Program, seen: list[Any]) -> None:
    """Do what the program says, noting what the code gets to see."""
    match program:
        case Act(name):
            seen.append((name, await activity(name)))
        case Sleep(seconds):
            await asyncio.sleep(seconds)
            seen.append(("slept", seconds))
        case Read():
            context = current_workflow.get()
            assert context
            spoken.set(spoken.get() + 1)
            seen.append((context.now(), context.uuid4(), context.random.random(), spoken.get()))
        case Until(thirds):
            await _until(thirds / 3, seen)
        case Sequence(parts):
            for part in parts:
                await interpret(part, seen)
        case _:
            await _interpret_together(program, seen)


async def _until(seconds: float, seen: list[Any]) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        await asyncio.sleep(left)
        seen.append("looked")


async def _interpret_together(program: Program, seen: list[Any]) -> None:
    match program:
        case Gather(parts):
            await asyncio.gather(*[interpret(part, seen) for part in parts])
        case Group(parts):
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(interpret(part, seen))
        case Limit(part, seconds):
            await asyncio.wait_for(interpret(part, seen), seconds)
        case Attempt(part):
            try:
                await interpret(part, seen)
            except (ActivityError, TimeoutError, ExceptionGroup) as error:
                seen.append(type(error).__name__)
        case Race(loser, winner):
            task = asyncio.create_task(interpret(loser, seen))
            await interpret(winner, seen)
            task.cancel()
            await asyncio.wait([task])
        case _:
            await _interpret_odd(program, seen)


async def _interpret_odd(program: Program, seen: list[Any]) -> None:
    match program:
        case AsCompleted(parts):
            for earliest in as_completed([_numbered(number, part, seen) for number, part in enumerate(parts)]):
                number = await earliest
                seen.append(("completed", number))
        case WaitFor(parts, leaves):
            await _wait_for(parts, leaves, seen)
        case Shielded(part, seconds):
            await _shield(part, seconds, seen)
        case Generate(parts, taken):
            async for number in _generated(parts, seen):
                if number >= taken:
                    break
        case Background(part):
            asyncio.create_task(interpret(Attempt(part), seen))  # noqa: RUF006 - nobody refers to it on purpose
            await asyncio.sleep(0)
        case Share(parts, how):
            await _share(parts, how, seen)
        case _:
            raise TypeError(program)


async def _wait_for(parts: "tuple[Program, ...]", leaves: int, seen: list[Any]) -> None:
    left = {asyncio.gather(_numbered(number, part, seen)) for number, part in enumerate(parts)}
    while len(left) > leaves:
        done, left = await wait(left, return_when=asyncio.FIRST_COMPLETED)
        seen.append(("done", [one.result() for one in done]))
    for one in left:
        one.cancel()


async def _shield(part: Program, seconds: int, seen: list[Any]) -> None:
    task = asyncio.ensure_future(interpret(part, seen))
    try:
        async with asyncio.timeout(seconds):
            await asyncio.shield(task)
    except TimeoutError:
        seen.append("still at it")
        await task


async def _numbered(number: int, part: Program, seen: list[Any]) -> int:
    await interpret(part, seen)
    return number


async def _generated(parts: "tuple[Program, ...]", seen: list[Any]) -> AsyncIterator[int]:
    try:
        for number, part in enumerate(parts[:-1]):
            await interpret(part, seen)
            yield number
    finally:
        await interpret(Attempt(parts[-1]), seen)


async def _share(parts: "tuple[Program, ...]", how: str, seen: list[Any]) -> None:
    lock, semaphore, queue = asyncio.Lock(), asyncio.Semaphore(2), asyncio.Queue[int]()
    condition, event = asyncio.Condition(), asyncio.Event()
    queue.put_nowait(0)

    async def one(number: int, part: Program) -> None:
        match how:
            case "lock":
                async with lock:
                    await interpret(part, seen)
            case "semaphore":
                async with semaphore:
                    await interpret(part, seen)
            case "queue":
                token = await queue.get()
                try:
                    await interpret(part, seen)
                finally:
                    queue.put_nowait(token + 1)
            case "condition":
                async with condition:
                    await interpret(part, seen)
                    condition.notify_all()
            case _:
                if number:
                    await event.wait()
                try:
                    await interpret(part, seen)
                finally:
                    event.set()
        seen.append(("shared", number))

    await asyncio.gather(*(one(number, part) for number, part in enumerate(parts)))
