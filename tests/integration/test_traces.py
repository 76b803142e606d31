"""Traces are made of histories: a span for whatever takes time, below that of its run."""

import asyncio

import pytest

from levante.testing import Execution, WorkflowEnvironment
from levante_core.domain.observability.spans import Span, SpanKind, tree
from levante_core.services.observability.traces import Trace
from levante_local.greenlets import call
from tests.behaviour import programs
from tests.behaviour.behaviours import BEHAVIOURS
from tests.behaviour.driving import Driver
from tests.behaviour.modes import Memory, environment_of
from tests.support.direct import WORKSPACE

pytestmark = pytest.mark.levante


async def trace_of(place: WorkflowEnvironment, execution_id: str) -> Trace:
    return await call(place._place.engine.traces.of, WORKSPACE, execution_id)


def named(trace: Trace, name: str) -> list[Span]:
    return [span for span in trace.spans if span.name == name]


async def run(place: WorkflowEnvironment, behaviour: str) -> tuple[Execution, Trace]:
    found = BEHAVIOURS[behaviour]
    execution = await place.start(found.workflow, found.given)
    if found.drive:
        await found.drive(Driver(Memory(place), execution.id))
    await execution.result()
    return execution, await trace_of(place, execution.id)


@pytest.mark.parametrize("crashes", [(), (1, 2, 3)])
async def test_trace_when_attempts_fail_then_each_has_a_span_from_when_it_was_due(crashes: tuple[int, ...]) -> None:
    """The back-off is between them: a second, then two."""
    async with environment_of(programs, crashes=crashes) as place:
        _, trace = await run(place, "retried until it works")
    attempts = named(trace, "activity behaviour-third")
    assert [span.attributes["wf.activity.attempt"] for span in attempts] == [1, 2, 3]
    assert [span.failure for span in attempts] == ["attempt 1", "attempt 2", None]
    first, second, third = attempts
    assert first.ended_at
    assert second.ended_at
    assert (second.began_at - first.ended_at).total_seconds() == pytest.approx(1)
    assert (third.began_at - second.ended_at).total_seconds() == pytest.approx(2)


async def test_trace_when_an_activity_fails_for_good_then_its_span_says_why() -> None:
    """The run itself completed."""
    async with environment_of(programs) as place:
        _, trace = await run(place, "not retried")
    (attempt,) = named(trace, "activity behaviour-never")
    (run_,) = named(trace, "workflow behaviour-retries")
    assert (attempt.failure, run_.failure) == ("no use to try again", None)


@pytest.mark.slow
async def test_trace_when_messages_come_then_they_are_spans_of_their_own() -> None:
    """Signals until they are taken, updates until they are answered; a refused one says so."""
    async with environment_of(programs) as place:
        _, trace = await run(place, "messages")
    assert len(named(trace, "signal note")) == 2
    assert len(named(trace, "signal note_later")) == 1
    refused, answered = named(trace, "update end")
    assert refused.failure == "say something"
    assert answered.failure is None
    assert all(span.kind is SpanKind.SERVER and span.ended_at for span in (refused, answered))


async def test_trace_when_there_are_timers_then_they_last_as_long_as_they_were_set_to() -> None:
    """One of them was not waited for to its end."""
    async with environment_of(programs) as place:
        _, trace = await run(place, "timers and conditions")
        _, together = await run(place, "concurrency")
    lengths = [(span.ended_at - span.began_at).total_seconds() for span in named(trace, "timer") if span.ended_at]
    assert lengths == pytest.approx([0.2, 0.1, 0.2], abs=0.01)
    (cancelled,) = named(together, "timer")
    assert cancelled.ended_at
    assert (cancelled.ended_at - cancelled.began_at).total_seconds() < 3600


async def test_trace_when_there_are_children_then_all_share_it_and_hang_together() -> None:
    """The run of a child is below the span that its parent has of it."""
    async with environment_of(programs) as place:
        execution, trace = await run(place, "children")
        children = [str(span.attributes["wf.execution.id"]) for span in named(trace, "child behaviour-child")]
        below = [await trace_of(place, child) for child in children]
    assert len(children) == 4
    assert {one.trace_id for one in below} == {trace.trace_id}
    spans = {span.span_id for span in trace.spans}
    assert all(one.spans[0].name == "workflow behaviour-child" and one.spans[0].parent_id in spans for one in below)
    assert [one.spans[0].failure for one in below] == [None, None, None, "the child fails"]
    assert execution.id not in children


async def test_trace_when_it_lasts_then_what_is_open_has_no_end() -> None:
    """The tree has the call on top, the run below it, and there all the rest in order."""
    async with environment_of(programs) as place:
        execution = await place.start(programs.Cancelled, {"gives_in": True})
        await asyncio.sleep(1)
        trace = await trace_of(place, execution.id)
        again = await trace_of(place, execution.id)
    top = tree(trace.spans)
    assert top.span.name == "execute workflow behaviour-cancelled"
    (below,) = top.children
    assert below.span.ended_at is None
    assert [(one.span.name, one.span.ended_at) for one in below.children] == [("timer", None)]
    assert [span.span_id for span in trace.spans] == [span.span_id for span in again.spans]
