"""An activity attempt as a worker is asked to run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from levante_core.protocol import ActivityWork, Json, WorkerPool


class Demand:
    """Whether anybody wants an attempt to go on: True until it is asked to end."""

    def __init__(self) -> None:
        self.is_there = True
        self._on_end: Callable[[], None] | None = None

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call this when nobody wants the attempt any more; at once if so it is."""
        self._on_end = callback
        if not self.is_there:
            callback()

    def end(self) -> None:
        """Nobody wants it any more. A repeat changes nothing."""
        was_there, self.is_there = self.is_there, False
        if was_there and self._on_end:
            self._on_end()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to be run. seq: of the command that asked for the activity. token, details: see ActivityTask."""

    execution_id: str
    run_id: str
    pool: WorkerPool
    seq: int
    number: int
    token: str
    work: ActivityWork
    details: tuple[Json, ...] = ()
    demand: Demand = field(default_factory=Demand, compare=False)
