"""Runs that continue as new: one transaction puts the new run in the old one's place, with all that was not taken."""

from collections.abc import Callable
from typing import Any

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.search_keys import SearchKeysChanged
from levante_core.domain.history.events import ExecutionContinuedAsNew, MessagesTaken
from levante_core.domain.history.state import HistoryBatch
from levante_core.domain.names import RunId
from levante_core.ports.item_store import Delete
from levante_core.protocol.workers import Commit, CommitOutcome, TaskQueue
from levante_core.services.history import commits
from levante_core.services.history.commits import CommitService, GrantedCommit
from levante_core.storage import keys
from tests.support.faults import OvertakenStore
from tests.support.place import RETENTION, SPACE, Place
from tests.unit.core.services.history.resetting import (
    EXECUTION,
    begun,
    earlier,
    earlier_runs,
    latest,
    messages_of,
    signal,
    update,
)

NEXT = RunId("next")


def again(run_id: str = NEXT, **more: Any) -> ExecutionContinuedAsNew:
    return ExecutionContinuedAsNew(seq=9, run_id=RunId(run_id), **{"input": {"left": 1}, **more})


def test_new_run_when_one_continues_then_it_begins_where_the_old_one_ends(place: Place) -> None:
    """With its own input and an empty history, within the time of the whole execution; its task is there at once."""
    run = begun(place)
    deadline_at = latest(place).start.deadline_at
    place.clock.advance(60)
    assert place.commit(run, 1, again()) is CommitOutcome.RECORDED
    now, new, old = place.clock.now(), latest(place), earlier(place, run)
    assert (new.key, new.status, new.ending) == (RunKey(SPACE, EXECUTION, NEXT), "RUNNING", None)
    assert (new.start.input, new.start.started_at, new.start.deadline_at) == ({"left": 1}, now, deadline_at)
    assert (new.start.first_run_id, new.start.continued_run_id) == (run.run_id, run.run_id)
    assert old.ending is not None
    assert (old.status, old.ending.ended_at, old.ending.expires_at) == ("CONTINUED_AS_NEW", now, now + RETENTION)
    assert place.load(new.key).batches == ()
    assert [(task.run_id, task.start) for task in place.tasks(TaskQueue.WORKFLOW)] == [(NEXT, new.start)]
    assert place.commit(new.key, 1, again("third")) is CommitOutcome.RECORDED
    third = latest(place).start
    assert (third.first_run_id, third.continued_run_id) == (run.run_id, NEXT)


def test_message_when_the_run_has_not_taken_it_then_it_is_the_new_runs_first(place: Place) -> None:
    """Under numbers from 1 on, in its order, with all that it says."""
    run = begun(place)
    signal(place, "taken")
    signal(place, "signal")
    update(place, "update")
    place.engine.messages.cancel(SPACE, EXECUTION)
    assert place.commit(run, 1, MessagesTaken(until=1), again(mail_taken=1), taken_until=1) is CommitOutcome.RECORDED
    new = latest(place)
    assert messages_of(place, new.key) == [(1, "signal"), (2, "update"), (3, None)]
    assert (new.mail_count, new.is_cancel_requested) == (3, True)
    assert [fact.input.kind for fact in place.load(new.key).facts] == [
        "signal_received",
        "update_requested",
        "cancel_requested",
    ]
    signal(place, "late")
    assert messages_of(place, new.key)[3:] == [(4, "late")]


@pytest.mark.parametrize("unread", [2, 3])
def test_run_when_it_has_more_messages_than_can_be_carried_then_it_stays_open_to_take_some(
    place: Place, monkeypatch: pytest.MonkeyPatch, unread: int
) -> None:
    """A transaction has an end; nothing is lost, and nothing more comes for a moment."""
    monkeypatch.setattr(commits, "MOST_CARRIED", 2)
    run = begun(place)
    for number in range(unread):
        signal(place, number)
    outcome = place.commit(run, 1, again())
    assert outcome is (CommitOutcome.RECORDED if unread == 2 else CommitOutcome.UNREAD_MESSAGES)
    assert (latest(place).key == run, latest(place).mail_count) == (unread == 3, unread)
    assert (latest(place).mail_held_until is not None) == (unread == 3)


