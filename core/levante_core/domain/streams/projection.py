"""Telling of executions: stream events made of their histories, and how far each has been told of. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, assert_never

from pydantic import Field

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
    RunMessage,
    TaskPublished,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.domain.history.state import HistoryBatch, fact_in
from levante_core.domain.names import ExecutionId, RunId
from levante_core.domain.streams.events import (
    EPOCH,
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
    """An activity without an outcome. attempt: the last one whose failure was told of."""

    name: str
    attempt: int = 0


class StreamCursor(Frozen):
    """How far an execution has been told of. run_id: the run that is being told; None until one is there.

    asked_by: seq of the command of its parent that asked for it, if it has one. has_ended: its parent knows that it has.

    index: of the last batch told. open: activities without an outcome, by seq. told_until: time of the last event told.
    is_closed: the end of the run was told.
    """

    execution_id: ExecutionId
    parent_execution_id: ExecutionId | None = None
    asked_by: int | None = None
    has_ended: bool = False
    run_id: RunId | None = None
    workflow_name: str = ""
    started_at: Time | None = None
    continued_run_id: RunId | None = None
    first_run_id: RunId | None = None
    schedule_id: str | None = None
    index: int = 0
    open: Mapping[int, OpenTask] = Field(default_factory=dict)
    task_failed_at: Time | None = None
    told_until: Time = EPOCH
    is_closed: bool = False


class StreamProjection:
    """Tells what is new of one execution. `events` grows; `followed` says how far it has come.

    children: those that it has asked for. unborn: seqs of the commands that led to none; ended: to one that has ended.
    """

    def __init__(self, root: ExecutionId, followed: StreamCursor) -> None:
        self.events: list[StreamUpdate] = []
        self.children: list[StreamCursor] = []
        self.not_started: set[int] = set()
        self.ended: set[int] = set()
        self._root = root
        self._followed = followed
        self._open = dict(followed.open)

    @property
    def followed(self) -> StreamCursor:
        """How far the execution has been told of by now."""
        return self._followed.model_copy(update={"open": self._open})

    def start(self, run_id: RunId, start: RunStart) -> None:
        """Begin to tell of a run."""
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
        given = input_payload(start.input)
        attributes = {"workflow_name": start.workflow_name, "input": given, "display_name": None, "attempt": 1}
        self._workflow(StreamEventType.WORKFLOW_EXECUTION_STARTED, "0", start.started_at, attributes)

    def give_up(self) -> None:
        """Tell nothing of an execution that was deleted before anybody asked for it."""
        self._move(is_closed=True)

    def append(self, batch: HistoryBatch, at: datetime, facts: Mapping[str, Input]) -> None:
        """Tell of the next batch. facts: what it takes."""
        for position, event in enumerate(batch.events):
            told = fact_in(facts, event.fact) if isinstance(event, FactTaken) else event
            self._tell(told, f"{batch.index}.{position}", at)
        self._move(index=batch.index)

    def retry(self, seq: int, attempt: int, at: datetime, failure: Failure) -> None:
        """Tell of an attempt that failed and is followed by another one, unless it was told or no longer matters."""
        task = self._open.get(seq)
        if task is None or attempt <= task.attempt:
            return
        self._open[seq] = OpenTask(name=task.name, attempt=attempt)
        attributes = {"attempt": attempt, "failure": _failure(failure)}
        self._activity(StreamEventType.ACTIVITY_TASK_RETRYING, f"retry.{seq}.{attempt}", at, (seq, task.name), attributes)

    def fail_task(self, at: datetime, failure: Failure) -> None:
        """Tell that the workflow code could not be run, unless that was told."""
        if self._followed.task_failed_at is None or at > self._followed.task_failed_at:
            self._move(task_failed_at=at)
            place = f"task.{at.isoformat()}"
            self._workflow(StreamEventType.WORKFLOW_TASK_FAILED, place, at, {"failure": _failure(failure)})

    def _tell(self, event: HistoryEvent | RunMessage, place: str, at: datetime) -> None:
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
                told = self._event(TASK_EVENTS[event.event.phase], place, at, task_attributes(event.event))
                self.events.append(StreamUpdate(stream=event.event.task_type, scope="workflow", event=told))
            case ChildScheduled() | ChildCompleted() | ChildFailed():
                self._tell_child(event)
            case ActivityHandedOver() if event.attempt > 1 and event.failure:
                self.retry(event.activity, event.attempt - 1, at, event.failure)
            case ExecutionTerminated() | ExecutionTimedOut():
                self._move(is_closed=True)
            case ExecutionCompleted() | ExecutionFailed() | ExecutionCanceled() | ExecutionContinuedAsNew():
                self._tell_end(event, place, at)
            case _:
                pass

    def _tell_child(self, event: ChildScheduled | ChildCompleted | ChildFailed) -> None:
        own = self._followed.execution_id
        if isinstance(event, ChildScheduled):
            self.children.append(StreamCursor(execution_id=event.execution_id, parent_execution_id=own, asked_by=event.seq))
        elif isinstance(event, ChildFailed) and event.status is None:
            self.not_started.add(event.seq)
        else:
            self.ended.add(event.seq)

    def _tell_end(self, event: Ended, place: str, at: datetime) -> None:
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
                    "workflow_name": self._followed.workflow_name,
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
        event = self._event(kind, place, at, {"task_id": self._followed.run_id, **attributes})
        self.events.append(StreamUpdate(stream="workflow", scope="workflow", event=event))

    def _activity(
        self, kind: StreamEventType, place: str, at: datetime, task: tuple[int, str], attributes: Mapping[str, Json]
    ) -> None:
        seq, name = task
        task_id = f"{self._followed.run_id}:{seq}"
        event = self._event(kind, place, at, {"task_id": task_id, "activity_name": name, **attributes})
        self.events.append(
            StreamUpdate(stream="activity", scope="activity", activity_id=task_id, activity_name=name, event=event)
        )

    def _event(self, kind: StreamEventType, place: str, at: datetime, attributes: Mapping[str, Json]) -> StreamEvent:
        """Make an event. Those of one run never go back in time, though the clocks of those who recorded them differ."""
        self._move(told_until=max(self._followed.told_until, at))
        followed = self._followed
        return StreamEvent(
            event_id=f"{followed.run_id}:{place}",
            event_timestamp=nanoseconds(followed.told_until),
            root_workflow_exec_id=self._root,
            parent_workflow_exec_id=followed.parent_execution_id,
            workflow_exec_id=followed.execution_id,
            workflow_run_id=str(followed.run_id),
            workflow_name=followed.workflow_name,
            continued_run_id=followed.continued_run_id,
            first_execution_run_id=followed.first_run_id,
            chain_run_id=followed.first_run_id,
            schedule_id=followed.schedule_id,
            event_type=kind,
            attributes=attributes,
        )

    def _move(self, **changes: object) -> None:
        self._followed = self._followed.model_copy(update=changes)


def in_order(tellings: Sequence[StreamProjection]) -> list[StreamUpdate]:
    """Merge what is told of several executions by time; the order within each stays."""
    return sorted((told for telling in tellings for told in telling.events), key=lambda told: told.event.event_timestamp)


def _failure(failure: Failure) -> dict[str, Json]:
    return {"message": failure.message}
