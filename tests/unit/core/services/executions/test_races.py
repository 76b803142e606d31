"""Starts, ends and deletions when something else happens between what was read of an execution and the write."""

import os
from collections.abc import Callable
from datetime import timedelta

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.dispatch.plan import DeleteRest, PayloadsExpired
from levante_core.domain.executions.execution import Execution, RunKey
from levante_core.domain.history.events import ExecutionCompleted, ExecutionContinuedAsNew, TimerStarted
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, RunId
from levante_core.errors import AlreadyRunning, NotRunning
from levante_core.ports.item_store import Delete, Query, Write
from levante_core.protocol.workers import CommitOutcome, TaskQueue
from levante_core.services.engine import build_engine
from levante_core.services.executions.expiry import IN_FLIGHT
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from levante_core.storage.large_documents import OFFLOAD_BYTES
from levante_local.change_watch import LocalChangeWatch
from tests.support.faults import OvertakenStore
from tests.support.place import HOUR, SPACE, Place
from tests.support.races import races

E = ExecutionId("e")
NEXT = RunId("next")
LARGE = "x" * (OFFLOAD_BYTES + 1)
PARTITION = keys.execution(SPACE, E).partition


def latest(place: Place) -> Execution:
    return place.engine.executions.get(SPACE, E)


def terminate(place: Place) -> None:
    place.engine.closing.terminate(SPACE, E)


def complete(place: Place, run: RunKey) -> None:
    assert place.commit(run, 1, ExecutionCompleted(seq=1, result="done")) is CommitOutcome.RECORDED


def continue_as_new(place: Place, run: RunKey) -> None:
    event = ExecutionContinuedAsNew(seq=1, run_id=NEXT, input=None)
    assert place.commit(run, 1, event) is CommitOutcome.RECORDED


def begin_anew(place: Place, _: RunKey) -> None:
    terminate(place)
    place.start(execution_id=E)


def runs_of(place: Place) -> set[str]:
    """Return the ids of the runs of the execution, the latest and those before it."""
    return {
        str(item.attributes["run_id"]) for item in place.store.query(Query(PARTITION)).items if "run_id" in item.attributes
    }


# --- starting ---------------------------------------------------------------------------------------------------------


@races("start._put Absent")
def test_start_when_another_takes_the_id_meanwhile_then_one_run_is_started(place: Place) -> None:
    """Invariant 6: one open run per id, whoever was first; nothing is sent for a run that is not there."""
    started: list[RunKey] = []
    place.start(execution_id="another")
    place.lose_messages()
    with (
        place.racing.before_write(lambda: started.append(start(place, "first")), of=is_of_execution),
        pytest.raises(AlreadyRunning),
    ):
        start(place, "second")
    assert (latest(place).key, latest(place).start.input) == (started[0], "first")
    assert [task.run_id for task in place.tasks(TaskQueue.WORKFLOW)] == [started[0].run_id]
    assert runs_of(place) == {started[0].run_id}


@races("start._put closed_run", "start._put Absent 2")
@pytest.mark.parametrize("is_over", [False, True])
def test_start_when_the_id_was_free_and_another_takes_it_meanwhile_then_no_run_is_lost(
    place: Place, *, is_over: bool
) -> None:
    """The other run may be over by now; it is one of the execution's runs all the same."""
    first = place.start(execution_id=E)
    terminate(place)
    others: list[RunKey] = []

    def take() -> None:
        others.append(start(place, "other"))
        if is_over:
            terminate(place)

    with place.racing.before_write(take, of=is_of_execution, nth=2), pytest.raises(AlreadyRunning):
        start(place, "mine")
    assert latest(place).key == others[0]
    assert runs_of(place) == {first.run_id, others[0].run_id}


@races("start._put closed_run")
def test_start_when_the_run_before_is_deleted_and_another_starts_meanwhile_then_that_one_goes_on(place: Place) -> None:
    """Nothing says by then that there ever was another run but what the start has read."""
    place.start(execution_id=E)
    terminate(place)
    others: list[RunKey] = []

    def take() -> None:
        place.store.write(Delete(keys.execution(SPACE, E)))
        others.append(start(place, "other"))

    with place.racing.before_write(take, of=is_of_execution, nth=2), pytest.raises(AlreadyRunning):
        start(place, "mine")
    assert (latest(place).key, latest(place).is_open) == (others[0], True)


def start(place: Place, value: str) -> RunKey:
    return place.engine.executions.start(SPACE, "w", StartRequest(input=value, execution_id=E)).key


def is_of_execution(write: Write) -> bool:
    return write.key == keys.execution(SPACE, E)


# --- ending -----------------------------------------------------------------------------------------------------------


