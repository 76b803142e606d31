"""Programs that are lived through to any end, and what became of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from levante.replay.run import WorkflowRun
from levante_core.protocol import (
    CLOSINGS,
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    Failure,
    HistoryBatch,
    Outcome,
    TimerCanceled,
    TimerFired,
    TimerStarted,
)
from tests.unit.levante.replay.programs import Attempt, Program, interpret
from tests.unit.levante.replay.test_run import AT, new_run


@dataclass
class Live:
    """A run of a program, and what became of it."""

    program: Program
    seen: list[Any] = field(default_factory=list)
    batches: list[HistoryBatch] = field(default_factory=list)
    run: WorkflowRun = field(init=False)

    def __post_init__(self) -> None:
        """Make the run without starting it."""
        self.run = new_run(lambda: interpret(Attempt(self.program), self.seen))

    def dispose(self) -> None:
        """Throw away what the code has left running."""
        self.run.dispose()

    def record(self, *events: Any) -> None:
        """Append a batch."""
        index = len(self.batches) + 1
        self.batches.append(HistoryBatch(index=index, commit_id=f"c{index}", events=events))

    def events(self) -> Iterator[Any]:
        """List all events in order."""
        return (event for batch in self.batches for event in batch.events)


def open_work(live: Live) -> list[Any]:
    """Return what waits for an outcome."""
    found: dict[int, Any] = {}
    for event in live.events():
        match event:
            case ActivityScheduled() | TimerStarted():
                found[event.seq] = event
            case ActivityCompleted() | ActivityFailed() | TimerFired():
                del found[event.seq]
            case ActivityCancelRequested():
                del found[event.activity]
            case TimerCanceled():
                del found[event.timer]
            case _:
                pass
    return list(found.values())


def lived(program: Program, data: st.DataObject) -> Live:
    """Run a program to its end. What it waits for ends in any order, activities in any way."""
    live = Live(program)
    try:
        _live_on(live, data)
    finally:  # hypothesis gives up in the middle where it has no more to draw
        live.dispose()
    return live


def _live_on(live: Live, data: st.DataObject) -> None:
    live.record(*live.run.begin())
    now = AT
    while not isinstance(live.batches[-1].events[-1], CLOSINGS):
        waiting = open_work(live)
        first_timer = min((one.fire_at for one in waiting if isinstance(one, TimerStarted)), default=None)
        may_end = [one for one in waiting if isinstance(one, ActivityScheduled) or one.fire_at == first_timer]
        one = data.draw(st.sampled_from(may_end))
        outcome: Outcome
        if isinstance(one, TimerStarted):
            now = max(now, one.fire_at)
            outcome = TimerFired(seq=one.seq, at=one.fire_at)
        elif data.draw(st.integers(0, 3)):
            now += timedelta(milliseconds=data.draw(st.integers(0, 1500)))
            outcome = ActivityCompleted(seq=one.seq, at=now, result=one.seq)
        else:
            outcome = ActivityFailed(seq=one.seq, at=now, failure=Failure(message="no"))
        live.record(outcome, *live.run.apply(outcome))
