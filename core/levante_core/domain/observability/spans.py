"""Spans: what is recorded of a run, as a trace of OpenTelemetry shows it. Pure.

A span has the same id whenever it is made, so it may be exported twice. Names of attributes: SDK contract, section 13 (read
2026-11-24).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeAlias, TypeVar, assert_never

from levante_core.domain.activities.retry import FailedAttempt
from levante_core.domain.executions.execution import Execution
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    ChildCancelRequested,
    ChildCompleted,
    ChildFailed,
    ChildScheduled,
    HistoryEvent,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    UpdateCompleted,
    UpdateFailed,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.domain.history.run_messages import RunMessage, SignalReceived, UpdateRequested
from levante_core.domain.history.transitions import FAILURES

Value: TypeAlias = str | int | float | bool


class SpanKind(StrEnum):
    """What a span stands for: work that was asked for from outside, that asks others, or neither."""

    INTERNAL = "SPAN_KIND_INTERNAL"
    SERVER = "SPAN_KIND_SERVER"
    CLIENT = "SPAN_KIND_CLIENT"


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time. parent_id: of a span of this run, of the caller or of a parent. ended_at: None so far."""

    span_id: str
    parent_id: str | None
    name: str
    kind: SpanKind
    began_at: datetime
    ended_at: datetime | None
    attributes: Mapping[str, Value] = field(default_factory=dict)
    failure: str | None = None


def trace_id(root: Execution) -> str:
    """Return the id of the trace that an execution without parent, and all below it, belong to: 32 hex digits."""
    caller = _caller(root)
    return caller[0] if caller else _digest(root.start.first_run_id or root.key.run_id, "trace")[:32]


def spans(
    execution: Execution, events: Iterable[tuple[HistoryEvent | RunMessage, datetime]], failed: Iterable[FailedAttempt]
) -> list[Span]:
    """Return the spans of a run: first the call that started it if one did, then the run, then what it did.

    events: its history, and when each event was recorded. failed: attempts that are followed by others.
    """
    making = _Making(execution.key.run_id, execution.start.started_at)
    for event, at in events:
        making.take(event, at)
    for attempt in failed:
        making.fail(attempt.seq, attempt.attempt, attempt.at, attempt.failure)
    if execution.ending:
        making.end(execution.ending.ended_at)
    return [*_of_run(execution), *making.spans()]


def _of_run(execution: Execution) -> Iterator[Span]:
    """Yield the span of the call, and that of the run."""
    run_id, start, parent = execution.key.run_id, execution.start, execution.parent
    name = f"workflow {start.workflow_name}"
    if parent:
        above = span_id(parent.run_id, f"child:{parent.seq}")
    else:
        above = span_id(start.first_run_id or run_id, "execute")
        caller = _caller(execution)
        from_caller = execution.tracing.attributes
        if start.first_run_id in (None, run_id):
            called = {"wf.type": "execute", "wf.workflow.type": start.workflow_name, **from_caller}
            yield Span(
                above, caller and caller[1], f"execute {name}", SpanKind.SERVER, start.started_at, start.started_at, called
            )
    attributes: dict[str, Value] = {
        "wf.type": "workflow",
        "wf.workflow.type": start.workflow_name,
        "wf.execution.id": execution.key.execution_id,
        "wf.run.id": run_id,
        "wf.task_queue": execution.pool.deployment,
        "wf.status": execution.status.value,
        **({"wf.schedule.id": start.schedule_id} if start.schedule_id else {}),
        **execution.tracing.attributes,
    }
    ending = execution.ending
    message = ending.failure.message if ending and ending.failure else None
    failure = message or execution.status.value if execution.status in FAILURES else None
    yield Span(
        span_id(run_id, "run"),
        above,
        name,
        SpanKind.INTERNAL,
        start.started_at,
        ending.ended_at if ending else None,
        attributes,
        failure,
    )


Begun = TypeVar("Begun", ActivityScheduled | TimerStarted | ChildScheduled, SignalReceived | UpdateRequested)


@dataclass(slots=True)
class _Open(Generic[Begun]):
    """What has begun. attempts: those that have failed of an activity, by number.

    asked_at: when the last of what led to it had happened. It is recorded later, and what ends in place even after its end.
    """

    event: Begun
    began_at: datetime
    asked_at: datetime
    ended_at: datetime | None = None
    failure: Failure | None = None
    attempts: dict[int, tuple[datetime, Failure]] = field(default_factory=dict)


