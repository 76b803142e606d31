"""Steps of batch jobs that do not come to their end: something is unavailable, messages are lost, processes end."""

from contextlib import suppress

import pytest

from levante_core.domain.batch_jobs.job import MOST_BEGINNINGS, MOST_TRIES, PAGE
from levante_core.domain.names import Workspace
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Put, Update
from levante_core.storage import keys
from tests.support.place import SPACE
from tests.support.races import races
from tests.unit.core.services.batch_jobs.driven import CANCEL, Driven, Killed, fails, is_of_the_job


def test_job_when_something_is_unavailable_then_it_waits_longer_each_time_and_others_come_first(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done before is written; a throttle slows a job, and one execution does not stop it."""
    driven.executions(3)
    tried = fails(driven, monkeypatch, "e1", Unavailable("busy"))
    driven.start(CANCEL)
    pauses = []
    while driven.job().is_running:
        driven.work()
        pauses.append((driven.job().progress.due_at - driven.place.clock.now()).total_seconds())
        driven.place.clock.advance(100)
    assert pauses == [2, 4, 8, 16, 0]
    assert tried == ["e0", *["e1"] * MOST_TRIES, "e2"]
    assert driven.counts() == (3, 2, 1, {})


def test_job_when_what_was_unavailable_comes_back_then_it_goes_on_as_before(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tries are of one execution."""
    driven.executions(3)
    with monkeypatch.context() as patched:
        fails(driven, patched, "e1", Unavailable("busy"))
        driven.start(CANCEL)
        driven.work()
        assert driven.job().progress.tries == 1
    driven.place.clock.advance(2)
    driven.work()
    assert (driven.job().progress.tries, driven.counts()) == (0, (3, 3, 0, {}))


def test_execution_when_anything_else_goes_wrong_then_only_it_fails(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of our own, for example: its message may hold payloads, so only its kind is kept."""
    driven.executions(2)
    fails(driven, monkeypatch, "e0", ZeroDivisionError("a secret"))
    assert driven.run(CANCEL) == (2, 1, 1, {})
    (failure,), _ = driven.place.engine.batch_jobs.failures(SPACE, "b1", 0, 10)
    assert failure.reason == "ZeroDivisionError"


@races("steps.revive progress_update")
def test_message_when_it_is_lost_then_the_sweep_asks_again(driven: Driven) -> None:
    """Within some minutes. A step that is heard of meanwhile needs nobody's help."""
    driven.executions(2)
    driven.start(CANCEL)
    (body,) = driven.messages()  # and it is lost
    driven.place.clock.advance(119)
    driven.place.engine.due.sweep()
    assert driven.messages() == []
    driven.place.clock.advance(2)
    with driven.place.racing.before_write(lambda: driven.place.engine.due.handle(body), of=is_of_the_job):
        driven.place.engine.due.sweep()
    assert (driven.counts(), driven.messages()) == ((2, 2, 0, {}), [])


def test_message_when_the_feed_has_lost_it_too_then_the_sweep_takes_the_job_to_its_end(driven: Driven) -> None:
    """One execution at a time at first, as the step may have ended its process."""
    driven.executions(PAGE + 10)
    driven.start(CANCEL)
    driven.messages()
    driven.place.clock.advance(121)
    driven.place.engine.due.sweep()
    assert driven.work() == PAGE + 1
    assert driven.counts() == (PAGE + 10, PAGE + 10, 0, {})


@races("steps.step progress_update")
def test_execution_when_it_ends_the_process_each_time_then_it_fails_and_the_others_are_acted_on(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its history may be too large for the memory that there is."""
    driven.executions(3)
    tried = fails(driven, monkeypatch, "e1", Killed())
    driven.start(CANCEL)
    for _ in range(10):
        with suppress(Killed):
            driven.work()
        driven.place.clock.advance(121)
        driven.place.engine.due.sweep()
        for body in [body for body in driven.place.due() if "batch_job_due" in body]:
            with suppress(Killed):
                driven.place.engine.due.handle(body)
    driven.work()
    assert tried.count("e1") == 1 + MOST_BEGINNINGS
    assert driven.counts() == (3, 2, 1, {})


def test_step_when_a_careful_one_comes_twice_then_one_of_them_begins(driven: Driven) -> None:
    """The other one was slower."""
    driven.executions(1)
    driven.start(CANCEL)
    driven.messages()
    driven.place.clock.advance(121)
    driven.place.engine.due.sweep()
    (body,) = driven.messages()
    with driven.place.racing.before_write(lambda: driven.place.engine.due.handle(body), of=is_of_the_job):
        driven.place.engine.due.handle(body)
    assert driven.counts() == (1, 1, 0, {})


def test_redrive_when_queues_are_new_then_running_jobs_go_on(driven: Driven) -> None:
    """Each in its workspace; what cannot be read is left to the sweep, which parks it."""
    driven.executions(1)
    driven.start(CANCEL)
    driven.start(CANCEL, batch_id="b2")
    driven.messages()
    driven.place.store.write(Update(keys.batch_job(SPACE, "b2"), set_documents={"request": "{"}))
    driven.place.engine.redrive.redrive_page(Workspace("another"), None)
    assert driven.place.due() == []
    driven.place.engine.redrive.redrive_page(SPACE, None)
    assert len(driven.messages()) == 1
    driven.place.engine.redrive.redrive()
    (body,) = driven.messages()
    driven.place.engine.due.handle(body)
    assert driven.counts() == (1, 1, 0, {})


def test_job_when_it_cannot_be_read_then_it_is_parked_and_others_go_on(driven: Driven) -> None:
    """Until somebody mends it: then it goes on where it was."""
    driven.executions(1)
    driven.start(CANCEL)
    driven.messages()
    key = keys.batch_job(SPACE, "b1")
    good = driven.place.store.get(key)
    assert good
    driven.place.store.write(Update(key, set_documents={"request": "{"}))
    driven.place.clock.advance(121)
    driven.place.engine.due.sweep()
    (parked,) = driven.place.engine.parking.list(SPACE, 10, None).items
    assert "document 'request'" in parked.error
    driven.place.store.write(Put(good))
    driven.place.engine.parking.retry(SPACE, parked.parked_id)
    driven.place.engine.parking.retry_due(lambda _, content: driven.place.engine.due.handle(content))
    assert driven.counts() == (1, 1, 0, {})
