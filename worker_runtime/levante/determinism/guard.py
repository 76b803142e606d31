"""Refusing calls in workflow code whose results differ on replay.

While a worker drives workflow code, the interpreter reports every call on that thread to the guard (`sys.setprofile`).
So it sees calls however they are named and imported, methods of built-in types such as `datetime.now` included, and changes
nothing that other code uses: activities and other threads never meet it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from levante.determinism.callers import is_importing, is_users, module_of, place_of, users_frame
from levante.determinism.forbidden import CODE, CODE_NAMES, FUNCTIONS, Kind, is_facility, written
from levante.determinism.watchdog import WATCHDOG, Turns

if TYPE_CHECKING:
    from levante.definitions import WorkflowDefinition

_open_skips: ContextVar[int] = ContextVar("levante_open_skips", default=0)


class ForbiddenCall(Exception):
    """Workflow code called what gives something else on replay. A bug: the run stays open for code that does not."""


@contextmanager
def skipped() -> Iterator[None]:
    """Let every call through inside the block, and in tasks that it starts."""
    _open_skips.set(_open_skips.get() + 1)
    try:
        yield
    finally:
        _open_skips.set(_open_skips.get() - 1)


class Guard:
    """Watches over the code of one run, inside `with` blocks: over its calls if it forbids any, and over its turns always.

    A block ends with the first ForbiddenCall or TurnTooLong of the code in it, even if the code has caught that.
    A profiler of the user's that is at work keeps its place, and calls are not watched.
    """

    def __init__(self, name: str, workflow: type, *, forbids_calls: bool) -> None:
        self._package = workflow.__module__.partition(".")[0]
        self._forbids_calls = forbids_calls
        self._turns = Turns(name, self._package)
        self._problem: Exception | None = None
        self._outer_profile: Any = None
        self._outer_turns: Turns | None = None

    def __enter__(self) -> None:
        self._outer_turns = WATCHDOG.enter(self._turns)
        self._turns.next()
        self._outer_profile = sys.getprofile()
        if self._may_watch:
            sys.setprofile(self._watch if self._forbids_calls else None)

    def __exit__(self, _type: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None) -> None:
        if self._may_watch:
            sys.setprofile(self._outer_profile)
        self._note(self._turns.end())
        WATCHDOG.leave(self._outer_turns)
        problem, self._problem = self._problem, None
        if problem is not None and problem is not error:
            raise problem

    def begin_turn(self) -> None:
        """Say that the code has waited, and now goes on."""
        self._note(self._turns.next())

    @property
    def _may_watch(self) -> bool:
        """Whether nobody watches this thread's calls, or only the guard of a run that waits for this one."""
        return self._outer_profile is None or isinstance(getattr(self._outer_profile, "__self__", None), Guard)

    def _watch(self, frame: FrameType, event: str, called: Any) -> None:
        """Take a report of the interpreter. What is raised here is raised by the call, and ends the watch."""
        if self._turns.is_overdue:
            self._refuse(self._turns.problem())
        elif event == "c_call":
            if called in FUNCTIONS:
                rule = FUNCTIONS[called]
                self._judge(frame, rule.name, rule.kind)
        elif event == "call" and frame.f_code.co_qualname in CODE_NAMES:
            self._judge_code(frame)

    def _judge_code(self, frame: FrameType) -> None:
        rule = CODE.get((module_of(frame), frame.f_code.co_qualname))
        if rule is not None and rule.applies(frame):
            self._judge(frame.f_back, rule.name or written(module_of(frame), frame.f_code.co_qualname), rule.kind)

    def _judge(self, caller: FrameType | None, name: str, kind: Kind) -> None:
        """Refuse a call that the user's code makes, itself or by a facility of the standard library."""
        while caller is not None and kind.is_inherited and is_facility(module_of(caller)):
            if module_of(caller) != "collections.abc":
                name = written(module_of(caller), caller.f_code.co_qualname)
            caller = caller.f_back
        if caller is None or _open_skips.get() or not is_users(caller, self._package) or is_importing(caller):
            return
        place = place_of(users_frame(caller, self._package))
        self._refuse(
            ForbiddenCall(
                f"workflow code uses {name} at {place}: {kind.why}. Use {kind.instead}; what cannot change the course of "
                "the workflow goes into `with workflow.unsafe.skip_determinism_enforcement():`"
            )
        )

    def _refuse(self, problem: Exception) -> None:
        self._note(problem)
        raise problem

    def _note(self, problem: Exception | None) -> None:
        self._problem = self._problem or problem


def guard_for(definition: WorkflowDefinition, execution_id: str, *, is_enforced: bool) -> Guard:
    """Make the guard of a run. is_enforced: whether determinism is, for workflows that leave it open."""
    own = definition.enforce_determinism
    name = f"workflow {definition.name} of execution {execution_id}"
    return Guard(name, definition.cls, forbids_calls=is_enforced if own is None else own)