def test_run_when_a_message_that_is_counted_is_missing_then_the_commit_says_so_and_changes_nothing(place: Place) -> None:
    """What was accepted is not dropped without a word."""
    run = begun(place)
    signal(place, "lost")
    place.store.write(Delete(keys.fact(run, "M00000001")))
    result = place.commit_result(run, 1, again())
    assert result.outcome is CommitOutcome.IMPOSSIBLE
    assert f"message 1 of run {run.run_id} is counted, but missing" in (result.problem or "")
    assert latest(place).key == run


def ends(place: Place, run: RunKey) -> None:
    place.engine.closing.terminate(SPACE, EXECUTION)


def is_signalled(place: Place, run: RunKey) -> None:
    signal(place, "meanwhile")


def continues(place: Place, run: RunKey) -> None:
    assert place.commit(run, 1, again("other"), commit_id="other") is CommitOutcome.RECORDED


@pytest.mark.parametrize(
    ("act", "outcome", "latest_run"),
    [
        (ends, CommitOutcome.CONFLICT, None),
        (is_signalled, CommitOutcome.UNREAD_MESSAGES, None),
        (continues, CommitOutcome.CONFLICT, "other"),
    ],
)
def test_run_when_something_happens_before_it_is_replaced_then_it_is_not(
    place: Place, act: Callable[[Place, RunKey], None], outcome: CommitOutcome, latest_run: str | None
) -> None:
    """The end that was first counts, and a signal that was accepted is taken before, or carried over by a repeat."""
    run = begun(place)
    engine = place.engine
    store = OvertakenStore(engine.streams._store, lambda: act(place, run))
    overtaken = CommitService(store, place.clock, engine.dispatch, engine.capabilities, retention=None)
    batch = HistoryBatch(index=1, commit_id="c", events=(again(),))
    (result,) = overtaken.append([GrantedCommit(place.grant(run, 1), Commit(token="-", batch=batch, mail_taken=0))])
    assert result.outcome is outcome
    assert latest(place).key.run_id == (latest_run or run.run_id)
    assert earlier_runs(place) == ([run.run_id] if latest_run else [])
    assert place.commit(run, 1, again()) is (
        CommitOutcome.RECORDED if outcome is CommitOutcome.UNREAD_MESSAGES else CommitOutcome.CONFLICT
    )


def test_commit_when_the_run_was_replaced_long_ago_then_it_is_a_conflict(place: Place) -> None:
    """A worker that was away for long cannot put aside the run of today."""
    run = begun(place)
    ends(place, run)
    other = begun(place)
    signal(place, "the other run's")
    assert place.commit(run, 2, again()) is CommitOutcome.CONFLICT
    assert (latest(place).key, latest(place).mail_count) == (other, 1)
    assert place.load(run).status == "TERMINATED"


def test_search_keys_when_the_commit_has_some_then_the_old_and_the_new_run_have_them(place: Place) -> None:
    """Those of the whole run up to its end; without any, those that were there before."""
    run = begun(place)
    assert place.commit(run, 1, again(), search_keys={"a": "1"}) is CommitOutcome.RECORDED
    new = latest(place)
    assert earlier(place, run).search_keys == new.search_keys == new.start.search_keys == {"a": "1"}
    assert place.commit(new.key, 1, again("third")) is CommitOutcome.RECORDED
    assert latest(place).search_keys == {"a": "1"}
    changed = SearchKeysChanged(removed=("a",))
    assert place.commit(latest(place).key, 1, changed, again("fourth"), search_keys={}) is CommitOutcome.RECORDED
    assert latest(place).search_keys == {}
