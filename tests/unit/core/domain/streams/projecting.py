"""Histories, and the projections of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from levante_core.domain.executions.execution import RunStart
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ActivityCompleted,
    ActivityScheduled,
    HistoryEvent,
    Outcome,
)
from levante_core.domain.history.state import HistoryBatch
from levante_core.domain.names import ExecutionId, RunId, WorkflowName
from levante_core.domain.streams.projection import StreamCursor, StreamProjection

ROOT = ExecutionId("e")
RUN = RunId("r1")
START = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
FAILURE = Failure(message="no stock", stack="secret.py, line 7")
RUN_START = RunStart(workflow_name=WorkflowName("w"), input={"a": 1}, started_at=START, deadline_at=START)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def new_projection() -> StreamProjection:
    return StreamProjection(ROOT, StreamCursor(execution_id=ROOT))


def begun() -> StreamProjection:
    """A projection that has the start of its run."""
    projection = new_projection()
    projection.start(RUN, RUN_START)
    return projection


def append(projection: StreamProjection, *events: HistoryEvent, seconds: float = 1, facts: Sequence[Outcome] = ()) -> None:
    """Append the next batch. facts: those that it takes, by seq."""
    batch = HistoryBatch(index=projection.cursor.index + 1, commit_id="c", events=events)
    projection.append(batch, at(seconds), {str(fact.seq): fact for fact in facts})


def types(projection: StreamProjection) -> list[str]:
    """Return the types of what was told, without what they have in common."""
    return [update.event.event_type.removeprefix("WORKFLOW_").removeprefix("ACTIVITY_TASK_") for update in projection.events]


def scheduled(seq: int, name: str = "charge") -> ActivityScheduled:
    return ActivityScheduled(seq=seq, name=name, input={"order": seq})


def completed(seq: int, result: Any = None, seconds: float = 2) -> ActivityCompleted:
    return ActivityCompleted(seq=seq, at=at(seconds), result=result)
