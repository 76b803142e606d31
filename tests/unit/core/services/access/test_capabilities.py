"""Capabilities: made by the installation alone, good for one thing, in one workspace."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levante_core.domain.dispatch.tasks import ActivityTask, WorkflowTask
from levante_core.domain.names import ExecutionId, RunId, Workspace
from levante_core.errors import InvalidCapability, Unavailable
from levante_core.ports.item_store import Delete, Item, Put
from levante_core.protocol.capabilities import attempt_token
from levante_core.protocol.workers import LEASE_SECONDS, CommitOutcome, TaskQueue
from levante_core.services.access.capabilities import (
    OLD_AFTER,
    READ_ANEW_AFTER,
    AttemptGrant,
    Capabilities,
    ReceiptGrant,
    RunGrant,
)
from levante_core.storage import keys
from tests.fakes import FakeClock
from tests.support.place import POOL, SPACE, Place
from tests.unit.core.services.recorded import scheduled

OTHER = Workspace("other")


class CountingStore:
    """Counts reads of the store that it stands before."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.reads = 0

    def get(self, key: Any) -> Any:
        self.reads += 1
        return self._store.get(key)

    def write(self, *writes: Any) -> None:
        self._store.write(*writes)


class Numbers:
    """Secrets that are all different."""

    def __init__(self) -> None:
        self._made = 0

    def uuid(self) -> str:
        return self.secret()

    def fraction(self) -> float:
        return 0.5

    def secret(self) -> str:
        self._made += 1
        return f"secret {self._made}"


def another(place: Place) -> tuple[Capabilities, CountingStore]:
    """Make those of another process of the same installation."""
    store: Any = CountingStore(place.store)
    return Capabilities(store, place.clock, Numbers()), store


def test_token_when_it_is_read_by_another_process_then_it_grants_what_was_signed(place: Place) -> None:
    """The key is the installation's; it is read once."""
    run = place.start()
    grant = RunGrant(run, POOL, 3)
    process, store = another(place)
    token = place.engine.capabilities.run_token(grant)
    assert [process.run(SPACE, token) for _ in range(3)] == [grant] * 3
    assert store.reads == 1


def test_token_when_any_character_is_another_one_then_it_grants_nothing(place: Place) -> None:
    """Nobody can widen what was granted."""
    token = place.engine.capabilities.run_token(RunGrant(place.start(), POOL, 1))
    for position, character in enumerate(token):
        forged = token[:position] + ("A" if character != "A" else "B") + token[position + 1 :]
        if position < len(token) - 1:  # the last character of the mac has bits that say nothing
            with pytest.raises(InvalidCapability):
                place.engine.capabilities.run(SPACE, forged)


def test_token_when_it_is_of_another_workspace_or_kind_then_it_grants_nothing(place: Place) -> None:
    """A capability is good for one thing in one workspace."""
    capabilities, run = place.engine.capabilities, place.start()
    of_run = capabilities.run_token(RunGrant(run, POOL, 1))
    of_attempt = capabilities.attempt_token(AttemptGrant(run, POOL, 1, 1, 1))
    receipt = capabilities.receipt(ReceiptGrant("q", "r", "g", "c", of_run))
    cursor = capabilities.sign("cursor", (SPACE, "runs", "x"))
    for refused in (of_attempt, receipt, cursor):
        with pytest.raises(InvalidCapability):
            capabilities.run(SPACE, refused)
    for refused in (of_run, receipt, cursor):
        with pytest.raises(InvalidCapability):
            capabilities.attempt(SPACE, refused)
        with pytest.raises(InvalidCapability):
            capabilities.read("other", refused)
    for read, token in ((capabilities.run, of_run), (capabilities.attempt, of_attempt)):
        with pytest.raises(InvalidCapability):
            read(OTHER, token)


def test_token_when_it_is_old_then_it_is_good_for_as_long_as_its_run_is_kept(place: Place) -> None:
    """Where a deleted run was, all places are free: nothing may be written there that nobody would ever delete."""
    capabilities, run = place.engine.capabilities, place.start()
    of_run = capabilities.run_token(RunGrant(run, POOL, 1))
    of_attempts = [
        capabilities.attempt_token(AttemptGrant(run, POOL, 1, 1, 1)),
        attempt_token(of_run, seq=1, scheduled_in=1, attempt=1),
    ]
    place.clock.advance(OLD_AFTER.total_seconds() + 1)
    assert capabilities.run(SPACE, of_run).run == run
    assert [capabilities.attempt(SPACE, token).run for token in of_attempts] == [run, run]
    place.store.write(Delete(keys.execution(run.workspace, run.execution_id)))
    with pytest.raises(InvalidCapability):
        capabilities.run(SPACE, of_run)
    for token in of_attempts:
        with pytest.raises(InvalidCapability):
            capabilities.attempt(SPACE, token)


