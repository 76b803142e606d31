"""Runs that cannot be thrown away, because their code does not end when it is cancelled."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from levante.determinism.blocks import Watched
from levante.determinism.interrupts import never_finalise

HOPELESS_SECONDS = 60.0


class Abandoned:
    """What became of runs of this process that were thrown away."""

    def __init__(self) -> None:
        self._hopeless_until: dict[str, float] = {}

    def failed(self, watched: Watched) -> None:
        """Note that code of this workflow had to be stopped when it was thrown away."""
        self._hopeless_until[watched.workflow] = monotonic() + HOPELESS_SECONDS

    def is_hopeless(self, watched: Watched) -> bool:
        """Tell whether that happened to this workflow within the last minute, so that it would only cost time again."""
        return monotonic() < self._hopeless_until.get(watched.workflow, 0.0)

    def keep(self, left: Iterable[object], watched: Watched, why: str) -> str | None:
        """Keep code that does not end until the process does, so that nothing in it runs again. Returns what to log."""
        kept = list(left)
        for one in kept:
            never_finalise(one)
        if not kept:
            return None
        return f"{watched.name} cannot be thrown away: {why}. It stays in the memory of this worker, and never runs again"


ABANDONED = Abandoned()
"""Those of this process."""
