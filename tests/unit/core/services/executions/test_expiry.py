"""Closed runs and all that belongs to them are deleted when their time is over; nothing else is, whoever dies meanwhile."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from levante_core.adapters.dynamodb.images import stream_record
from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import (
    ActivityCompleted,
    ActivityScheduled,
    ChildCompleted,
    ChildScheduled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    ParentClosePolicy,
    TimerStarted,
)
from levante_core.domain.names import ExecutionId, RunId, WorkflowName
from levante_core.errors import NotFound, Unavailable
from levante_core.ports.item_store import Key, Query
from levante_core.protocol import ActivityOptions
from levante_core.protocol.logs import LogLine, LogsRequest
from levante_core.protocol.workers import CommitOutcome
from levante_core.services.engine import build_engine
from levante_core.services.executions.reset import ResetRequest
from levante_core.storage import keys
from levante_core.storage.large_documents import OFFLOAD_BYTES
from levante_dispatcher.handlers import build_handlers
from levante_local.change_watch import LocalChangeWatch
from tests.support.faults import Fate, FaultyStore, OneFault, Operations
from tests.support.place import DEPLOYMENT, RETENTION, SPACE, Place, new_place

LARGE = "x" * (OFFLOAD_BYTES + 1)
HOUR = timedelta(hours=1)


def deal_with_changes(place: Place, handle: Callable[[Any, Any], Any] | None = None) -> None:
    """Hand the feed to the stream's function, as it comes from the table."""
    handle = handle or build_handlers(place.engine, OffloadingStore(place.store, place.payloads).resolved).stream
    while changes := place.store.read_changes(None, 100):
        handle({"Records": [stream_record(change) for change in changes]}, None)
        place.store.acknowledge_changes(changes[-1].sequence)


def advance(place: Place, time: timedelta) -> None:
    """Let time pass; payloads are as old as this clock says."""
    for path in payloads_of(place):
        put_at = min(path.stat().st_mtime, place.clock.now().timestamp())
        os.utime(path, (put_at, put_at))
    place.clock.advance(time.total_seconds())


def let_pass(place: Place, time: timedelta) -> None:
    """Let time pass, and what is over be deleted with what belongs to it."""
    advance(place, time)
    while place.store.delete_expired(place.clock.now(), 100):
        deal_with_changes(place)


def let_expire(place: Place) -> None:
    """Let the time of all that has ended by now pass."""
    deal_with_changes(place)
    let_pass(place, RETENTION + timedelta(seconds=1))


def left_of(place: Place, *partitions: str) -> list[Key]:
    """Return what there is in some partitions."""
    return [item.key for partition in partitions for item in place.store.query(Query(partition)).items]


def partitions_of(run: RunKey, root: str | None = None) -> tuple[str, str, str]:
    return (
        keys.execution(SPACE, run.execution_id).partition,
        keys.history(SPACE, run.run_id),
        keys.stream(SPACE, ExecutionId(root or run.execution_id)),
    )


def payloads_of(place: Place) -> list[Path]:
    return [path for path in place.payloads.directory.rglob("*") if path.is_file()]


def complete(place: Place, run: RunKey, index: int = 1, result: Any = None) -> None:
    assert place.commit(run, index, ExecutionCompleted(seq=99, result=result)) is CommitOutcome.RECORDED


def run_all(place: Place, **given: Any) -> RunKey:
    """Run an execution of every kind of item, with payloads in each of its partitions."""
    run = place.start(**given)
    options = ActivityOptions()
    place.commit(run, 1, ActivityScheduled(seq=1, name="a", input=LARGE, options=options))
    outcome = ActivityCompleted(seq=1, at=place.clock.now(), result=f"{LARGE}1")
    place.engine.streams.publish(SPACE, run.execution_id)
    complete(place, run_with(place, run, outcome), 3, result=f"{LARGE}2")
    place.engine.streams.publish(SPACE, run.execution_id)
    return run


def run_with(place: Place, run: RunKey, *events: Any) -> RunKey:
    assert place.commit(run, 2, *events) is CommitOutcome.RECORDED
    return run


def ask_for_child(place: Place, run: RunKey, policy: ParentClosePolicy = ParentClosePolicy.ABANDON) -> RunKey:
    """Let a run ask for a child, and start it."""
    child = ChildScheduled(
        seq=1,
        execution_id=ExecutionId(f"{run.execution_id}-child"),
        workflow_name=WorkflowName("w"),
        input=None,
        close_policy=policy,
        timeout_seconds=365 * 86400,
        is_awaited=False,
    )
    assert place.commit(run, 1, child) is CommitOutcome.RECORDED
    deal_with_changes(place)
    return place.engine.executions.get(SPACE, child.execution_id).key


# --- what goes, and what stays ----------------------------------------------------------------------------------------