@given(st.one_of(st.text(), st.from_regex(r"[0-9]{1,3}(\.(run|attempt|receipt)\.[A-Za-z0-9_-]*){0,3}\.[A-Za-z0-9_-]*")))
def test_token_when_it_is_made_up_then_it_is_refused_and_nothing_else_happens(text: str) -> None:
    """Whatever a caller sends, the answer is the same."""
    store: Any = CountingStore({})
    store._store = _Items()
    capabilities = Capabilities(store, FakeClock(), Numbers())
    for read in (capabilities.run, capabilities.attempt):
        with pytest.raises(InvalidCapability):
            read(SPACE, text)


class _Items(dict[Any, Any]):
    """A store of one item."""

    def write(self, *writes: Any) -> None:
        self.update({write.key: write.item for write in writes})


# --- activities in place ----------------------------------------------------------------------------------------------


def test_attempt_token_when_a_worker_derives_it_then_it_is_good_for_that_attempt_alone(place: Place) -> None:
    """Who holds a run may run its activities in place, and gives each a token of its own, without a call."""
    capabilities, run = place.engine.capabilities, place.start()
    of_run = capabilities.run_token(RunGrant(run, POOL, 4))
    derived = attempt_token(of_run, seq=7, scheduled_in=4, attempt=2)
    assert capabilities.attempt(SPACE, derived) == AttemptGrant(run, POOL, 7, 4, 2, is_derived=True)
    with pytest.raises(InvalidCapability):
        capabilities.run(SPACE, derived)
    assert of_run.rpartition(".")[2] not in derived, "who has the token of an attempt cannot make that of the run from it"
    for further in (derived, "1.run.W10.AAAA"):
        with pytest.raises((InvalidCapability, ValueError)):
            capabilities.attempt(SPACE, attempt_token(further, seq=8, scheduled_in=4, attempt=1))


@pytest.mark.parametrize("numbers", [(0, 1, 1), (1, 10**8, 1), (1, 1, -1)])
def test_attempt_token_when_its_numbers_could_not_be_then_it_is_refused(place: Place, numbers: tuple[int, int, int]) -> None:
    """A worker signs what it likes; keys of the table are made of it."""
    of_run = place.engine.capabilities.run_token(RunGrant(place.start(), POOL, 1))
    seq, scheduled_in, attempt = numbers
    with pytest.raises(InvalidCapability):
        place.engine.capabilities.attempt(SPACE, attempt_token(of_run, seq=seq, scheduled_in=scheduled_in, attempt=attempt))


def test_report_when_the_batch_schedules_no_such_activity_then_it_changes_nothing(place: Place) -> None:
    """An outcome in the place of a timer would keep the timer from ever firing."""
    run = place.start()
    place.commit(run, 1, scheduled())
    assert not place.report(run, seq=2, is_derived=True)
    assert not [change for change in place.load(run).facts if change.key == "00000002"]
    assert place.report(run, seq=1, is_derived=True)


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_rotation_when_it_happens_twice_then_what_the_first_key_signed_is_good_no_more(place: Place) -> None:
    """Two keys are good at a time: the one that signs, and the one that signed before."""
    capabilities, run = place.engine.capabilities, place.start()
    token = capabilities.run_token(RunGrant(run, POOL, 1))
    assert capabilities.rotate() == 2
    assert capabilities.run(SPACE, token).run == run
    assert capabilities.run_token(RunGrant(run, POOL, 1)) != token
    assert capabilities.rotate() == 3
    with pytest.raises(InvalidCapability):
        capabilities.run(SPACE, token)


