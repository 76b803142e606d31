"""Which lines of workflow code were sent before, by an attempt over the same events that failed."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from dataclasses import dataclass

from levante.context import WorkflowContext

MOST_RUNS = 10_000
"""Remembered; the lines of a run that is forgotten are sent once more if it fails again."""


@dataclass
class _Place:
    """Where the code of a run was when it logged last. furthest: how far it has ever been."""

    code: weakref.ref[WorkflowContext]
    events: int
    line: int
    furthest: tuple[int, int]


class Repeats:
    """Knows lines by what the code had seen when it logged them: it is deterministic, and so are they."""

    def __init__(self) -> None:
        self._places: OrderedDict[str, _Place] = OrderedDict()

    def is_repeat(self, run: WorkflowContext) -> bool:
        """Tell whether the line that the code of the run logs now was logged before."""
        place = self._places.get(run.run_id)
        if place is None:
            if len(self._places) >= MOST_RUNS:
                self._places.popitem(last=False)
            self._places[run.run_id] = _Place(weakref.ref(run), run.events, 0, (run.events, 0))
            return False
        if place.code() is not run or place.events != run.events:
            place.code, place.events, place.line = weakref.ref(run), run.events, -1
        place.line += 1
        here = (place.events, place.line)
        if here <= place.furthest:
            return True
        place.furthest = here
        return False
