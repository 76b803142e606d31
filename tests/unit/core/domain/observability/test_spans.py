"""What a run did as spans: when each began and ended, and below what."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from levante_core.domain.activities.retry import FailedAttempt
from levante_core.domain.executions.execution import Execution, RunKey, RunStart, Tracing
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityScheduled,
    ChildCancelRequested,
    ChildScheduled,
    HistoryEvent,
    ParentClosePolicy,
    TimerCanceled,
    TimerStarted,
)
from levante_core.domain.names import ExecutionId, RunId, WorkflowName, Workspace
from levante_core.domain.observability.spans import Span, spans, trace_id
from levante_core.domain.worker_pool import WorkerPool

AT = datetime(2026, 1, 1, tzinfo=UTC)
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
START = RunStart(workflow_name=WorkflowName("w"), input=None, started_at=AT, deadline_at=AT + timedelta(hours=1))
EXECUTION = Execution(
    RunKey(Workspace("s"), ExecutionId("e"), RunId("r")),
    "i",
    WorkerPool.parse("d"),
    START,
    root_execution_id=ExecutionId("e"),
)


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def spans_of(*events: HistoryEvent, execution: Execution = EXECUTION, failed: Sequence[FailedAttempt] = ()) -> list[Span]:
    """Return the spans of a run, one of whose events was recorded in each second."""
    return spans(execution, [(event, after(second)) for second, event in enumerate(events, 1)], failed)


def test_spans_when_something_is_given_up_then_it_ends_with_that() -> None:
    """An activity, a timer and a child that nobody waits for any more; an outcome after that changes nothing."""
    policy, child = ParentClosePolicy.ABANDON, ExecutionId("c")
    found = spans_of(
        ActivityScheduled(seq=1, name="a", input=None),
        TimerStarted(seq=2, fire_at=after(99)),
        ChildScheduled(seq=3, workflow_name="w", execution_id=child, input=None, close_policy=policy),
        ActivityCancelRequested(seq=4, activity=1),
        TimerCanceled(seq=5, timer=2),
        ChildCancelRequested(seq=6, child=3, execution_id=child),
        ActivityCompleted(seq=1, at=after(50), result=None),
    )
    ends = {span.name: span.ended_at for span in found if span.parent_id == found[1].span_id}
    assert ends == {"activity a": after(4), "timer": after(5), "child w": after(6)}


def test_spans_when_an_attempt_of_nothing_has_failed_then_it_has_none() -> None:
    """Attempts are read beside the history, which may have gone on since or not have come so far."""
    attempt = FailedAttempt(seq=9, attempt=1, at=AT, failure=Failure(message="x"))
    assert len(spans_of(ActivityScheduled(seq=1, name="a", input=None), failed=[attempt])) == 3


def test_spans_when_a_run_follows_on_another_then_the_call_is_not_told_again() -> None:
    """It belongs to the first run; the others are below it as well."""
    called, first = spans_of()
    later = replace(EXECUTION, key=replace(EXECUTION.key, run_id=RunId("r2")))
    later = replace(later, start=START.model_copy(update={"first_run_id": RunId("r"), "continued_run_id": RunId("r")}))
    (run,) = spans_of(execution=later)
    assert (first.parent_id, run.parent_id) == (called.span_id, called.span_id)


def test_trace_when_the_caller_has_one_then_it_is_joined_unless_a_new_one_is_wanted() -> None:
    """The call is below the caller's span."""
    given = Tracing(traceparent=f"00-{TRACE}-{CALLER}-01")
    joined = replace(EXECUTION, tracing=given)
    apart = replace(EXECUTION, tracing=given.model_copy(update={"force_new_trace": True}))
    assert (trace_id(joined), spans_of(execution=joined)[0].parent_id) == (TRACE, CALLER)
    assert (trace_id(apart), spans_of(execution=apart)[0].parent_id) == (trace_id(EXECUTION), None)
