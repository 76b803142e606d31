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
from types import FrameType

TURN_SECONDS = 2.0
"""Source: SDK contract §3 (read 2026-11-23)."""
LOOK_SECONDS = 0.25
STACK_FRAMES = 12
"""Innermost frames that are logged: the outer ones are the worker's."""

logger = logging.getLogger("levante.workflow")


class TurnTooLong(Exception):
    """Workflow code did not wait for too long. A bug: the run stays open for code that waits."""


class Turns:
    """What one run does on the thread that drives it, turn by turn: a turn is the code between two awaits.

    name: of the run, for people.
    """

    __slots__ = ("_began_at", "_overdue", "_where", "name", "thread_id")

    def __init__(self, name: str) -> None:
        self.name = name
        self.thread_id = 0
        self._began_at = 0.0
        self._overdue = 0.0
        self._where = ""

    @property
    def is_overdue(self) -> bool:
        """Whether the watchdog has found this turn to last too long."""
        return self._overdue == self._began_at

    def next(self) -> TurnTooLong | None:
        """End a turn and begin another. Returns what was wrong with the one that ended."""
        now, began_at = monotonic(), self._began_at
        self._began_at = now
        if not began_at or now - began_at <= TURN_SECONDS:
            return None
        where = f", and was at {self._where}" if self._overdue == began_at else ""
        return TurnTooLong(
            f"workflow code ran for {now - began_at:.1f} s without waiting{where}; {TURN_SECONDS:g} s are possible: move the "
            "work to an activity, or break it up with `await asyncio.sleep(0)`"
        )

    def end(self) -> TurnTooLong | None:
        """End the last turn. Returns what was wrong with it."""
        problem = self.next()
        self._began_at = 0.0
        return problem

    def look(self) -> None:
        """Report the turn, once, if it lasts too long. Called from the watchdog's thread."""
        began_at = self._began_at
        if not began_at or self._overdue == began_at or monotonic() - began_at <= TURN_SECONDS:
            return
        frame = sys._current_frames().get(self.thread_id)  # noqa: SLF001 - the documented way to see another thread
        self._where, stack = _place(frame), "".join(traceback.format_stack(frame, None)[-STACK_FRAMES:])
        self._overdue = began_at
        logger.error("%s has run for %g s without waiting and holds up this worker:\n%s", self.name, TURN_SECONDS, stack)


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


def _place(frame: FrameType | None) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}" if frame else "an unknown place"
