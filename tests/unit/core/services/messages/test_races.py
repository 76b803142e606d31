"""Messages when something else happens between what was read of their run and their write: none is lost or doubled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, repeat

import pytest

from levante_core.domain.executions.execution import Execution, RunKey
from levante_core.domain.history.events import (
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    MessagesTaken,
    TimerStarted,
    UpdateCompleted,
)
from levante_core.domain.history.run_messages import CancelRequested
from levante_core.domain.names import ExecutionId, RunId
from levante_core.errors import NotRunning, ResultNotReady
from levante_core.ports.item_store import Delete, Put, Query
from levante_core.protocol import HandlerSpec, WorkflowSpec
from levante_core.protocol.workers import CommitOutcome, QueryAnswer, QueryRequest, RegisterRequest, TaskQueue
from levante_core.services.history.commits import MESSAGES_HELD_FOR
from levante_core.services.messages.accept import MessageService
from levante_core.storage import keys
from levante_core.storage.queries import query_item
from tests.fakes import FakeClock
from tests.support.place import DEPLOYMENT, SPACE, Place
from tests.support.races import races

E = ExecutionId("e")
NEXT = RunId("next")
TIMER = TimerStarted(seq=1, fire_at=FakeClock().now())


@dataclass
class ScriptedWatch:
    """A watch that lets all of the time pass that somebody waits for; what happens meanwhile is written down before."""

    clock: FakeClock
    meanwhile: Iterator[Callable[[], object]]

    @contextmanager
    def watch(self, *_: str) -> Iterator["ScriptedWatch"]:
        """See ChangeWatch."""
        yield self

    def wait(self, seconds: float) -> None:
        """See Watched."""
        next(self.meanwhile)()
        self.clock.advance(seconds)

    def has_changed(self) -> bool:
        """See Watched."""
        return True


def messages(place: Place, *meanwhile: Callable[[], object]) -> MessageService:
    """Accept messages with the place's store. meanwhile: what happens while somebody waits, in turn."""
    messages = place.engine.messages
    watch = ScriptedWatch(place.clock, chain(meanwhile, repeat(lambda: None)))
    return MessageService(
        place.racing, place.clock, watch, dispatch=messages._dispatch, checks=messages._checks, conflicts=place.conflicts
    )


