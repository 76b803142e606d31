"""Refusing calls in workflow code whose results differ on replay, and ending code that does not wait.

While a worker drives workflow code, the interpreter reports every call on that thread to the guard (`sys.setprofile`).
So it sees calls however they are named and imported, methods of built-in types such as `datetime.now` included, and changes
nothing that other code uses: activities and other threads never meet it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from levante.determinism.abandoned import ABANDONED
from levante.determinism.blocks import Block, Limits, TurnTooLong, Watched
from levante.determinism.callers import is_users
from levante.determinism.forbidden import CODE_NAMES, FUNCTIONS, take_in_late_modules
from levante.determinism.interrupts import CodeStopped, interrupt_here
from levante.determinism.judging import ForbiddenCall, of_code, of_function
from levante.determinism.watchdog import WATCHDOG

if TYPE_CHECKING:
    from levante.definition.definitions import WorkflowDefinition

P = ParamSpec("P")
T = TypeVar("T")

_open_skips: ContextVar[int] = ContextVar("levante_open_skips", default=0)

logger = logging.getLogger("levante.workflow")


@contextmanager
def skipped() -> Iterator[None]:
    """Let every call through inside the block, and in tasks that it starts."""
    _open_skips.set(_open_skips.get() + 1)
    try:
        yield
    finally:
        _open_skips.set(_open_skips.get() - 1)


class _Before(NamedTuple):
    """What a thread did before a block: its profile function, its running loop, its block, and this guard's block."""

    profile: Any
    loop: asyncio.AbstractEventLoop | None
    block: Block | None
    own: Block | None

    @property
    def leaves_profile(self) -> bool:
        """Whether nobody watches this thread's calls, or only the guard of a run that waits for this one."""
        return self.profile is None or isinstance(getattr(self.profile, "__self__", None), Guard)


class Guard:
    """Watches over the code of one run, block by block: over its calls if it forbids any, and over its time always.

    A block ends with the first ForbiddenCall or TurnTooLong of the code in it, even if the code has caught that.
    A profiler of the user's that is at work keeps its place, and calls are not watched.
    """

    def __init__(self, watched: Watched, *, forbids_calls: bool) -> None:
        self._watched = watched
        self._forbids_calls = forbids_calls
        self._block: Block | None = None
        self._problem: Exception | None = None

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what runs the code, as one block. Raises: ForbiddenCall; TurnTooLong; whatever the function raises."""
        return self._run_within(Block(self._watched, Limits()), function, *args, **kwargs)

    def dispose(self, unwind: Callable[[], Iterable[object]], loop: asyncio.AbstractEventLoop) -> str | None:
        """Throw the code away. Never raises for what the code does. Returns what to log, if it does not end.

        unwind: cancels the tasks on the loop, and returns those that do not end. Those are abandoned: kept until the process
        ends. Code that has to be stopped is abandoned too, and with it, for a minute, what else is thrown away of its
        workflow.
        """
        if ABANDONED.is_hopeless(self._watched):
            why = "other code of its workflow has just had to be stopped"
            return ABANDONED.keep(asyncio.all_tasks(loop), self._watched, why)
        try:
            ending = replace(self._watched, steps=lambda: -len(asyncio.all_tasks(loop)))
            block = Block(ending, Limits.of_disposal())
            return ABANDONED.keep(self._run_within(block, unwind), self._watched, "it goes on when it is cancelled")
        except TurnTooLong as error:
            ABANDONED.failed(self._watched)
            return ABANDONED.keep(asyncio.all_tasks(loop), self._watched, str(error))
        except BaseException as error:  # noqa: BLE001 - nobody is there to be told
            logger.debug("%s raised when it was thrown away: %r", self._watched.name, error)
            return None

    def begin_turn(self) -> None:
        """Say that the code has waited, and now goes on. Raises: TurnTooLong."""
        if self._block is not None:
            self._block.next_turn()

    def _run_within(self, block: Block, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a block.

        Between its code and setting `thread` to 0 there must not even be the call of a function: the watchdog's exception
        could arrive there, and nothing would be put back.
        """
        before = self._enter(block)
        try:
            self._watch_calls(before)
            block.begin()
            return function(*args, **kwargs)
        finally:
            block.thread.value = 0
            if block.is_interrupted:
                try:  # noqa: SIM105 - `suppress` would be a call
                    interrupt_here(block.thread_id, CodeStopped)
                except CodeStopped:
                    pass
            self._leave(block, before)

    def _enter(self, block: Block) -> _Before:
        running = asyncio._get_running_loop()  # noqa: SLF001 - the documented way for loops to nest
        before = _Before(sys.getprofile(), running, WATCHDOG.enter(block), self._block)
        self._block = block
        return before

    def _watch_calls(self, before: _Before) -> None:
        if before.leaves_profile:
            sys.setprofile(self._watch if self._forbids_calls else None)

    def _leave(self, block: Block, before: _Before) -> None:
        """Give the thread back as it was. Raises: what was wrong with the code of the block."""
        if before.leaves_profile:
            sys.setprofile(before.profile)
        asyncio._set_running_loop(before.loop)  # noqa: SLF001 - see `_enter`
        self._block = before.own
        problem, self._problem = self._problem or block.problem(), None
        WATCHDOG.leave(before.block)
        if problem is not None and problem is not sys.exception():
            raise problem

    def _watch(self, frame: FrameType, event: str, called: Any) -> None:
        """Take a report of the interpreter. What is raised here is raised by the call, and ends the watch."""
        block = self._block
        if block is not None and block.is_overdue:
            self._stop(block, frame, event)
        elif event == "c_call":
            if called in FUNCTIONS:
                self._refuse(of_function(frame, called, self._watched.package))
        elif event == "call" and frame.f_code.co_qualname in CODE_NAMES:
            self._refuse(of_code(frame, self._watched.package))

    def _stop(self, block: Block, frame: FrameType, event: str) -> None:
        """End overdue code where it calls what is not its own. Libraries may hold locks; coroutines go on from outside."""
        package = self._watched.package
        is_own = event == "call" and is_users(frame, package)
        caller = frame.f_back if event == "call" else frame if event == "c_call" else None
        if caller is not None and not is_own and is_users(caller, package):
            block.stop_at(caller)
            raise CodeStopped

    def _refuse(self, problem: ForbiddenCall | None) -> None:
        if problem is not None and not _open_skips.get():
            self._problem = self._problem or problem
            raise problem


def guard_for(definition: WorkflowDefinition, execution_id: str, steps: Callable[[], int], *, is_enforced: bool) -> Guard:
    """Make the guard of a run. steps: see Watched. is_enforced: whether determinism is, for workflows that leave it open."""
    own = definition.enforce_determinism
    name = f"workflow {definition.name} of execution {execution_id}"
    package = definition.cls.__module__.partition(".")[0]
    take_in_late_modules()
    watched = Watched(name, definition.name, package, steps)
    return Guard(watched, forbids_calls=is_enforced if own is None else own)
