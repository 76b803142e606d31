"""Runs are found by their ids, at a price that does not grow with their number."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as some

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.run_ids import new_run_id, started_at_of
from levante_core.domain.history.events import ExecutionContinuedAsNew
from levante_core.domain.names import ExecutionId, RunId, Workspace
from levante_core.errors import NotFound
from levante_core.ports.item_store import Absent, Put
from levante_core.protocol.workers import CommitOutcome
from levante_core.services.executions import lookup
from levante_core.services.executions.lookup import execution_of_run, find_run
from levante_core.services.executions.reset import ResetRequest
from levante_core.services.executions.start import StartRequest
from levante_core.storage.runs import execution_item
from tests.support.faults import CountingStore
from tests.support.forms import either
from tests.support.place import SPACE, Place, new_place

AT = datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)
RANDOM = "2275852e-f6d6-405f-95a8-f924e501bad4"
MOST_READS = 3
MANY = either(short=60, full=300)


def counting(place: Place) -> CountingStore:
    return CountingStore(place.engine.streams._store)


def old_run(place: Place, number: int) -> RunKey:
    """Put an open run as it was started before ids said when."""
    execution = place.engine.executions.get(SPACE, "e")
    key = RunKey(SPACE, ExecutionId(f"old-{number}"), RunId(str(uuid4())))
    place.store.write(Put(execution_item(replace(execution, key=key)), Absent()))
    return key


@given(some.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=some.just(UTC)))  # noqa: DTZ001 - see timezones
def test_run_id_when_made_then_it_says_when_to_the_microsecond(at: datetime) -> None:
    """The place in the index follows from the id alone."""
    run_id = new_run_id(at, str(uuid4()))
    assert started_at_of(run_id) == at
    assert (UUID(run_id).version, UUID(run_id).variant) == (7, UUID(int=0, version=4).variant)


def test_run_ids_when_made_at_the_same_time_then_they_differ() -> None:
    """62 random bits are left."""
    assert len({new_run_id(AT, str(uuid4())) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "text",
    ["", "x", RANDOM, "00000000-0000-73e8-8000-000000000000", "ffffffff-ffff-7000-8000-000000000000", "\u0660" * 36],
)
def test_run_id_when_it_says_no_time_then_none_is_read(text: str) -> None:
    """Whatever a caller sends: another version, a thousand microseconds, a time beyond the calendar."""
    assert started_at_of(RunId(text)) is None


def test_run_when_nothing_is_recorded_of_it_then_its_id_finds_it_among_many(place: Place) -> None:
    """All of them have started at the very same time."""
    runs = [place.start() for _ in range(MANY)]
    for run in (runs[0], runs[MANY // 2], runs[-1]):
        store = counting(place)
        assert find_run(store, SPACE, run.run_id).key == run
        assert store.reads <= MOST_READS
        assert store.items == 1


@pytest.mark.parametrize("run_id", [new_run_id(AT, RANDOM), RANDOM, "x", "L", "\U0010ffff"])
def test_run_when_nobody_has_its_id_then_a_bounded_number_of_items_is_read(
    place: Place, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guess costs the same in an installation with three runs as in one with three million."""
    monkeypatch.setattr(lookup, "OPEN_RUNS_LOOKED_AT", 20)
    for _ in range(MANY):
        place.start()
    store = counting(place)
    with pytest.raises(NotFound, match="no run has the id"):
        find_run(store, SPACE, run_id)
    assert store.reads <= MOST_READS
    assert store.items <= 20


def test_run_when_it_is_of_another_workspace_then_it_is_not_found(place: Place) -> None:
    """Invariant 9: an id leads nowhere but for its own workspace."""
    run = place.start()
    with pytest.raises(NotFound):
        find_run(counting(place), Workspace("other"), run.run_id)


def test_run_when_it_follows_on_another_then_both_are_found(place: Place) -> None:
    """The replayer chooses the id of a run after continue-as-new, long before anybody knows when it starts."""
    run = place.start(execution_id="e")
    following = RunId(str(uuid4()))
    place.commit(run, 1, ExecutionContinuedAsNew(seq=1, run_id=following, input=None, mail_taken=0))
    for run_id in (run.run_id, following):
        store = counting(place)
        assert find_run(store, SPACE, run_id).key.run_id == run_id
        assert store.reads <= MOST_READS


def test_run_when_another_execution_claims_its_id_then_it_is_found_as_before(place: Place) -> None:
    """A worker chooses the id of a run after continue-as-new; it must not take what is somebody else's."""
    taken = RunId(RANDOM)
    again = ExecutionContinuedAsNew(seq=1, run_id=taken, input=None, mail_taken=0)
    owner, other = place.start(), place.start()
    assert place.commit(owner, 1, again) is CommitOutcome.RECORDED
    assert place.commit(other, 1, again) is CommitOutcome.CONFLICT
    assert find_run(counting(place), SPACE, taken).key.execution_id == owner.execution_id


def test_run_when_it_was_reset_to_its_beginning_then_both_are_found(place: Place) -> None:
    """Nothing is kept of the history, so nothing in it names the execution."""
    run = place.start(execution_id="e")
    place.engine.resets.reset(SPACE, "e", ResetRequest(1))
    latest = place.engine.executions.get(SPACE, "e").key
    assert latest != run
    for one in (run, latest):
        assert find_run(counting(place), SPACE, one.run_id).key == one


def test_run_when_it_is_from_before_ids_said_when_then_it_is_looked_for_among_the_open_ones(place: Place) -> None:
    """An upgrade in the middle of executions that have done nothing yet."""
    place.start(execution_id="e")
    keys = [old_run(place, number) for number in range(20)]
    for key in keys:
        assert execution_of_run(counting(place), SPACE, key.run_id) == key.execution_id


def test_run_when_the_index_is_late_then_its_history_finds_it(tmp_path: Path) -> None:
    """Indexes are eventually consistent; what is recorded in the history is not."""
    with new_place(tmp_path) as place:
        run = place.start(execution_id="e")
        place.engine.resets.reset(SPACE, "e", ResetRequest(1))
        late = new_run_id(AT, str(uuid4()))
        following = ExecutionContinuedAsNew(seq=1, run_id=late, input=None, mail_taken=0)
        latest = place.engine.executions.get(SPACE, "e").key
        place.commit(latest, 1, following)
        assert find_run(counting(place), SPACE, late).key.execution_id == run.execution_id


def test_start_when_written_then_it_is_one_item_in_one_write(place: Place) -> None:
    """The id of a run is all that leads to it: no pointer is paid for."""
    place.start(execution_id="e")
    before = len(place.store.read_changes(None, 1000))
    place.engine.executions.start(SPACE, "w", StartRequest(execution_id="f"))
    assert len(place.store.read_changes(None, 1000)) == before + 1
