"""What Python does by itself while code of a run is at work, and what that code may change for the whole thread."""

from __future__ import annotations

import gc
import sys
from types import TracebackType


class Isolation:
    """A block for the code of one run.

    In it, no garbage is collected: finalisers would act in that run, whosever they are. What Python would have collected, it
    does after the block, where they act in none. The hooks of async generators are put back.
    """

    __slots__ = ("_collects", "_hooks")

    def __enter__(self) -> None:
        self._collects, self._hooks = gc.isenabled(), sys.get_asyncgen_hooks()
        gc.disable()

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None) -> None:
        sys.set_asyncgen_hooks(*self._hooks)
        if self._collects:
            gc.enable()
