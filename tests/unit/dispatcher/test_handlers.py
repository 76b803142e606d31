"""The dispatcher's handlers: what a sweep does although a part of it fails, and how parked items are tried again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from levante_core.domain.dispatch.tasks import DELAYED, TimerDue
from levante_core.domain.history.events import TimerFired, TimerStarted
from levante_core.domain.names import Workspace
from levante_core.errors import InconsistentHistory, Unavailable
from levante_core.protocol.workers import TaskQueue
from levante_core.services.dispatch.parking import Parking
from levante_core.services.dispatch.repair import RepairService
from levante_core.services.dispatch.timers import DueService
from levante_core.storage.parked import Owner, ParkedKind, owner_of_item
from levante_dispatcher.handlers import DispatcherHandlers, without_halving
from tests.support.place import POOL, SPACE, Place
from tests.unit.dispatcher.feeding import event, item_of_run, new_records, parked

PROBLEM = InconsistentHistory("batch 7 is where batch 3 should be")
PARTS = {"due": (DueService, "sweep"), "parked": (Parking, "retry_due"), "repair": (RepairService, "sweep")}
MINUTES = timedelta(minutes=5)


def messages(*bodies: str) -> dict[str, Any]:
    """Return messages of the timers queue as the local host hands them over."""
    return {"Records": [{"messageId": f"m{number}", "body": body} for number, body in enumerate(bodies)]}


class TestSweep:
    @pytest.mark.parametrize("bad", [["due"], ["parked"], ["repair"], ["due", "parked"], list(PARTS)], ids="-".join)
    def test_sweep_when_some_of_its_parts_fail_then_the_others_are_done_and_it_says_so(
        self, handlers: DispatcherHandlers, monkeypatch: pytest.MonkeyPatch, bad: list[str]
    ) -> None:
        """None of the parts waits for another, and whoever called hears that not all is done."""
        done: list[str] = []

        def part(name: str) -> Callable[..., object]:
            def do(*_: object) -> object:
                done.append(name)
                if name in bad:
                    raise ValueError(name)
                return None

            return do

        for name, (service, method) in PARTS.items():
            monkeypatch.setattr(service, method, part(name))
        with pytest.raises(ValueError, match=bad[-1]):
            handlers.sweep({}, None)
        assert done == ["due", "parked", "repair"]

    def test_sweep_when_all_goes_well_then_it_says_how_much_is_parked(
        self, place: Place, handlers: DispatcherHandlers
    ) -> None:
        """An alarm goes off at that number."""
        assert handlers.sweep({}, None) == {"parked": 0}
        for number in range(3):
            place.engine.parking.park(ParkedKind.TIMER, Owner(SPACE), f"no JSON {number}", PROBLEM)
        assert handlers.sweep({}, None) == {"parked": 3}


@pytest.mark.usefixtures("_only_parked")
class TestRetries:
    """A sweep tries each kind again in the way of the loop that met it; what goes through is parked no longer."""

    def sweep(self, place: Place, handlers: DispatcherHandlers) -> None:
        place.clock.advance(60)
        handlers.sweep({}, None)

    def test_deadline_when_it_is_tried_again_then_the_run_ends(self, place: Place, handlers: DispatcherHandlers) -> None:
        """An execution ends at its timeout, however late."""
        run = place.start(timeout=MINUTES)
        place.engine.parking.park_run(ParkedKind.DEADLINE, item_of_run(place, run), PROBLEM)
        place.clock.advance(MINUTES.total_seconds())
        self.sweep(place, handlers)
        assert place.status(run) == "TIMED_OUT"
        assert parked(place) == []

    def test_run_when_it_is_tried_again_then_what_it_needs_is_sent(self, place: Place, handlers: DispatcherHandlers) -> None:
        """An open run always has something that will move it."""
        run = place.start()
        place.engine.parking.park_run(ParkedKind.RUN, item_of_run(place, run), PROBLEM)
        self.sweep(place, handlers)
        assert place.status(run) == "RUNNING"
        assert [task.run_id for task in place.tasks(TaskQueue.WORKFLOW)] == [run.run_id]
        assert parked(place) == []

    def test_task_when_it_is_tried_again_then_it_is_in_its_queue_and_to_be_verified(
        self, place: Place, handlers: DispatcherHandlers
    ) -> None:
        """By then it may be stale."""
        run = place.start()
        handlers.stream(event(new_records(place)), None)
        (body,) = place.emptied(TaskQueue.WORKFLOW)
        owner = owner_of_item(item_of_run(place, run))
        place.engine.parking.park(ParkedKind.TASK, owner, body, PROBLEM)
        self.sweep(place, handlers)
        assert [(task.run_id, task.verify) for task in place.tasks(TaskQueue.WORKFLOW)] == [(run.run_id, True)]
        assert parked(place) == []

    def test_timer_when_it_is_tried_again_then_it_fires(self, place: Place, handlers: DispatcherHandlers) -> None:
        """It fires once, and the run goes on."""
        run = place.start()
        new_records(place)
        fires_at = place.clock.now() + timedelta(seconds=30)
        place.commit(run, 1, TimerStarted(seq=1, fire_at=fires_at))
        due = TimerDue(
            workspace=run.workspace,
            execution_id=run.execution_id,
            run_id=run.run_id,
            deployment_name=POOL,
            fresh_at=fires_at,
            seq=1,
        )
        place.engine.due.park(DELAYED.dump_json(due).decode(), PROBLEM)
        self.sweep(place, handlers)
        assert parked(place) == []
        assert [type(fact.input) for fact in place.load(run).facts] == [TimerFired]

    @pytest.mark.parametrize("kind", ["later", "deadline", "run"])
    def test_item_when_this_version_cannot_try_it_again_then_it_stays_in_sight_and_says_what_to_do(
        self, place: Place, handlers: DispatcherHandlers, kind: str
    ) -> None:
        """What is not understood is not done: of a later version, or for a run that is not named."""
        place.engine.parking.park(cast("ParkedKind", kind), Owner(Workspace(SPACE)), "content", PROBLEM)
        self.sweep(place, handlers)
        (one,) = parked(place)
        assert one.error == f"InconsistentHistory: this version cannot try a parked {kind!r} again: upgrade, or drop it"


class TestTimers:
    def test_messages_when_all_are_unavailable_then_all_are_named_and_nothing_is_raised(
        self, place: Place, handlers: DispatcherHandlers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They come again, each after its own time; the local host does not say how often they came, so none is parked."""
        self._broken(monkeypatch, Unavailable("throttled"))
        for _ in range(10):
            answer = handlers.timers(messages("a", "b"), None)
            assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}, {"itemIdentifier": "m1"}]}
        assert parked(place) == []

    def test_message_when_something_else_is_wrong_then_it_is_parked_at_once_and_not_named(
        self, place: Place, handlers: DispatcherHandlers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A bug is not mended by a repeat."""
        self._broken(monkeypatch, ValueError("a bug"))
        body = '{"workspace": "s"}'
        assert handlers.timers(messages(body), None) == {"batchItemFailures": []}
        assert [(one.kind, one.owner.workspace) for one in parked(place)] == [("timer", SPACE)]

    def test_message_when_it_cannot_even_be_parked_then_it_comes_again(
        self, handlers: DispatcherHandlers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is lost while the table is down."""
        self._broken(monkeypatch, ValueError("a bug"))
        self._broken(monkeypatch, Unavailable("throttled"), "park")
        answer = handlers.timers(messages("a"), None)
        assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}

    def _broken(self, monkeypatch: pytest.MonkeyPatch, error: Exception, method: str = "handle") -> None:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(DueService, method, fail)


class TestHalving:
    RECORDS = event([{"dynamodb": {"SequenceNumber": "7"}}, {"dynamodb": {"SequenceNumber": "8"}}])

    def test_batch_when_nothing_gets_through_then_the_answer_names_its_first_record(self) -> None:
        """Lambda then hands it over again whole."""

        def down(_: object, __: object) -> dict[str, Any]:
            raise Unavailable("down")

        assert without_halving(down)(self.RECORDS, None) == {"batchItemFailures": [{"itemIdentifier": "7"}]}

    def test_batch_when_the_handler_has_a_bug_then_lambda_hears_of_it(self) -> None:
        """An error that is no outage is one of the function: it has to be seen as such."""

        def broken(_: object, __: object) -> dict[str, Any]:
            raise ValueError("a bug")

        with pytest.raises(ValueError, match="a bug"):
            without_halving(broken)(self.RECORDS, None)

    def test_batch_when_it_goes_through_then_the_answer_is_the_handlers(self) -> None:
        """Of records that failed alone, too."""
        answer = {"batchItemFailures": [{"itemIdentifier": "8"}]}
        assert without_halving(lambda _, __: answer)(self.RECORDS, None) == answer
