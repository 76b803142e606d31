"""Signals and updates that are sent under an id: accepted once, however often they come."""

import threading
from datetime import timedelta

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ExecutionCompleted, ExecutionContinuedAsNew, MessagesTaken, UpdateCompleted
from levante_core.domain.names import ExecutionId, RunId
from levante_core.errors import NotFound, NotRunning, ResultNotReady, Unavailable
from levante_core.protocol import HandlerSpec, WorkflowSpec
from levante_core.protocol.workers import CommitOutcome, RegisterRequest
from levante_core.services.messages.accept import MessageService
from levante_core.storage import keys
from tests.support.faults import Fate, FaultyStore, OneFault, Operations
from tests.support.place import DEPLOYMENT, SPACE, Place


def begun(place: Place) -> RunKey:
    """Start an execution of a workflow that has a signal and an update."""
    run = place.start(execution_id="e")
    handler = HandlerSpec(name="h", input_schema={})
    spec = WorkflowSpec(
        name="w",
        task_queue="d",
        input_schema={},
        execution_timeout=timedelta(hours=1),
        signals=(handler,),
        updates=(handler,),
    )
    place.engine.catalogue.register(SPACE, RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w"))
    return run


def mail_count(place: Place) -> int:
    return place.engine.executions.get(SPACE, "e").mail_count


def test_signal_when_its_id_is_older_than_a_month_then_the_id_means_nothing_any_more(place: Place) -> None:
    """What recognises repeats is deleted long after anybody repeats; it would pile up in executions that go on for years."""
    begun(place)
    place.engine.messages.signal(SPACE, "e", "h", {}, request_id="one")
    for known, days in ((True, 29), (False, 2)):
        place.clock.advance(days * 86400)
        place.store.delete_expired(place.clock.now(), 10)
        assert (place.store.get(keys.accepted(SPACE, ExecutionId("e"), "one")) is not None) is known


def test_signal_when_it_comes_again_under_its_id_then_nothing_happens(place: Place) -> None:
    """Also when the execution is closed by now; another id, or none, is another signal."""
    run = begun(place)
    signal = place.engine.messages.signal
    for request_id in ("one", "one", "two", None, None):
        signal(SPACE, "e", "h", {}, request_id=request_id)
    assert mail_count(place) == 4
    assert (
        place.commit(run, 1, MessagesTaken(until=4), ExecutionCompleted(seq=1, result=None), taken_until=4)
        is CommitOutcome.RECORDED
    )
    signal(SPACE, "e", "h", {}, request_id="one")
    with pytest.raises(NotRunning):
        signal(SPACE, "e", "h", {}, request_id="three")


def test_update_when_it_comes_again_then_it_gets_the_answer_to_the_first(place: Place) -> None:
    """Whether that is there already or not, and in whatever run it was answered."""
    run = begun(place)

    def update() -> object:
        return place.engine.messages.update(SPACE, "e", "h", {}, 0, request_id="one")

    with pytest.raises(ResultNotReady):
        update()
    with pytest.raises(ResultNotReady):
        update()
    assert mail_count(place) == 1
    answer = UpdateCompleted(seq=1, update=1, result="the answer")
    again = ExecutionContinuedAsNew(seq=2, run_id=RunId("next"), input=None, mail_taken=1)
    assert place.commit(run, 1, MessagesTaken(until=1), answer, again, taken_until=1) is CommitOutcome.RECORDED
    assert update() == "the answer"
    assert mail_count(place) == 0


def test_signals_when_sent_at_once_under_one_id_then_one_is_accepted(place: Place) -> None:
    """The condition on the id decides, not the look before."""
    begun(place)
    senders = [
        threading.Thread(target=place.engine.messages.signal, args=(SPACE, "e", "h", {}), kwargs={"request_id": "one"})
        for _ in range(8)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(30)
    assert mail_count(place) == 1


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.UNANSWERED])
def test_signal_when_its_write_has_no_answer_then_a_repeat_makes_sure(place: Place, fate: Fate) -> None:
    """Which is what ids are for."""
    begun(place)
    engine = place.engine
    store = FaultyStore(engine.streams._store, Operations("messages", OneFault("write", 1, fate, is_armed=True)))
    mortal = MessageService(
        store,
        place.clock,
        engine.messages._watch,
        dispatch=engine.dispatch,
        checks=engine.messages._checks,
        conflicts=place.conflicts,
    )
    with pytest.raises(Unavailable):
        mortal.signal(SPACE, "e", "h", {}, request_id="one")
    engine.messages.signal(SPACE, "e", "h", {}, request_id="one")
    assert mail_count(place) == 1


def test_signal_when_the_handler_is_unknown_then_no_id_is_used_up(place: Place) -> None:
    """What was refused can be sent again, corrected."""
    begun(place)
    with pytest.raises(NotFound):
        place.engine.messages.signal(SPACE, "e", "unknown", {}, request_id="one")
    place.engine.messages.signal(SPACE, "e", "h", {}, request_id="one")
    assert mail_count(place) == 1
