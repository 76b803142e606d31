"""The projection of histories: turns history events of executions into stream events. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, assert_never

from pydantic import Field

from levante_core.domain.epoch import EPOCH
from levante_core.domain.executions.execution import RunStart
from levante_core.domain.executions.failure import Failure
from levante_core.domain.frozen import Frozen, Json, Time
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    ChildCompleted,
    ChildFailed,
    ChildScheduled,
    Ended,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    ExecutionFailed,
    ExecutionTerminated,
    ExecutionTimedOut,
    FactTaken,
    HistoryEvent,
    Input,
    TaskPublished,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.domain.history.run_messages import RunMessage
from levante_core.domain.history.state import HistoryBatch, fact_in
from levante_core.domain.names import ExecutionId, RunId
from levante_core.domain.streams.events import (
    TASK_EVENTS,
    StreamEvent,
    StreamEventType,
    StreamUpdate,
    input_payload,
    json_payload,
    nanoseconds,
    task_attributes,
)


class OpenTask(Frozen):
    """An activity without an outcome."""

    name: str
    attempt: int = 0
    """The last one whose failure was published."""


class StreamCursor(Frozen):
    """How far an execution has been projected."""

    execution_id: ExecutionId
    parent_execution_id: ExecutionId | None = None
    asked_by: int | None = None
    """Seq of the command of its parent that asked for it, if it has one."""
    has_ended: bool = False
    """Its parent knows that it has."""
    run_id: RunId | None = None
    """The run that is being projected; None until one is there."""
    workflow_name: str = ""
    started_at: Time | None = None
    continued_run_id: RunId | None = None
    first_run_id: RunId | None = None
    schedule_id: str | None = None
    index: int = 0
    """Of the last batch projected."""
    open: Mapping[int, OpenTask] = Field(default_factory=dict)
    """Activities without an outcome, by seq."""
    task_failed_at: Time | None = None
    told_until: Time = EPOCH
    """Time of the last event made."""
    is_closed: bool = False
    """The end of the run was projected."""


class StreamProjection:
    """Turns history events of one execution into stream events. `events` grows; `cursor` says how far it has come.

    children: those that it has asked for. not_started: seqs of the commands that led to none; ended: to one that has ended.
    """

    def __init__(self, root: ExecutionId, cursor: StreamCursor) -> None:
        self.events: list[StreamUpdate] = []
        self.children: list[StreamCursor] = []
        self.not_started: set[int] = set()
        self.ended: set[int] = set()
        self._root = root
        self._cursor = cursor
        self._open = dict(cursor.open)

    @property
    def cursor(self) -> StreamCursor:
        """How far the execution has been projected by now."""
        return self._cursor.model_copy(update={"open": self._open})

    def start(self, run_id: RunId, start: RunStart) -> None:
        """Begin with a run."""
        self._open = {}
        self._move(
            run_id=run_id,
            workflow_name=start.workflow_name,
            started_at=start.started_at,
            continued_run_id=start.continued_run_id,
            first_run_id=start.first_run_id or run_id,
            schedule_id=start.schedule_id,
            index=0,
            task_failed_at=None,
            is_closed=False,
        )
        payload = input_payload(start.input)
        attributes = {"workflow_name": start.workflow_name, "input": payload, "display_name": None, "attempt": 1}
        self._workflow(StreamEventType.WORKFLOW_EXECUTION_STARTED, "0", start.started_at, attributes)

    def give_up(self) -> None:
        """Make no events of an execution that was deleted before anybody asked for it."""
        self._move(is_closed=True)

    def append(self, batch: HistoryBatch, at: datetime, facts: Mapping[str, Input]) -> None:
        """Make the events of the next batch. facts: what it takes."""
        for position, event in enumerate(batch.events):
            entry = fact_in(facts, event.fact) if isinstance(event, FactTaken) else event
            self._project(entry, f"{batch.index}.{position}", at)
        self._move(index=batch.index)

    def retry(self, seq: int, attempt: int, at: datetime, failure: Failure) -> None:
        """Make the event of an attempt that failed and is retried, unless it was made before or no longer matters."""
        task = self._open.get(seq)
        if task is None or attempt <= task.attempt:
            return
        self._open[seq] = OpenTask(name=task.name, attempt=attempt)
        attributes = {"attempt": attempt, "failure": _failure(failure)}
        self._activity(StreamEventType.ACTIVITY_TASK_RETRYING, f"retry.{seq}.{attempt}", at, (seq, task.name), attributes)

    def fail_task(self, at: datetime, failure: Failure) -> None:
        """Make the event of workflow code that could not be run, unless it was made before."""
        if self._cursor.task_failed_at is None or at > self._cursor.task_failed_at:
            self._move(task_failed_at=at)
            place = f"task.{at.isoformat()}"
            self._workflow(StreamEventType.WORKFLOW_TASK_FAILED, place, at, {"failure": _failure(failure)})

    def _project(self, event: HistoryEvent | RunMessage, place: str, at: datetime) -> None:
        match event:
            case ActivityScheduled():
                self._open[event.seq] = OpenTask(name=event.name)
                attributes: dict[str, Any] = {"input": input_payload(event.input)}
                self._activity(StreamEventType.ACTIVITY_TASK_STARTED, place, at, (event.seq, event.name), attributes)
            case ActivityCompleted():
                attributes = {"result": json_payload(event.result)}
                self._outcome(StreamEventType.ACTIVITY_TASK_COMPLETED, place, event, attributes)
            case ActivityFailed():
                attributes = {"attempt": event.attempt, "failure": _failure(event.failure)}
                self._outcome(StreamEventType.ACTIVITY_TASK_FAILED, place, event, attributes)
            case ActivityCancelRequested(is_awaited=False):
                self._open.pop(event.activity, None)
            case TaskPublished():
                task_event = self._event(TASK_EVENTS[event.event.phase], place, at, task_attributes(event.event))
                self.events.append(StreamUpdate(stream=event.event.task_type, scope="workflow", event=task_event))
            case ChildScheduled() | ChildCompleted() | ChildFailed():
                self._project_child(event)
            case ActivityHandedOver() if event.attempt > 1 and event.failure:
                self.retry(event.activity, event.attempt - 1, at, event.failure)
            case ExecutionTerminated() | ExecutionTimedOut():
                self._move(is_closed=True)
            case ExecutionCompleted() | ExecutionFailed() | ExecutionCanceled() | ExecutionContinuedAsNew():
                self._project_end(event, place, at)
            case _:
                pass

    def _project_child(self, event: ChildScheduled | ChildCompleted | ChildFailed) -> None:
        own = self._cursor.execution_id
        match event:
            case ChildScheduled(execution_id=execution_id):
                cursor = StreamCursor(execution_id=execution_id, parent_execution_id=own, asked_by=event.seq)
                self.children.append(cursor)
            case ChildFailed(status=None):
                self.not_started.add(event.seq)
            case ChildCompleted() | ChildFailed():
                self.ended.add(event.seq)
            case _:
                assert_never(event)

    def _project_end(self, event: Ended, place: str, at: datetime) -> None:
        match event:
            case ExecutionCompleted():
                attributes: dict[str, Json] = {"result": json_payload(event.result), "attempt": 1}
                self._close(StreamEventType.WORKFLOW_EXECUTION_COMPLETED, place, at, attributes)
            case ExecutionFailed():
                attributes = {"failure": _failure(event.failure), "attempt": 1}
                self._close(StreamEventType.WORKFLOW_EXECUTION_FAILED, place, at, attributes)
            case ExecutionCanceled():
                attributes = {"reason": None, "attempt": 1}
                self._close(StreamEventType.WORKFLOW_EXECUTION_CANCELED, place, at, attributes)
            case ExecutionContinuedAsNew():
                attributes = {
                    "new_execution_run_id": event.run_id,
                    "workflow_name": self._cursor.workflow_name,
                    "input": input_payload(event.input),
                }
                self._close(StreamEventType.WORKFLOW_EXECUTION_CONTINUED_AS_NEW, place, at, attributes)
            case _:
                assert_never(event)

    def _outcome(
        self, kind: StreamEventType, place: str, outcome: ActivityCompleted | ActivityFailed, attributes: Mapping[str, Json]
    ) -> None:
        task = self._open.pop(outcome.seq, None)
        if task is not None:
            self._activity(kind, place, outcome.at, (outcome.seq, task.name), attributes)

    def _close(self, kind: StreamEventType, place: str, at: datetime, attributes: Mapping[str, Json]) -> None:
        self._workflow(kind, place, at, attributes)
        self._move(is_closed=True)

    def _workflow(self, kind: StreamEventType, place: str, at: datetime, attributes: Mapping[str, Json]) -> None:
        event = self._event(kind, place, at, {"task_id": self._cursor.run_id, **attributes})
        self.events.append(StreamUpdate(stream="workflow", scope="workflow", event=event))

    def _activity(
        self, kind: StreamEventType, place: str, at: datetime, task: tuple[int, str], attributes: Mapping[str, Json]
    ) -> None:
        seq, name = task
        task_id = f"{self._cursor.run_id}:{seq}"
        event = self._event(kind, place, at, {"task_id": task_id, "activity_name": name, **attributes})
        self.events.append(
            StreamUpdate(stream="activity", scope="activity", activity_id=task_id, activity_name=name, event=event)
        )

    def _event(self, kind: StreamEventType, place: str, at: datetime, attributes: Mapping[str, Json]) -> StreamEvent:
        """Make an event. Those of one run never go back in time, though the clocks of those who recorded them differ."""
        self._move(told_until=max(self._cursor.told_until, at))
        cursor = self._cursor
        return StreamEvent(
            event_id=f"{cursor.run_id}:{place}",
            event_timestamp=nanoseconds(cursor.told_until),
            root_workflow_exec_id=self._root,
            parent_workflow_exec_id=cursor.parent_execution_id,
            workflow_exec_id=cursor.execution_id,
            workflow_run_id=str(cursor.run_id),
            workflow_name=cursor.workflow_name,
            continued_run_id=cursor.continued_run_id,
            first_execution_run_id=cursor.first_run_id,
            chain_run_id=cursor.first_run_id,
            schedule_id=cursor.schedule_id,
            event_type=kind,
            attributes=attributes,
        )

    def _move(self, **changes: object) -> None:
        self._cursor = self._cursor.model_copy(update=changes)


def in_order(projections: Sequence[StreamProjection]) -> list[StreamUpdate]:
    """Merge the events of several executions by time; the order within each stays."""
    updates = (update for projection in projections for update in projection.events)
    return sorted(updates, key=lambda update: update.event.event_timestamp)


def _failure(failure: Failure) -> dict[str, Json]:
    return {"message": failure.message}