def test_run_when_its_time_is_over_then_nothing_of_it_is_left(place: Place) -> None:
    """Item, history, stream and payloads: whoever must delete data after a time can rely on it."""
    run = run_all(place, input=LARGE)
    assert len(payloads_of(place)) > 3
    let_expire(place)
    assert left_of(place, *partitions_of(run)) == []
    assert payloads_of(place) == []
    with pytest.raises(NotFound):
        place.engine.executions.get(SPACE, run.execution_id)


def test_run_when_its_time_is_not_over_or_it_is_open_then_all_of_it_stays(place: Place) -> None:
    """Only the end sets the time: an execution may be open for years."""
    closed, opened = run_all(place), place.start(timeout=timedelta(days=1000))
    place.commit(opened, 1, TimerStarted(seq=1, fire_at=place.clock.now() + HOUR))
    before = left_of(place, *partitions_of(closed), *partitions_of(opened))
    deal_with_changes(place)
    let_pass(place, RETENTION - timedelta(seconds=1))
    assert left_of(place, *partitions_of(closed), *partitions_of(opened)) == before
    let_pass(place, RETENTION)
    assert left_of(place, *partitions_of(closed)) == []
    assert place.kinds(opened)[-1] == "timer_started"


def test_run_when_nothing_is_to_be_deleted_then_it_is_kept_for_ever(place: Place) -> None:
    """An installation without a retention."""
    items = OffloadingStore(place.store, place.payloads)
    place.engine = build_engine(items, place.queues, place.clock, RandomIds(), LocalChangeWatch(), fast_path=True)
    run = run_all(place)
    deal_with_changes(place)
    let_pass(place, timedelta(days=10_000))
    assert place.status(run) == "COMPLETED"


@pytest.mark.parametrize("ending", ["terminated", "timed out", "reset"])
def test_run_when_it_is_ended_from_outside_then_it_expires_as_well(place: Place, ending: str) -> None:
    """However it ended; a run that was reset goes by itself, and leaves the one that follows."""
    run = place.start(timeout=HOUR)
    place.commit(run, 1, TimerStarted(seq=1, fire_at=place.clock.now() + timedelta(days=90)))
    if ending == "terminated":
        place.engine.closing.terminate(SPACE, run.execution_id)
    elif ending == "timed out":
        place.clock.advance(3601)
        place.engine.closing.time_out(run)
    else:
        place.engine.resets.reset(SPACE, run.execution_id, ResetRequest(2))
    let_expire(place)
    assert left_of(place, keys.history(SPACE, run.run_id)) == []
    if ending == "reset":
        assert place.status(run) == "RUNNING"
    else:
        assert left_of(place, *partitions_of(run)) == []


def test_runs_that_continue_as_new_when_they_expire_then_each_goes_by_itself(place: Place) -> None:
    """A chain that goes on for years keeps its latest runs; what readers follow goes on without a gap."""
    run = place.start(timeout=timedelta(days=1000))
    place.engine.streams.publish(SPACE, run.execution_id)
    chain = [run]
    for number in range(4):
        new = RunId(f"00000000-0000-0000-0000-00000000000{number}")
        again = ExecutionContinuedAsNew(seq=9, input=None, run_id=new, mail_taken=0)
        assert place.commit(chain[-1], 1, again) is CommitOutcome.RECORDED
        chain.append(RunKey(SPACE, run.execution_id, new))
        deal_with_changes(place)
        let_pass(place, RETENTION / 2 - HOUR)
    partition, _, stream = partitions_of(run)
    histories = [keys.history(SPACE, one.run_id) for one in chain]
    assert [bool(left_of(place, history)) for history in histories] == [False, False, True, True, True]
    assert [key.sort[:2] for key in left_of(place, partition)] == ["R#", "R#", "X"]
    place.engine.streams.publish(SPACE, run.execution_id)
    events = list(place.engine.streams.read(SPACE, run.execution_id, 1))
    assert [one.sequence for one in events] == list(range(1, 10))
    assert [one.update.event.workflow_run_id for one in events[::2]] == [one.run_id for one in chain]
    complete(place, chain[-1])
    let_expire(place)
    assert left_of(place, partition, stream, *histories) == []


def test_execution_id_when_it_is_used_again_then_only_the_old_run_goes(place: Place) -> None:
    """The new run has the same input, whose payload it needs."""
    old = place.start(execution_id="e", input=LARGE)
    complete(place, old)
    advance(place, RETENTION - HOUR)
    new = place.start(execution_id="e", input=LARGE)
    let_pass(place, 2 * HOUR)
    assert left_of(place, keys.history(SPACE, old.run_id)) == []
    assert [key.sort for key in left_of(place, partitions_of(new)[0])] == ["X"]
    assert place.engine.executions.get(SPACE, "e").start.input == LARGE
    complete(place, new)
    let_expire(place)
    assert (left_of(place, *partitions_of(new)), payloads_of(place)) == ([], [])


# --- children ---------------------------------------------------------------------------------------------------------


