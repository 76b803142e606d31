"""Invariant 2 over programs that nobody thought of: whatever code does and whatever happens to it, replay does the same."""

import gc
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from levante.context import current_workflow
from levante.errors import NonDeterminismError
from levante.replay.replayer import FIRST_EVENT_ID, replay
from levante_core.protocol import OUTCOMES, ActivityOptions, ActivityScheduled, HistoryBatch, fold
from tests.support.forms import either
from tests.unit.levante.replay.lives import Live, lived, open_work
from tests.unit.levante.replay.programs import (
    PROGRAMS,
    Act,
    AsCompleted,
    Attempt,
    Background,
    Gather,
    Generate,
    Group,
    Limit,
    Program,
    Race,
    Sequence,
    Share,
    Shielded,
    WaitFor,
    interpret,
)
from tests.unit.levante.replay.test_run import new_run


@pytest.fixture(autouse=True)
def _garbage_of_others_is_left_alone() -> Iterator[None]:
    """Hundreds of forced collections would go through all that the test runner holds, which takes minutes late in a run."""
    gc.freeze()
    yield
    gc.unfreeze()


@settings(deadline=None, max_examples=either(short=15, full=150))
@given(PROGRAMS, st.data())
def test_replay_when_a_program_has_ended_then_it_does_and_sees_the_same_again(program: Program, data: st.DataObject) -> None:
    """Replayed at once, the same code asks for the same and is told the same: nothing is left to record."""
    live = lived(program, data)
    again = Live(program)
    assert replay(again.run, live.batches, {}) == []
    again.dispose()
    assert again.seen == live.seen


@settings(deadline=None, max_examples=either(short=15, full=150))
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
        gc.collect()
        outcome, *commands = batch.events
        assert isinstance(outcome, OUTCOMES)
        assert again.run.apply(outcome) == commands
    again.dispose()
    assert again.seen == live.seen


@settings(deadline=None, max_examples=either(short=10, full=100))
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


@settings(deadline=None, max_examples=either(short=15, full=150))
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


@settings(deadline=None, max_examples=either(short=15, full=150))
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
        case (
            Sequence(parts)
            | Gather(parts)
            | Group(parts)
            | AsCompleted(parts)
            | WaitFor(parts)
            | Generate(parts)
            | Share(parts)
        ):
            return replace(program, parts=tuple(_renamed(part, name) for part in parts))
        case Limit(part, _) | Attempt(part) | Shielded(part, _) | Background(part):
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
