"""Requests that name what they make, or what they mean: however often they are repeated, it is done once."""

from datetime import timedelta

import pytest

from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import ActivityScheduled, ExecutionCompleted, ExecutionContinuedAsNew
from levante_core.domain.names import RunId
from levante_core.errors import AlreadyRunning, NotApplicable, Unavailable
from levante_core.protocol.workers import TaskQueue
from levante_core.services.executions.reset import ResetRequest
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from levante_core.storage.attempts import attempt_of, failed_attempts
from levante_core.storage.catalogue import ApiKey, Role
from tests.support.place import SPACE, Place

BUG = Failure(message="it broke")
NEW, E = RunId("run-of-a-batch"), "e"
RETRY = {"max_attempts": 5, "initial_interval_seconds": 600}


def by(place: Place, reason: str = "batch b1") -> ByHand:
    return ByHand(at=place.clock.now(), key_id="k1", key_name="ann", role="client", reason=reason)


def retried(place: Place, run: RunKey, seq: int) -> list[str | None]:
    """Return for which reasons the attempts of an activity were retried."""
    item = place.racing.get(keys.attempt(run, seq))
    notes = [one.retried_by_hand for one in failed_attempts(item)] if item else []
    return [note.reason if note else None for note in notes]


@pytest.fixture
def failing(place: Place) -> RunKey:
    """Start a run of which activities 1 and 2 have failed once, and activity 3 has not."""
    run = place.start(execution_id=E)
    options = {"options": {"retry": RETRY}, "name": "charge", "input": {}}
    place.commit(run, 1, *(ActivityScheduled.model_validate({"seq": seq, **options}) for seq in (1, 2, 3)))
    assert place.report(run, failure=BUG)
    assert place.report(run, seq=2, failure=BUG)
    place.lose_messages()
    return run


def test_retry_of_all_when_some_have_failed_then_the_next_attempts_of_those_begin_now(place: Place, failing: RunKey) -> None:
    """Each with a note of who wanted it."""
    place.engine.interventions.retry_failing(SPACE, E, by(place))
    assert [(task.seq, task.attempt) for task in place.tasks(TaskQueue.ACTIVITY)] == [(1, 2), (2, 2)]
    assert [retried(place, failing, seq) for seq in (1, 2, 3)] == [["batch b1"], ["batch b1"], []]


def test_retry_of_all_when_repeated_then_what_has_failed_again_is_left_alone(place: Place, failing: RunKey) -> None:
    """It was retried once, as was asked; somebody else's wish is another one."""
    place.engine.interventions.retry_failing(SPACE, E, by(place))
    assert place.report(failing, 2, failure=BUG)
    item = place.racing.get(keys.attempt(failing, 1))
    assert item
    due_at = attempt_of(item).due_at
    place.engine.interventions.retry_failing(SPACE, E, by(place))
    assert retried(place, failing, 1) == ["batch b1", None]
    item = place.racing.get(keys.attempt(failing, 1))
    assert item
    assert attempt_of(item).due_at == due_at > place.clock.now()
    place.engine.interventions.retry_failing(SPACE, E, by(place, "batch b2"))
    assert retried(place, failing, 1) == ["batch b1", "batch b2"]


def test_retry_of_all_when_nothing_waits_then_it_is_refused(place: Place) -> None:
    """A first attempt is under way already."""
    run = place.start(execution_id=E)
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}))
    with pytest.raises(NotApplicable, match="no activity"):
        place.engine.interventions.retry_failing(SPACE, E, by(place))


def test_retry_of_all_when_the_execution_is_paused_then_it_is_refused(place: Place, failing: RunKey) -> None:
    """Its attempts begin when it is resumed."""
    key = ApiKey("k1", "digest", SPACE, Role.CLIENT, "ann", place.clock.now())
    place.engine.pausing.pause(SPACE, E, key)
    with pytest.raises(NotApplicable, match="paused"):
        place.engine.interventions.retry_failing(SPACE, E, by(place))
    assert retried(place, failing, 1) == [None]


def test_retry_of_all_when_an_attempt_begins_and_fails_meanwhile_then_the_one_after_it_is_made_now(
    place: Place, failing: RunKey
) -> None:
    """What was read is old by then."""
    with place.racing.before_write(lambda: place.report(failing, 2, seq=2, failure=BUG), nth=2):
        place.engine.interventions.retry_failing(SPACE, E, by(place))
    assert retried(place, failing, 1) == ["batch b1"]
    assert retried(place, failing, 2) == [None, "batch b1"]


@pytest.mark.usefixtures("failing")
def test_retry_of_all_when_they_change_all_the_time_then_somebody_has_to_try_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not go on for ever."""

    def change(*_: object) -> bool:
        place.clock.advance(3)
        return False

    monkeypatch.setattr(place.engine.interventions, "_begin_now", change)
    with pytest.raises(Unavailable, match="too fast"):
        place.engine.interventions.retry_failing(SPACE, E, by(place))


def test_reset_when_it_names_its_run_then_a_repeat_changes_nothing(place: Place) -> None:
    """Whoever does not know whether it was done may ask once more."""
    run = place.start(execution_id=E)
    request = ResetRequest(None, new_run_id=NEW, only_run=run.run_id)
    for _ in range(2):
        place.clock.advance(5)
        place.engine.resets.reset(SPACE, E, request)
    assert place.engine.executions.get(SPACE, E).key.run_id == NEW


def test_reset_when_another_run_has_followed_then_it_is_refused(place: Place) -> None:
    """Its history is another one, and the run that is named was made before."""
    run = place.start(execution_id=E)
    place.engine.resets.reset(SPACE, E, ResetRequest(None, new_run_id=NEW, only_run=run.run_id))
    again = ExecutionContinuedAsNew(seq=1, run_id=RunId("next"), input=None)
    place.commit(place.engine.executions.get(SPACE, E).key, 1, again)
    with pytest.raises(NotApplicable, match="gone on as run next"):
        place.engine.resets.reset(SPACE, E, ResetRequest(None, new_run_id=NEW, only_run=run.run_id))
    assert place.engine.executions.get(SPACE, E).key.run_id == "next"


def test_reset_when_no_event_is_named_then_the_last_point_counts(place: Place) -> None:
    """Of a closed run the one before its last step."""
    run = place.start(execution_id=E)
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}))
    place.commit(run, 2, ExecutionCompleted(seq=2, result=1), commit_id="d")
    place.engine.resets.reset(SPACE, E, ResetRequest(None))
    reset = place.engine.executions.get(SPACE, E).start.reset
    assert reset
    assert (reset.event_id, reset.batches) == (2, 1)


def test_rerun_when_its_id_has_to_be_new_then_one_that_has_ended_is_not_taken_again(place: Place) -> None:
    """A repeat would start it a second time otherwise, as it may have ended by then."""
    place.start(execution_id=E, input={"a": 1})
    request = StartRequest(execution_id="again", is_id_new=True)
    run = place.engine.executions.rerun(SPACE, E, request).key
    place.clock.advance(timedelta(minutes=1).total_seconds())
    place.commit(run, 1, ExecutionCompleted(seq=1, result=1))
    with pytest.raises(AlreadyRunning):
        place.engine.executions.rerun(SPACE, E, request)
    assert place.engine.executions.get(SPACE, "again").key == run