@races("close._close Absent")
def test_terminate_when_the_run_advances_meanwhile_then_it_ends_behind_that(place: Place) -> None:
    """What a worker recorded stays, and the end is the last of the history."""
    run = place.start(execution_id=E)
    timer = TimerStarted(seq=1, fire_at=place.clock.now() + HOUR)
    with place.racing.before_write(lambda: place.commit(run, 1, timer)):
        terminate(place)
    assert place.kinds(run) == ["execution_started", "timer_started", "execution_terminated"]
    assert latest(place).status is ExecutionStatus.TERMINATED


@races("close._close Absent", "close.closing_write open_run")
@pytest.mark.parametrize("by_read", [True, False])
def test_terminate_when_the_run_ends_meanwhile_then_its_end_stands(place: Place, *, by_read: bool) -> None:
    """Whether the end came before the history was looked at, or right before the write."""
    run = place.start(execution_id=E)

    def act() -> None:
        complete(place, run)

    history = keys.history(SPACE, run.run_id)
    with (
        place.racing.before_read(act, history) if by_read else place.racing.before_write(act),
        pytest.raises(NotRunning, match="COMPLETED"),
    ):
        terminate(place)
    assert place.kinds(run) == ["execution_started", "execution_completed"]
    ending = latest(place).ending
    assert ending
    assert ending.result == "done"


@races("close.closing_write open_run")
@pytest.mark.parametrize("by_read", [True, False])
def test_terminate_when_the_run_continues_as_new_meanwhile_then_the_new_run_is_ended(place: Place, *, by_read: bool) -> None:
    """Whoever ends an execution does not know of its runs; the old run ended once, by going on."""
    run = place.start(execution_id=E)

    def act() -> None:
        continue_as_new(place, run)

    history = keys.history(SPACE, run.run_id)
    with place.racing.before_read(act, history) if by_read else place.racing.before_write(act):
        terminate(place)
    assert (latest(place).key.run_id, latest(place).status) == (NEXT, ExecutionStatus.TERMINATED)
    assert [len(place.load(one).batches) for one in (run, latest(place).key)] == [1, 1]


@races("close.closing_write open_run")
@pytest.mark.parametrize("replace", [continue_as_new, begin_anew])
def test_time_out_when_another_run_takes_the_place_meanwhile_then_that_one_goes_on(
    place: Place, replace: Callable[[Place, RunKey], object]
) -> None:
    """A deadline is the deadline of a run."""
    run = place.start(execution_id=E)
    place.clock.advance(HOUR.total_seconds())
    with place.racing.before_read(lambda: replace(place, run), keys.history(SPACE, run.run_id)):
        place.engine.closing.time_out(run)
    assert latest(place).is_open
    assert latest(place).key != run
    place.engine.closing.time_out(run)
    assert latest(place).is_open


@races("close.closing_write open_run")
def test_time_out_when_a_signal_is_unread_then_the_run_ends_all_the_same(place: Place) -> None:
    """Ends from outside workflow code wait for nobody, or a run that is sent messages all the time would never time out."""
    run = place.start(execution_id=E)
    place.clock.advance(HOUR.total_seconds())
    with place.racing.before_write(lambda: place.engine.messages.cancel(SPACE, E)):
        place.engine.closing.time_out(run)
    assert latest(place).status is ExecutionStatus.TIMED_OUT


# --- deleting ---------------------------------------------------------------------------------------------------------


def test_payload_when_its_item_is_just_being_written_then_it_is_kept_for_an_hour(place: Place) -> None:
    """The payload is there before the item that refers to it, and what was deleted before has left the same place."""
    place.start(execution_id="another")
    expired = PayloadsExpired(PARTITION, keys.EXECUTION)

    def prune() -> None:
        put_at = place.clock.now().timestamp()
        for path in place.payloads.directory.glob("*/*"):
            os.utime(path, (put_at, put_at))
        place.clock.advance((IN_FLIGHT - timedelta(seconds=1)).total_seconds())
        place.engine.effects.carry_out([DeleteRest(expired)])

    items = OffloadingStore(OvertakenStore(place.store, prune), place.payloads)
    engine = build_engine(items, place.queues, place.clock, RandomIds(), LocalChangeWatch(), fast_path=False)
    engine.executions.start(SPACE, "w", StartRequest(input=LARGE, execution_id=E))
    assert latest(place).start.input == LARGE


def test_payload_when_nothing_refers_to_it_for_longer_than_an_hour_then_it_is_deleted(place: Place) -> None:
    """What a refused write has put there would stay for ever."""
    place.start(execution_id=E, input=LARGE)
    (kept,) = place.payloads.directory.glob("*/*")
    (kept.parent / ("0" * 64)).write_text("of a refused write")
    put_at = place.clock.now().timestamp()
    for path in place.payloads.directory.glob("*/*"):
        os.utime(path, (put_at, put_at))
    place.clock.advance(IN_FLIGHT.total_seconds() + 1)
    place.engine.effects.carry_out([DeleteRest(PayloadsExpired(PARTITION, keys.EXECUTION))])
    assert [*place.payloads.directory.glob("*/*")] == [kept]