def test_stream_when_its_root_is_gone_but_a_child_goes_on_then_it_stays_until_that_ends(place: Place) -> None:
    """Invariant 8: no sequence number comes twice, though the execution that the stream is named after is deleted."""
    root = place.start(execution_id="root")
    child = ask_for_child(place, root)
    place.engine.streams.publish(SPACE, root.execution_id)
    complete(place, root, 2)
    let_expire(place)
    partition, _, stream = partitions_of(root)
    assert left_of(place, partition) == []
    complete(place, child)
    place.engine.streams.publish(SPACE, root.execution_id)
    events = list(place.engine.streams.read(SPACE, root.execution_id, 1))
    assert [one.sequence for one in events] == [1, 2, 3, 4]
    assert events[-1].update.event.workflow_exec_id == child.execution_id
    let_expire(place)
    assert left_of(place, stream, *partitions_of(child)) == []


@pytest.mark.parametrize("is_read", [True, False])
def test_child_when_it_expires_before_its_parent_then_the_stream_tells_what_was_asked_for(
    place: Place, *, is_read: bool
) -> None:
    """Events are made of histories when somebody asks; nobody looks again and again for a history that is gone."""
    root = place.start(execution_id="root", timeout=timedelta(days=1000))
    child = ask_for_child(place, root)
    if is_read:
        place.engine.streams.publish(SPACE, root.execution_id)
    complete(place, child)
    let_expire(place)
    assert left_of(place, *partitions_of(child)[:2]) == []
    complete(place, run_with(place, root, ChildCompleted(seq=1, at=place.clock.now(), result=None)), 3)
    head = place.engine.streams.publish(SPACE, root.execution_id)
    assert [one.execution_id for one in head.following] == ["root"]
    stream_events = [one.update.event for one in place.engine.streams.read(SPACE, root.execution_id, 1)]
    assert len([event for event in stream_events if event.workflow_exec_id == child.execution_id]) == 2 * is_read
    let_expire(place)
    assert left_of(place, *partitions_of(root)) == []


# --- logs -------------------------------------------------------------------------------------------------------------


def test_log_lines_when_their_two_weeks_are_over_then_nothing_of_them_is_left(place: Place) -> None:
    """Small batches are items alone; large ones are kept elsewhere, and go too."""
    for number, length in enumerate([10, 16_000]):
        line = LogLine(at=place.clock.now(), level="INFO", logger="l", message="x" * length)
        request = LogsRequest(deployment_name=DEPLOYMENT, worker_name="w", batch_id=f"{number:032x}", lines=(line,) * 5)
        place.engine.logs.append(SPACE, request)
    partition = keys.logs(SPACE, DEPLOYMENT, "w")
    assert (len(left_of(place, partition)), len(payloads_of(place))) == (2, 1)
    let_pass(place, timedelta(days=13))
    assert (len(left_of(place, partition)), len(payloads_of(place))) == (2, 1)
    let_pass(place, timedelta(days=2))
    assert (left_of(place, partition), payloads_of(place)) == ([], [])


# --- what comes late --------------------------------------------------------------------------------------------------


def test_timer_when_its_run_is_gone_then_it_leaves_nothing_behind(place: Place) -> None:
    """A timer of a year outlives the run that set it."""
    run = place.start()
    place.commit(run, 1, TimerStarted(seq=1, fire_at=place.clock.now() + timedelta(days=60)))
    deal_with_changes(place)
    place.engine.closing.terminate(SPACE, run.execution_id)
    let_expire(place)
    let_pass(place, timedelta(days=30))
    place.engine.due.sweep()
    for body in place.due():
        place.engine.due.handle(body)
    assert left_of(place, *partitions_of(run), *map(keys.timers, range(keys.SHARDS))) == []


# --- deaths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize("how", [Fate.REFUSED, Fate.UNANSWERED, Fate.CRASHED])
def test_deletion_when_it_fails_anywhere_then_the_next_attempt_leaves_nothing(tmp_path: Path, how: Fate, kind: str) -> None:
    """The change comes again until it was dealt with, and each part of the work may be done twice."""
    for position in range(1, 100):
        with new_place(tmp_path / str(position)) as place:
            run = run_all(place, input=LARGE)
            deal_with_changes(place)
            advance(place, RETENTION + timedelta(seconds=1))
            assert place.store.delete_expired(place.clock.now(), 100) > 0
            fault = OneFault(kind, position, how, is_armed=True)
            items = OffloadingStore(FaultyStore(place.store, Operations("stream", fault)), place.payloads)
            engine = build_engine(items, place.queues, place.clock, RandomIds(), LocalChangeWatch(), fast_path=True)
            try:
                deal_with_changes(place, build_handlers(engine, items.resolved).stream)
            except (Unavailable, RuntimeError):
                deal_with_changes(place)
            assert left_of(place, *partitions_of(run)) == []
            assert payloads_of(place) == []
        if fault.count < position:
            assert position > 2, "some positions were met"
            return
    raise AssertionError("there are more positions than that")
