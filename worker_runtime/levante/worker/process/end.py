"""The end of a worker's process: signals set it going, and nothing that runs in the process holds it up."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import inf
from queue import SimpleQueue
from time import monotonic
from types import FrameType
from typing import Any

logger = logging.getLogger("levante.worker")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
EXTRA_SECONDS = 1.9
"""How long after DRAIN_SECONDS the process goes on at most: it is gone within two seconds."""
LOGGING_SECONDS = 0.3
"""How long the last line may take: a thread that stands still may hold a lock of the logging."""
STACK_FRAMES = 6
"""Of the stack of each thread that is named in it, the innermost ones."""


class ProcessEnd:
    """Ends the process some time after it was told to stop, if it has not ended by itself.

    Threads that nobody joins are of no use for that, nor are atexit hooks: other threads, or hooks before them, may never
    end. seconds: from the first signal. has_stopped: whether the worker has ended in good order, so that nothing is lost.
    """

    def __init__(self, seconds: float) -> None:
        self.has_stopped = False
        self._seconds = seconds
        self._at: float | None = None

    def begin(self) -> None:
        """Count from now on. A repeat changes nothing."""
        if self._at is None:
            self._at = monotonic() + self._seconds
            threading.Thread(target=self._end_late, name="end of the process", daemon=True).start()

    def seconds_left(self) -> float:
        """Return how long there is time for something that may be left out; for ever while nobody has stopped it."""
        return inf if self._at is None else max(0.0, self._at - 2 * LOGGING_SECONDS - monotonic())

    def _end_late(self) -> None:
        threading.Event().wait(self._seconds - LOGGING_SECONDS)
        saying = threading.Thread(target=self._say, name="last line", daemon=True)
        saying.start()
        saying.join(LOGGING_SECONDS)
        os._exit(0 if self.has_stopped else 1)

    def _say(self) -> None:
        logger.warning(
            "the process ends now, %g s after it was told to stop, whatever goes on in it; %s. Its threads:\n%s",
            self._seconds,
            "the worker had ended" if self.has_stopped else "what the worker did not hand over counts as lost",
            "\n".join(_places()),
        )
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()


def _places() -> Iterator[str]:
    """Describe where the threads are that Python knows of, but for those of the end itself."""
    frames: Mapping[int, FrameType] = sys._current_frames()  # noqa: SLF001 - the documented way, in spite of its name
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame and thread.name not in {"end of the process", "last line"}:
            yield f"{thread.name}:\n{''.join(traceback.format_stack(frame)[-STACK_FRAMES:])}"


@contextmanager
def stopping_on_signals(stop: asyncio.Event, end: ProcessEnd | None) -> Iterator[None]:
    """Set the event on SIGTERM and SIGINT inside the block, where the thread allows that, and let the end begin.

    The handlers are those of the process, not of the loop: they are called while code keeps the loop from turning, too. And
    they are C code: what ends workflow code, an exception in the middle of it, would end a handler in Python just as well,
    and the signal were lost. end: None leaves the process to its owner.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone may have handlers
        yield
        return
    loop, signals = asyncio.get_running_loop(), SimpleQueue[int | None]()
    handler: Any = signals.put  # takes the number; the frame is taken for its second argument, which means nothing

    def obey() -> None:
        while signals.get() is not None:
            if end:
                end.begin()
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=obey, name="stop signals", daemon=True).start()
    before = {number: signal.signal(number, handler) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous if previous is not None else signal.SIG_DFL)
        signals.put(None)