@pytest.fixture
def run(place: Place) -> RunKey:
    """Start an execution of a workflow that has a handler of each kind."""
    handler = HandlerSpec(name="h", input_schema={})
    spec = WorkflowSpec(
        name="w",
        task_queue="d",
        input_schema={},
        execution_timeout=timedelta(hours=1),
        signals=(handler,),
        updates=(handler,),
        queries=(handler,),
    )
    started = place.start(execution_id=E)
    place.engine.catalogue.register(SPACE, RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w"))
    return started


def asked(run: RunKey) -> Put:
    """Ask a query of the run."""
    return Put(query_item(run, QueryRequest(query_id="q", name="h", input={}), 2**40))


def latest(place: Place) -> Execution:
    return place.engine.executions.get(SPACE, E)


def messages_of(place: Place, run: RunKey) -> list[str]:
    """Return the kinds of the messages of a run, by their numbers."""
    return [fact.input.kind for fact in place.load(run).facts]


def continue_as_new(place: Place, run: RunKey, index: int = 1, taken: int = 0) -> None:
    events = [MessagesTaken(until=taken)] if taken else []
    event = ExecutionContinuedAsNew(seq=5, run_id=NEXT, input=None, mail_taken=taken)
    assert place.commit(run, index, *events, event, taken_until=taken) is CommitOutcome.RECORDED


def signal(place: Place, request_id: str | None = None) -> None:
    place.engine.messages.signal(SPACE, E, "h", {}, request_id)


# --- accepting --------------------------------------------------------------------------------------------------------


@races("accept._accept open_run")
@pytest.mark.parametrize("send", [signal, lambda place: place.engine.messages.cancel(SPACE, E)], ids=["signal", "cancel"])
def test_message_when_the_run_ends_meanwhile_then_its_sender_hears_so(
    place: Place, run: RunKey, send: Callable[[Place], None]
) -> None:
    """What nobody will ever take is not accepted."""
    with (
        place.racing.before_write(lambda: place.engine.closing.terminate(SPACE, E)),
        pytest.raises(NotRunning, match="TERMINATED"),
    ):
        send(place)
    assert (latest(place).mail_count, messages_of(place, run)) == (0, [])


@races("accept._accept open_run")
def test_signal_when_the_run_continues_as_new_meanwhile_then_the_new_run_gets_it(place: Place, run: RunKey) -> None:
    """Both runs are open, with as many messages: only the run's id tells them apart."""
    with place.racing.before_write(lambda: continue_as_new(place, run)):
        signal(place)
    new = latest(place)
    assert (new.key.run_id, new.mail_count) == (NEXT, 1)
    assert (messages_of(place, new.key), messages_of(place, run)) == (["signal_received"], [])


@races("accept._accept open_run", "accept._accept Absent")
def test_signals_when_another_comes_meanwhile_then_each_has_its_own_number(place: Place, run: RunKey) -> None:
    """Two senders read the same count; the second of them counts anew."""
    with place.racing.before_write(lambda: place.engine.messages.cancel(SPACE, E)):
        signal(place)
    assert (latest(place).mail_count, messages_of(place, run)) == (2, ["cancel_requested", "signal_received"])


@races("accept._accept open_run")
@pytest.mark.parametrize("ends", [True, False])
def test_signal_when_messages_are_held_meanwhile_then_it_waits_for_the_end_or_for_its_time(
    place: Place, run: RunKey, *, ends: bool
) -> None:
    """A run that reads its last messages in order to end could not end if more came all the time."""
    signal(place)
    end = ExecutionCompleted(seq=1, result=None)
    held_at = place.clock.now()

    def end_run() -> None:
        assert latest(place).mail_count == 1, "none is accepted meanwhile"
        if ends:
            assert place.commit(run, 1, MessagesTaken(until=1), end, taken_until=1) is CommitOutcome.RECORDED

    with place.racing.before_write(lambda: place.commit(run, 1, end, taken_until=0)):
        try:
            messages(place, end_run).signal(SPACE, E, "h", {})
        except NotRunning:
            assert ends
    assert latest(place).mail_count == (1 if ends else 2)
    assert place.clock.now() - held_at >= MESSAGES_HELD_FOR


@races("accept._accept Absent 2")
def test_signal_when_its_repeat_comes_meanwhile_then_it_is_accepted_once(place: Place, run: RunKey) -> None:
    """A client that gave up waiting sends again while the first request is still on its way."""
    with place.racing.before_write(lambda: signal(place, "one")):
        signal(place, "one")
    assert (latest(place).mail_count, messages_of(place, run)) == (1, ["signal_received"])


@races("accept._accept Absent 2")
def test_signal_when_its_repeat_was_taken_into_a_new_run_meanwhile_then_it_is_accepted_once(
    place: Place, run: RunKey
) -> None:
    """The new run looks as if nothing was ever sent; what is kept of the id tells otherwise."""

    def accept_and_continue() -> None:
        signal(place, "one")
        continue_as_new(place, run, taken=1)

    executions = keys.execution(SPACE, E).partition
    with place.racing.before_read(accept_and_continue, executions, nth=2):
        signal(place, "one")
    assert (latest(place).key.run_id, latest(place).mail_count) == (NEXT, 0)


@races("accept._accept open_run")
def test_cancels_when_another_comes_meanwhile_then_the_code_is_asked_once(place: Place, run: RunKey) -> None:
    """A second request would reach the code that cleans up after the first, and interrupt it."""
    with place.racing.before_write(lambda: place.engine.messages.cancel(SPACE, E)):
        place.engine.messages.cancel(SPACE, E)
    assert (latest(place).mail_count, messages_of(place, run)) == (1, ["cancel_requested"])


@races("accept._accept open_run")
def test_cancel_when_the_run_continues_as_new_with_a_request_meanwhile_then_the_code_is_asked_once(
    place: Place, run: RunKey
) -> None:
    """A request that the old run has not taken is one to the new run."""

    def cancel_and_continue() -> None:
        place.engine.messages.cancel(SPACE, E)
        continue_as_new(place, run)

    with place.racing.before_write(cancel_and_continue):
        place.engine.messages.cancel(SPACE, E)
    assert (latest(place).mail_count, messages_of(place, latest(place).key)) == (1, ["cancel_requested"])


@races("accept._accept open_run")
def test_cancel_when_a_request_was_taken_by_the_run_before_then_the_new_run_is_asked_too(place: Place, run: RunKey) -> None:
    """The old run went on as new in spite of the first request; this one is another."""

    def cancel_and_continue() -> None:
        place.engine.messages.cancel(SPACE, E)
        continue_as_new(place, run, taken=1)

    with place.racing.before_write(cancel_and_continue):
        place.engine.messages.cancel(SPACE, E)
    (fact,) = place.load(latest(place).key).facts
    assert isinstance(fact.input, CancelRequested)


# --- updates ----------------------------------------------------------------------------------------------------------


@races("accept._accept open_run")
def test_update_when_the_run_continues_as_new_before_it_is_accepted_then_it_is_answered_by_the_new_run(
    place: Place, run: RunKey
) -> None:
    """Where the old run stood says nothing of the new one, whose history begins anew."""
    for index in (1, 2, 3):
        place.commit(run, index, TIMER.model_copy(update={"seq": index}))

    def answer() -> None:
        new = latest(place).key
        done = UpdateCompleted(seq=1, update=1, result="the answer")
        assert place.commit(new, 1, MessagesTaken(until=1), done, taken_until=1) is CommitOutcome.RECORDED

    with place.racing.before_write(lambda: continue_as_new(place, run, 4)):
        assert messages(place, answer).update(SPACE, E, "h", {}, 10) == "the answer"


def test_update_when_the_run_continues_as_new_before_it_is_taken_then_the_new_run_answers_under_its_new_number(
    place: Place, run: RunKey
) -> None:
    """Messages that the old run has not taken are numbered from 1 on in the new one."""
    signal(place)

    def answer() -> None:
        continue_as_new(place, run, taken=1)
        done = UpdateCompleted(seq=1, update=1, result="the answer")
        assert place.commit(latest(place).key, 1, MessagesTaken(until=1), done, taken_until=1) is CommitOutcome.RECORDED

    assert messages(place, answer).update(SPACE, E, "h", {}, 10) == "the answer"


def test_update_when_the_run_continues_as_new_after_it_took_it_then_its_sender_hears_so(place: Place, run: RunKey) -> None:
    """The new run knows nothing of it, and would never answer."""
    with pytest.raises(NotRunning, match="CONTINUED_AS_NEW"):
        messages(place, lambda: continue_as_new(place, run, taken=1)).update(SPACE, E, "h", {}, 10)


def test_update_when_the_run_ends_before_it_answers_then_its_sender_hears_how(place: Place, run: RunKey) -> None:
    """Also where the id has gone to another run by then."""

    def end() -> None:
        place.engine.closing.terminate(SPACE, E)
        place.start(execution_id=E)

    with pytest.raises(NotRunning, match="it is TERMINATED"):
        messages(place, end).update(SPACE, E, "h", {}, 10)


# --- queries ----------------------------------------------------------------------------------------------------------


@races("queries.take Matches")
def test_answer_when_the_query_is_given_up_meanwhile_then_nothing_is_left_of_it(place: Place, run: RunKey) -> None:
    """Nobody would ever read it."""
    place.racing.write(asked(run))
    place_of_query, answered = keys.query(run, "q"), keys.query_answer(run, "q")
    with place.racing.before_write(lambda: place.store.write(Delete(place_of_query))):
        place.engine.queries.take(run, [QueryAnswer(query_id="q", result=1)])
    assert (place.store.get(place_of_query), place.store.get(answered)) == (None, None)


@races("queries.take Matches")
def test_answer_when_another_worker_answers_meanwhile_then_the_first_answer_stands(place: Place, run: RunKey) -> None:
    """Several workers may hold the run; its caller reads one answer."""
    place.racing.write(asked(run))
    with place.racing.before_write(lambda: place.engine.queries.take(run, [QueryAnswer(query_id="q", result="first")])):
        place.engine.queries.take(run, [QueryAnswer(query_id="q", result="second")])
    item = place.store.get(keys.query_answer(run, "q"))
    assert item
    assert QueryAnswer.model_validate_json(item.documents["answer"]).result == "first"


def test_query_when_the_run_ends_before_it_is_asked_then_a_worker_is_told_again(place: Place, run: RunKey) -> None:
    """It may have taken the message that asks while the run was open; nothing of the query is left in the end."""

    def end() -> None:
        place.emptied(TaskQueue.WORKFLOW)
        place.engine.closing.terminate(SPACE, E)

    with (
        place.racing.before_write(end, of=lambda write: write.key.sort.startswith(keys.QUERY)),
        pytest.raises(ResultNotReady, match="no worker answered the query"),
    ):
        place.engine.queries.ask(SPACE, E, "h", {}, 0)
    assert [task.run_id for task in place.tasks(TaskQueue.WORKFLOW)] == [run.run_id, run.run_id]
    left = [item.key.sort for item in place.store.query(Query(keys.history(SPACE, run.run_id))).items]
    assert not [sort for sort in left if sort.startswith((keys.QUERY, keys.QUERY_ANSWER))]