def test_rotation_when_another_process_has_not_heard_of_it_then_each_reads_what_the_other_signs(place: Place) -> None:
    """A version that is not known is looked for, once a second at most; signing goes over within minutes."""
    process, store = another(place)
    run = place.start()
    grant = RunGrant(run, POOL, 1)
    before = process.run_token(grant)
    place.engine.capabilities.rotate()
    after = place.engine.capabilities.run_token(grant)
    assert place.engine.capabilities.run(SPACE, before) == grant
    for made_up in ("9.run.W10.AAAA", "10.run.W10.AAAA"):
        with pytest.raises(InvalidCapability):
            process.run(SPACE, made_up)
    assert store.reads == 1
    place.clock.advance(2)
    assert process.run(SPACE, after) == grant
    assert store.reads == 2
    place.clock.advance(READ_ANEW_AFTER.total_seconds() + 1)
    assert process.run_token(grant).split(".")[0] == after.split(".")[0]


@pytest.mark.parametrize("attributes", [{"current": 1}, {"current": None}, {}])
def test_rotation_when_the_keys_cannot_be_read_then_there_is_a_new_one_and_nothing_else_is_good(
    place: Place, attributes: dict[str, Any]
) -> None:
    """Until then, nobody is given a task, and nothing is lost."""
    grant = RunGrant(place.start(), POOL, 1)
    before = place.engine.capabilities.run_token(grant)
    place.store.write(Put(Item(keys.CAPABILITY_KEYS, attributes, {"keys": "{"})))
    process, _ = another(place)
    with pytest.raises(Unavailable, match="rotate the signing key"):
        process.run_token(grant)
    process.rotate()
    assert process.run(SPACE, process.run_token(grant)) == grant
    with pytest.raises(InvalidCapability):
        process.run(SPACE, before)


def test_keys_when_two_processes_make_them_at_once_then_they_use_the_same(place: Place) -> None:
    """The first one wins."""
    grant = RunGrant(replace(place.start(), run_id=RunId("r")), POOL, 1)
    processes = [another(place)[0] for _ in range(2)]
    tokens = {process.run_token(grant) for process in processes}
    assert len(tokens) == 1


# --- tasks ------------------------------------------------------------------------------------------------------------


def test_tasks_when_they_are_delivered_then_their_tokens_grant_them_and_nothing_more(place: Place) -> None:
    """The first task of a run lets commit batch 1; any later one lets load, which then lets commit."""
    run = place.start()
    (first,) = place.tasks(TaskQueue.WORKFLOW)
    assert isinstance(first, WorkflowTask)
    assert place.engine.capabilities.run(SPACE, first.token) == RunGrant(run, POOL, 1)
    place.commit(run, 1, scheduled())
    (asked,) = place.tasks(TaskQueue.ACTIVITY)
    assert isinstance(asked, ActivityTask)
    assert place.engine.capabilities.attempt(SPACE, asked.token) == AttemptGrant(run, POOL, 1, 1, 1)
    place.report(run)
    place.lose_messages()
    place.engine.redrive.redrive()
    place.clock.advance(LEASE_SECONDS + 1)
    later = place.tasks(TaskQueue.WORKFLOW)[-1]
    assert place.engine.capabilities.run(SPACE, later.token).next_index == 0
    loaded = place.load(run)
    assert loaded.token is not None
    assert place.engine.capabilities.run(SPACE, loaded.token).next_index == 2


def test_commit_when_it_is_recorded_then_its_answer_grants_the_next_one_until_the_run_ends(place: Place) -> None:
    """The order of a history needs no look at the table: no batch but the next one has a token."""
    run = place.start()
    granted = place.commit_result(run, 1, scheduled())
    assert granted.outcome is CommitOutcome.RECORDED
    assert granted.token
    assert place.engine.capabilities.run(SPACE, granted.token).next_index == 2
    ended = place.commit_result(run, 2, {"kind": "execution_completed", "seq": 2, "result": None})
    assert (ended.outcome, ended.token) == (CommitOutcome.RECORDED, None)
    assert place.load(run).token is None
    assert place.commit_result(run, 1, scheduled(), commit_id="other").token is None


def test_task_when_it_is_made_from_a_token_then_whoever_gets_it_has_to_check_it(place: Place) -> None:
    """What a worker says of a task is not believed, but for what was granted."""
    run = place.start(execution_id="e")
    capabilities = place.engine.capabilities
    made = capabilities.task(SPACE, capabilities.attempt_token(AttemptGrant(run, POOL, 1, 1, 1)))
    assert isinstance(made, ActivityTask)
    assert (made.execution_id, made.verify, made.work) == (ExecutionId("e"), True, None)
    made_of_run = capabilities.task(SPACE, capabilities.run_token(RunGrant(run, POOL, 1)))
    assert isinstance(made_of_run, WorkflowTask)
    assert (made_of_run.verify, made_of_run.start) == (True, None)
