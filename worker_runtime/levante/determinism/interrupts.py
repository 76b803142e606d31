"""Raising an exception in another thread, so that it arrives nowhere but where it is meant to.

Python raises it in the target thread at the next place where that looks for such things: at a call, or where a loop begins
again. Until then it is pending. What C code does, or waits for, ends first.
"""

from __future__ import annotations

import ctypes

ThreadId = ctypes.c_ulong
"""Holds the id of a thread as long as an exception may be raised in it, else 0."""


class CodeStopped(BaseException):
    """Ends workflow code that holds up its worker. It is no Exception, so that `except Exception` does not keep it.

    The run fails with what was wrong, a TurnTooLong: nobody but the code itself sees this one.
    """


_set = ctypes.pythonapi["PyThreadState_SetAsyncExc"]
_set.argtypes = (ctypes.c_ulong, ctypes.py_object)
_keep = ctypes.pythonapi["Py_IncRef"]
_keep.argtypes = (ctypes.py_object,)
_keep.restype = None

interrupt_here = _set
"""Call it as `interrupt_here(own_id, CodeStopped)`: the call raises CodeStopped, in place of what is pending in this thread.

So nothing is pending any more once that is caught. To take a pending exception back instead (by NULL) leaves Python 3.11
looking for it at every step, and under a profile function for ever. It is the C function itself: a function of our own would
be a place at which the pending exception could arrive first.
"""


class _Again(CodeStopped):
    """Raises itself again in its thread as soon as somebody has caught it, for as long as that may be interrupted."""

    thread: ThreadId

    def __init__(self) -> None:
        # A call would be a place at which the next one arrives: here, and not where this one was caught.
        for _ in map(_set, (self.thread,), (type(self),)):
            break


def interrupt(thread: ThreadId, *, again: bool = False) -> None:
    """Raise CodeStopped in a thread, unless its id was set to 0. again: also after the code has caught it, each time.

    Reading the id and raising are one step for all other threads: C code does both, and holds the interpreter's lock. So a
    thread that has set the id to 0 gets no further exception, but for one that is pending.
    """
    _set(thread, type("CodeStopped", (_Again,), {"thread": thread}) if again else CodeStopped)


def never_finalise(thing: object) -> None:
    """Keep an object until the process is gone: its finalisers never run, not even when the interpreter ends."""
    _keep(thing)
