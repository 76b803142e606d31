"""No garbage is collected while code of a run is at work: finalisers in it would act in that run, whosever they are."""

from __future__ import annotations

import gc
from types import TracebackType


class NoCollection:
    """A block in which Python does not collect garbage by itself; what it would have collected, it does after the block."""

    __slots__ = ("_was_enabled",)

    def __enter__(self) -> None:
        self._was_enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None) -> None:
        if self._was_enabled:
            gc.enable()