class _Making:
    """Makes spans from history, event by event."""

    def __init__(self, run_id: str, started_at: datetime) -> None:
        self._run_id = run_id
        self._now = started_at
        self._commands: dict[int, _Open[ActivityScheduled | TimerStarted | ChildScheduled]] = {}
        self._messages: dict[int, _Open[SignalReceived | UpdateRequested]] = {}

    def take(self, event: HistoryEvent | RunMessage, at: datetime) -> None:
        """Take the next event. at: when it was recorded, or taken into history."""
        self._now = max(self._now, getattr(event, "at", self._now))
        match event:
            case ActivityScheduled() | TimerStarted() | ChildScheduled():
                self._commands[event.seq] = _Open(event, at, self._now)
            case ActivityCompleted() | TimerFired() | ChildCompleted():
                self._end(event.seq, event.at)
            case ActivityFailed() | ChildFailed():
                self._end(event.seq, event.at, event.failure)
            case ActivityCancelRequested(is_awaited=False):
                self._end(event.activity, at)
            case TimerCanceled():
                self._end(event.timer, at)
            case ChildCancelRequested(is_awaited=False):
                self._end(event.child, at)
            case ActivityHandedOver() if event.failure:
                self.fail(event.activity, event.attempt - 1, at, event.failure)
            case _:
                self._take_message(event, at)

    def _take_message(self, event: HistoryEvent | RunMessage, at: datetime) -> None:
        match event:
            case SignalReceived():
                self._messages[event.number] = _Open(event, event.at, event.at, at)
            case UpdateRequested():
                self._messages[event.number] = _Open(event, event.at, event.at)
            case UpdateCompleted():
                self._messages[event.update].ended_at = at
            case UpdateFailed():
                self._messages[event.update].ended_at = at
                self._messages[event.update].failure = event.failure
            case _:
                pass

    def fail(self, seq: int, attempt: int, at: datetime, failure: Failure) -> None:
        """Say that an attempt of an activity has failed, which is not the last one."""
        if seq in self._commands:
            self._commands[seq].attempts[attempt] = at, failure

    def end(self, at: datetime) -> None:
        """Say that the run has ended, and with it whatever it has begun."""
        begun: list[_Open[Any]] = [*self._commands.values(), *self._messages.values()]
        for opened in begun:
            opened.ended_at = opened.ended_at or at

    def spans(self) -> Iterator[Span]:
        """Yield all spans, those of the messages after the others."""
        for seq, opened in self._commands.items():
            match opened.event:
                case ActivityScheduled():
                    yield from self._attempts(opened.event, opened)
                case ChildScheduled():
                    attributes: dict[str, Value] = {
                        "wf.type": "child",
                        "wf.workflow.type": opened.event.workflow_name,
                        "wf.execution.id": opened.event.execution_id,
                    }
                    yield self._span(
                        f"child:{seq}", f"child {opened.event.workflow_name}", opened, attributes, SpanKind.CLIENT
                    )
                case TimerStarted():
                    yield self._span(f"timer:{seq}", "timer", opened, {"wf.type": "timer"})
                case _:
                    assert_never(opened.event)
        for number, message in self._messages.items():
            kind = "signal" if isinstance(message.event, SignalReceived) else "update"
            yield self._span(f"mail:{number}", f"{kind} {message.event.name}", message, {"wf.type": kind}, SpanKind.SERVER)

    def _end(self, seq: int, at: datetime, failure: Failure | None = None) -> None:
        opened = self._commands.get(seq)
        if opened and opened.ended_at is None:
            opened.ended_at, opened.failure = at, failure
            if at <= opened.began_at:
                opened.began_at = min(opened.asked_at, at)

    def _attempts(self, scheduled: ActivityScheduled, opened: _Open[Any]) -> Iterator[Span]:
        """Yield a span for each attempt, from when it was due."""
        due_at, number = opened.began_at, scheduled.attempt
        while failed := opened.attempts.get(number):
            yield self._attempt(scheduled, number, _Open(scheduled, due_at, due_at, *failed))
            due_at = failed[0] + scheduled.options.retry.delay_after(number)
            number += 1
        yield self._attempt(scheduled, number, _Open(scheduled, due_at, due_at, opened.ended_at, opened.failure))

    def _attempt(self, scheduled: ActivityScheduled, number: int, opened: _Open[Any]) -> Span:
        attributes: dict[str, Value] = {
            "wf.type": "activity",
            "wf.activity.type": scheduled.name,
            "wf.activity.attempt": number,
        }
        return self._span(f"activity:{scheduled.seq}:{number}", f"activity {scheduled.name}", opened, attributes)

    def _span(
        self,
        what: str,
        name: str,
        opened: _Open[Any],
        attributes: Mapping[str, Value],
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Span:
        return Span(
            span_id(self._run_id, what),
            span_id(self._run_id, "run"),
            name,
            kind,
            opened.began_at,
            max(opened.began_at, opened.ended_at) if opened.ended_at else None,
            attributes,
            opened.failure.message if opened.failure else None,
        )


@dataclass(frozen=True, slots=True)
class SpanTree:
    """A span, and those below it in the order in which they began."""

    span: Span
    children: Sequence["SpanTree"]


def tree(spans: Sequence[Span]) -> SpanTree:
    """Arrange the spans of a run below the first one."""
    below: dict[str | None, list[Span]] = {}
    for span in sorted(spans[1:], key=lambda span: span.began_at):
        below.setdefault(span.parent_id, []).append(span)

    def under(span: Span) -> SpanTree:
        return SpanTree(span, [under(child) for child in below.get(span.span_id, [])])

    return under(spans[0])


def _caller(execution: Execution) -> tuple[str, str] | None:
    """Return the caller's trace and span, if it is to be joined."""
    tracing = execution.tracing
    if tracing.traceparent is None or tracing.force_new_trace:
        return None
    _, trace, span, _ = tracing.traceparent.split("-")
    return trace, span


def span_id(run_id: str, what: str) -> str:
    """Return the id of a span of a run: 16 hex digits."""
    return _digest(run_id, what)[:16]


def _digest(run_id: str, what: str) -> str:
    return hashlib.sha256(f"{run_id}/{what}".encode()).hexdigest()
