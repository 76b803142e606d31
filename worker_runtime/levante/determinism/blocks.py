"""What a worker does with the code of one run in one go, and how long that may take.

A block is all that happens until the code waits for something from outside: its constructor, one input with what follows
from it, a query, its disposal. It consists of turns: a turn is the code between two awaits. A worker runs the code of all
its runs on one thread, so a block that does not end holds up all others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from types import FrameType

from levante.determinism.callers import is_users, place_of, users_frame
from levante.determinism.interrupts import ThreadId
from levante_core.protocol import MOST_EVENTS

TURN_SECONDS = 2.0
"""Source: SDK contract §3 (read 2026-11-23)."""
STALL_SECONDS = 2.5
"""How long turns may follow one another, each of them short, while nothing comes of them."""
DISPOSAL_SECONDS = 0.5
"""How long the code may run that reacts to being thrown away."""


class TurnTooLong(Exception):
    """Workflow code did not wait for too long. A bug: the run stays open for code that waits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a block may take, in seconds: one turn of it, and all turns since the last one of which something came."""

    turn: float = field(default_factory=lambda: TURN_SECONDS)
    stall: float = field(default_factory=lambda: STALL_SECONDS)

    @classmethod
    def of_disposal(cls) -> Limits:
        """Return those of code that is thrown away."""
        return cls(DISPOSAL_SECONDS, DISPOSAL_SECONDS)


@dataclass(frozen=True, slots=True)
class Watched:
    """The run that a block belongs to.

    name: for people. workflow: its name. package: that of its workflow, see `callers.is_users`. steps: how many commands
    came of its code so far, and how many messages it has taken up: that tells much work from code that never ends.
    """

    name: str
    workflow: str
    package: str
    steps: Callable[[], int] = lambda: 0


class Block:
    """One block, on the thread that runs it. It begins once and ends once; what comes after the end reaches nobody.

    thread: the id of that thread while it may be interrupted, see `interrupts`. is_interrupted: whether it ever was.
    is_overdue: whether the watchdog has found that the block takes too long.
    """

    __slots__ = (
        "_alive_at",
        "_began_at",
        "_first_steps",
        "_is_last_turn",
        "_limits",
        "_steps",
        "_turn_at",
        "_where",
        "is_interrupted",
        "is_overdue",
        "overdue_at",
        "thread",
        "thread_id",
        "watched",
    )

    def __init__(self, watched: Watched, limits: Limits) -> None:
        self.watched = watched
        self.thread = ThreadId(0)
        self.thread_id = threading.get_ident()
        self.is_interrupted = False
        self.is_overdue = False
        self.overdue_at = 0.0
        self._limits = limits
        self._first_steps = self._steps = watched.steps()
        self._where = ""
        self._is_last_turn = False
        self._began_at = self._alive_at = self._turn_at = monotonic()

    def begin(self) -> None:
        """Let the block be interrupted from now on, until `thread` is set to 0."""
        self.thread.value = self.thread_id

    def next_turn(self) -> None:
        """End a turn and begin another. Raises: TurnTooLong.

        Where only the sum of turns is too long, one more begins, so that the guard can say at which call it was stopped.
        """
        now = monotonic()
        if self.is_overdue or now - self._turn_at > self._limits.turn or now - self._alive_at > self._limits.stall:
            self._check(now)
        self._turn_at = now

    def problem(self) -> TurnTooLong | None:
        """Return what was wrong with the block, which has ended."""
        now = monotonic()
        return self._too_long(now) if self.is_overdue or now - self._turn_at > self._limits.turn else None

    def see(self, frame: FrameType) -> None:
        """Note where the code is, until it is overdue."""
        if self.is_overdue:
            return
        users = users_frame(frame, self.watched.package)
        if not self._where or is_users(users, self.watched.package):
            self._where = place_of(users)

    def stop_at(self, frame: FrameType) -> None:
        """Note where the last of many short turns is stopped; of a long one, it is known where it was."""
        if self._is_last_turn:
            self._where = place_of(users_frame(frame, self.watched.package))

    def has_lasted(self) -> bool:
        """Tell whether the block takes too long. Called from the watchdog's thread."""
        now = monotonic()
        return now - self._turn_at > self._limits.turn or self._is_stalled(now)

    def _check(self, now: float) -> None:
        if self._is_last_turn or now - self._turn_at > self._limits.turn:
            self.is_overdue = True
            raise self._too_long(now)
        if self.is_overdue or self._is_stalled(now):
            self.overdue_at = self.overdue_at or now
            self._is_last_turn = self.is_overdue = True

    def _is_stalled(self, now: float) -> bool:
        steps = self.watched.steps()
        if steps != self._steps and steps - self._first_steps <= MOST_EVENTS:
            self._steps, self._alive_at = steps, now
        return now - self._alive_at > self._limits.stall

    def _too_long(self, now: float) -> TurnTooLong:
        where = f", and was at {self._where}" if self._where else ""
        if now - self._turn_at > self._limits.turn:
            seconds, what, limit = now - self._turn_at, "without waiting", self._limits.turn
        else:
            what = "without waiting for anything from outside"
            seconds, limit = now - self._began_at, self._limits.stall
        return TurnTooLong(
            f"workflow code ran for {seconds:.1f} s {what}{where}; {limit:g} s are possible: move the work to an "
            "activity; wait with `workflow.wait_condition(...)` for a condition, with `workflow.sleep(...)` for time to pass"
        )
