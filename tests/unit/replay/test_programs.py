"""Invariant 2 over programs that nobody thought of: whatever code does and whatever happens to it, replay does the same."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from levante.context import current_workflow
from levante.errors import ActivityError, NonDeterminismError
from levante.replay.replayer import FIRST_EVENT_ID, replay
from levante.replay.run import WorkflowRun
from levante_core.protocol import (
    CLOSINGS,
    OUTCOMES,
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityOptions,
    ActivityScheduled,
    Failure,
    HistoryBatch,
    Outcome,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    fold,
)
from tests.unit.replay.test_run import AT, activity, new_run


@dataclass(frozen=True)
class Act:
    """Run an activity."""

    name: str


@dataclass(frozen=True)
class Sleep:
    """Wait."""

    seconds: int


@dataclass(frozen=True)
class Read:
    """Read the clock and the random source."""


@dataclass(frozen=True)
class Sequence:
    """One after the other."""

    parts: "tuple[Program, ...]"


@dataclass(frozen=True)
class Gather:
    """All at once."""

    parts: "tuple[Program, ...]"


@dataclass(frozen=True)
class Group:
    """All at once; the first that fails cancels the others."""

    parts: "tuple[Program, ...]"


@dataclass(frozen=True)
class Limit:
    """Give up after some seconds."""

    part: "Program"
    seconds: int


@dataclass(frozen=True)
class Attempt:
    """Go on whatever happens."""

    part: "Program"


@dataclass(frozen=True)
class Race:
    """Start one, do the other, then cancel the first."""

    loser: "Program"
    winner: "Program"


Program: TypeAlias = Act | Sleep | Read | Sequence | Gather | Group | Limit | Attempt | Race

SECONDS = st.integers(0, 5)
LEAVES = st.one_of(st.builds(Act, st.sampled_from("abc")), st.builds(Sleep, SECONDS), st.builds(Read))


def _with_parts(parts: "st.SearchStrategy[Program]") -> "st.SearchStrategy[Program]":
    some = st.lists(parts, min_size=1, max_size=4).map(tuple)
    return st.one_of(
        st.builds(Sequence, some),
        st.builds(Gather, some),
        st.builds(Group, some),
        st.builds(Limit, parts, SECONDS),
        st.builds(Attempt, parts),
        st.builds(Race, parts, parts),
    )


PROGRAMS: "st.SearchStrategy[Program]" = st.recursive(LEAVES, _with_parts, max_leaves=12)


async def interpret(program: Program, seen: list[Any]) -> None:
    """Do what the program says, noting what the code gets to see."""
    match program:
        case Act(name):
            seen.append((name, await activity(name)))
        case Sleep(seconds):
            await asyncio.sleep(seconds)
            seen.append(("slept", seconds))
        case Read():
            context = current_workflow.get()
            assert context
            seen.append((context.now(), context.uuid4(), context.random.random()))
        case Sequence(parts):
            for part in parts:
                await interpret(part, seen)
        case _:
            await _interpret_together(program, seen)


async def _interpret_together(program: Program, seen: list[Any]) -> None:
    match program:
        case Gather(parts):
            await asyncio.gather(*[interpret(part, seen) for part in parts])
        case Group(parts):
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(interpret(part, seen))
        case Limit(part, seconds):
            await asyncio.wait_for(interpret(part, seen), seconds)
        case Attempt(part):
            try:
                await interpret(part, seen)
            except (ActivityError, TimeoutError, ExceptionGroup) as error:
                seen.append(type(error).__name__)
        case Race(loser, winner):
            task = asyncio.create_task(interpret(loser, seen))
            await interpret(winner, seen)
            task.cancel()
            await asyncio.wait([task])
        case _:
            raise TypeError(program)


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
    live.dispose()
    return live


@settings(deadline=None, max_examples=150)
@given(PROGRAMS, st.data())
def test_replay_when_a_program_has_ended_then_it_does_and_sees_the_same_again(program: Program, data: st.DataObject) -> None:
    """Replayed at once, the same code asks for the same and is told the same: nothing is left to record."""
    live = lived(program, data)
    again = Live(program)
    assert replay(again.run, live.batches, {}) == []
    again.dispose()
    assert again.seen == live.seen


@settings(deadline=None, max_examples=150)
@given(PROGRAMS, st.data())
def test_replay_when_a_history_is_cut_anywhere_then_the_rest_happens_as_it_did(
    program: Program, data: st.DataObject
) -> None:
    """A worker that takes over after any batch asks, from there on, for just what the first one asked for."""
    live = lived(program, data)
    cut = data.draw(st.integers(1, len(live.batches)))
    again = Live(program)
    assert replay(again.run, live.batches[:cut], {}) == []
    for batch in live.batches[cut:]:
        outcome, *commands = batch.events
        assert isinstance(outcome, OUTCOMES)
        assert again.run.apply(outcome) == commands
    again.dispose()
    assert again.seen == live.seen


@settings(deadline=None, max_examples=100)
@given(PROGRAMS, st.data())
def test_history_when_written_and_read_then_it_is_the_same_and_folds(program: Program, data: st.DataObject) -> None:
    """What is recorded survives its way through JSON, and the fold of it knows that nothing is open but what is."""
    live = lived(program, data)
    read = [HistoryBatch.model_validate_json(batch.model_dump_json()) for batch in live.batches]
    assert read == live.batches
    state = fold(read[:-1], {})
    waiting = {one.seq for one in open_work(replace_last(live))}
    assert {*state.activities, *state.timers} == waiting


def replace_last(live: Live) -> Live:
    """Return the run as it was before its last batch."""
    before = replace(live)
    before.batches = live.batches[:-1]
    return before


@settings(deadline=None, max_examples=150)
@given(PROGRAMS, st.data())
def test_replay_when_an_activity_was_renamed_then_the_first_event_that_differs_is_named(
    program: Program, data: st.DataObject
) -> None:
    """Changed code never goes on silently: the error says at which event it left its history."""
    live = lived(program, data)
    names = [event.name for event in live.events() if isinstance(event, ActivityScheduled)]
    assume(names)
    renamed = data.draw(st.sampled_from(names))
    first = next(
        number
        for number, event in enumerate(live.events(), FIRST_EVENT_ID)
        if isinstance(event, ActivityScheduled) and event.name == renamed
    )
    changed = new_run(lambda: interpret(Attempt(_renamed(program, renamed)), []))
    with pytest.raises(NonDeterminismError, match=f"at event {first}: recorded is activity_scheduled '{renamed}'"):
        replay(changed, live.batches, {})
    changed.dispose()


@settings(deadline=None, max_examples=150)
@given(PROGRAMS, st.data())
def test_replay_when_code_asks_for_one_thing_more_at_the_start_then_it_is_refused(
    program: Program, data: st.DataObject
) -> None:
    """An activity that was put in front of all others is found at the first event of every history."""
    live = lived(program, data)
    changed = new_run(lambda: interpret(Attempt(Sequence((Act("new"), program))), []))
    with pytest.raises(NonDeterminismError, match=f"at event {FIRST_EVENT_ID}: .*'new'"):
        replay(changed, live.batches, {})
    changed.dispose()


def _renamed(program: Program, name: str) -> Program:
    match program:
        case Act(found):
            return Act("other") if found == name else program
        case Sequence(parts) | Gather(parts) | Group(parts):
            return replace(program, parts=tuple(_renamed(part, name) for part in parts))
        case Limit(part, _) | Attempt(part):
            return replace(program, part=_renamed(part, name))
        case Race(loser, winner):
            return Race(_renamed(loser, name), _renamed(winner, name))
        case _:
            return program


def test_options_when_only_they_change_then_replay_goes_on() -> None:
    """Timeouts and retries may change under a running execution: kind, position and name are what counts."""

    async def body(options: ActivityOptions) -> None:
        context = current_workflow.get()
        assert context
        await context.start_activity("a", {}, options)

    first = new_run(lambda: body(ActivityOptions()))
    batch = HistoryBatch(index=1, commit_id="c", events=tuple(first.begin()))
    second = new_run(lambda: body(ActivityOptions(start_to_close_seconds=5)))
    assert replay(second, [batch], {}) == []
    first.dispose()
    second.dispose()
