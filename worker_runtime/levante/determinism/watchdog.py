"""Noticing and ending workflow code that holds up its worker.

A thread of its own looks at the blocks that are running now. One that takes too long is reported, with the place, and ended:
at the next call that the workflow's own code makes, by the guard; else by an exception that the watchdog raises in the
thread of the block, again and again until the code has given way. The watchdog sleeps while no workflow code runs.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from time import monotonic, sleep
from types import FrameType

from levante.determinism.blocks import Block
from levante.determinism.callers import is_users
from levante.determinism.interrupts import interrupt

LOOK_SECONDS = 0.25
INSIST_SECONDS = 0.05
"""How often the watchdog looks while a block is overdue."""
ANYWHERE_SECONDS = 0.25
"""How long the watchdog waits for overdue code to leave the libraries that it calls, which may hold locks."""
AGAIN_SECONDS = 0.4
"""How long code may hold on that catches what it is ended with, before it gets that again each time it does so."""
REPORTER = "levante-watchdog-report"
STACK_FRAMES = 12
"""Innermost frames that are logged: the outer ones are the worker's."""

logger = logging.getLogger("levante.workflow")


class Watchdog:
    """Looks at the blocks of all threads. Its own thread starts with the first block and ends with the process."""

    def __init__(self) -> None:
        self._running: dict[int, Block] = {}
        self._is_wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def enter(self, block: Block) -> Block | None:
        """Watch a block, which this thread runs now. Returns the one that it interrupts, for `leave`."""
        interrupted = self._running.get(block.thread_id)
        if interrupted is not None:
            interrupted.thread.value = 0
        self._running[block.thread_id] = block
        if not self._is_wanted.is_set():
            self._start()
        return interrupted

    def leave(self, interrupted: Block | None) -> None:
        """This thread goes on with what it did before."""
        if interrupted is None:
            self._running.pop(threading.get_ident(), None)
        else:
            self._running[interrupted.thread_id] = interrupted
            interrupted.begin()

    def look(self) -> bool:
        """Look at all blocks once. Returns whether any is overdue."""
        return sum(_look(block) for block in list(self._running.values())) > 0

    def _start(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="levante-watchdog", daemon=True)
                self._thread.start()
        self._is_wanted.set()

    def _run(self) -> None:
        is_overdue = False
        while self._is_wanted.wait():
            sleep(INSIST_SECONDS if is_overdue else LOOK_SECONDS)
            is_overdue = self.look()
            if not self._running:
                self._is_wanted.clear()
                if self._running:
                    self._is_wanted.set()


def _look(block: Block) -> bool:
    """Look at a block, and end it if it is overdue. Returns whether it is."""
    frame = sys._current_frames().get(block.thread_id)  # noqa: SLF001 - the documented way to see another thread
    if frame is None or not block.thread.value:
        return False
    block.see(frame)
    if not block.is_overdue:
        if not block.has_lasted():
            return False
        block.overdue_at = monotonic()
        block.is_overdue = True
        _report(block, frame)
    else:
        _end(block, frame, monotonic() - block.overdue_at)
    return True


def _end(block: Block, frame: FrameType, seconds: float) -> None:
    """Raise an exception in overdue code. seconds: for how long the guard has been waiting for a call that it can end."""
    if is_users(frame, block.watched.package) or seconds > ANYWHERE_SECONDS:
        block.is_interrupted = True
        interrupt(block.thread, again=seconds > AGAIN_SECONDS)


def _report(block: Block, frame: FrameType) -> None:
    """Log where a block is stuck, on another thread: the code may hold a lock that logging wants."""
    stack = "".join(traceback.format_stack(frame)[-STACK_FRAMES:])
    text = "%s does not wait and holds up this worker:\n%s"
    threading.Thread(target=logger.error, args=(text, block.watched.name, stack), name=REPORTER, daemon=True).start()


WATCHDOG = Watchdog()
"""The watchdog of this process."""
