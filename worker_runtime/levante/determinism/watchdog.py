"""Noticing workflow code that does not wait: between two awaits it has `TURN_SECONDS`.

A worker runs the code of all its runs on one thread, so code that does not wait holds up all the others. A thread of its own
looks at what is running now, and says where it is stuck while it is. That thread sleeps while no workflow code runs.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from time import monotonic, sleep

from levante.determinism.callers import place_of, users_frame

TURN_SECONDS = 2.0
"""Source: SDK contract §3 (read 2026-11-23)."""
LOOK_SECONDS = 0.25
_NEVER = -1.0
STACK_FRAMES = 12
"""Innermost frames that are logged: the outer ones are the worker's."""

logger = logging.getLogger("levante.workflow")


class TurnTooLong(Exception):
    """Workflow code did not wait for too long. A bug: the run stays open for code that waits."""


class Turns:
    """What one run does on the thread that drives it, turn by turn: a turn is the code between two awaits.

    name: of the run, for people. package: that of its workflow, see `callers.is_users`.
    """

    __slots__ = ("_began_at", "_overdue", "_where", "name", "package", "thread_id")

    def __init__(self, name: str, package: str) -> None:
        self.name = name
        self.package = package
        self.thread_id = 0
        self._began_at = _NEVER
        self._overdue = _NEVER
        self._where = ""

    @property
    def is_overdue(self) -> bool:
        """Whether the watchdog has found this turn to last too long."""
        return self._overdue == self._began_at != _NEVER

    def problem(self) -> TurnTooLong:
        """What is wrong with a turn that lasts too long."""
        where = f", and was at {self._where}" if self.is_overdue else ""
        return TurnTooLong(
            f"workflow code ran for {monotonic() - self._began_at:.1f} s without waiting{where}; {TURN_SECONDS:g} s are "
            "possible: move the work to an activity, or break it up with `await asyncio.sleep(0)`"
        )

    def next(self) -> TurnTooLong | None:
        """End a turn and begin another. Returns what was wrong with the one that ended."""
        now = monotonic()
        problem = self.problem() if self._has_lasted(now) else None
        self._began_at = now
        return problem

    def end(self) -> TurnTooLong | None:
        """End the last turn. Returns what was wrong with it."""
        problem = self.next()
        self._began_at = _NEVER
        return problem

    def look(self) -> None:
        """Report the turn, once, if it lasts too long. Called from the watchdog's thread."""
        began_at = self._began_at
        frame = sys._current_frames().get(self.thread_id)  # noqa: SLF001 - the documented way to see another thread
        if frame is None or self._overdue == began_at or not self._has_lasted(monotonic()):
            return
        self._where = place_of(users_frame(frame, self.package))
        self._overdue = began_at
        stack = "".join(traceback.format_stack(frame)[-STACK_FRAMES:])
        logger.error("%s has run for %g s without waiting and holds up this worker:\n%s", self.name, TURN_SECONDS, stack)

    def _has_lasted(self, now: float) -> bool:
        return self._began_at != _NEVER and now - self._began_at > TURN_SECONDS


class Watchdog:
    """Looks at the turns of all threads of the process. Its thread starts with the first turn and ends with the process."""

    def __init__(self) -> None:
        self._running: dict[int, Turns] = {}
        self._is_wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def enter(self, turns: Turns) -> Turns | None:
        """Watch these turns, which this thread runs now. Returns those that they interrupt, for `leave`."""
        turns.thread_id = threading.get_ident()
        interrupted = self._running.get(turns.thread_id)
        self._running[turns.thread_id] = turns
        if not self._is_wanted.is_set():
            self._start()
        return interrupted

    def leave(self, interrupted: Turns | None) -> None:
        """This thread goes on with what it did before."""
        if interrupted is None:
            self._running.pop(threading.get_ident(), None)
        else:
            self._running[threading.get_ident()] = interrupted

    def _start(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="levante-watchdog", daemon=True)
                self._thread.start()
        self._is_wanted.set()

    def _run(self) -> None:
        while self._is_wanted.wait():
            sleep(LOOK_SECONDS)
            for turns in list(self._running.values()):
                turns.look()
            if not self._running:
                self._is_wanted.clear()
                if self._running:
                    self._is_wanted.set()


WATCHDOG = Watchdog()
"""The watchdog of this process."""
