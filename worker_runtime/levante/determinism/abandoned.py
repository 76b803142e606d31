"""Runs that cannot be thrown away, because their code does not end when it is cancelled."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import monotonic

from levante.determinism.blocks import Watched
from levante.determinism.interrupts import never_finalise

HOPELESS_SECONDS = 60.0

logger = logging.getLogger("levante.workflow")


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

    def keep(self, tasks: Iterable[object], watched: Watched, why: str) -> None:
        """Keep tasks that do not end until the process does, so that nothing in them runs again, and log that."""
        kept = list(tasks)
        for task in kept:
            never_finalise(task)
        if kept:
            text = "%s cannot be thrown away: %s. Its %d tasks stay in the memory of this worker, and never run again"
            logger.error(text, watched.name, why, len(kept))


ABANDONED = Abandoned()
"""Those of this process."""
