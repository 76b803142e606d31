"""Records of the stream: what becomes of those that fail, whose they are, and which traces are exported."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from levante_core.domain.dispatch.plan import Effect
from levante_core.domain.executions.execution import RunKey
from levante_core.errors import NotFound, Unavailable
from levante_core.ports.item_store import Delete
from levante_core.ports.queues import OutgoingMessage
from levante_core.protocol.workers import TaskQueue
from levante_core.storage import keys
from levante_core.storage.parked import NOBODY
from levante_dispatcher.changes import MOST_TRIES
from levante_dispatcher.handlers import DispatcherHandlers
from tests.support.place import POOL, SPACE, Place
from tests.unit.dispatcher.feeding import event, new_records, parked, poisoned


def down(queue: str, _: Sequence[OutgoingMessage]) -> None:
    raise Unavailable(f"{queue} is down")


def traced(spans: Sequence[bytes]) -> list[list[str]]:
    """Return the ids of executions, as each request names them."""
    return [sorted(set(re.findall(r"begins|ends-\d", request.decode()))) for request in spans]


class TestTraces:
    def closed(self, place: Place, count: int) -> tuple[list[RunKey], list[dict[str, Any]]]:
        """End executions. Returns their runs, and the records that say so."""
        runs = [place.start(execution_id=f"ends-{number}") for number in range(count)]
        new_records(place)
        for run in runs:
            place.engine.closing.terminate(SPACE, run.execution_id)
        return runs, new_records(place)

    def test_traces_when_a_batch_goes_through_then_those_of_the_runs_that_ended_leave_in_one_request(
        self, place: Place, handlers: DispatcherHandlers, spans: list[bytes]
    ) -> None:
        """Runs that begin, or go on, are not exported."""
        _, records = self.closed(place, 2)
        place.start(execution_id="begins")
        handlers.stream(event([*records, *new_records(place)]), None)
        assert traced(spans) == [["ends-0", "ends-1"]]

    def test_traces_when_a_record_is_poison_then_those_of_the_others_leave_and_its_own_once_it_goes_through(
        self, place: Place, handlers: DispatcherHandlers, spans: list[bytes]
    ) -> None:
        """A trace is exported with what its record asks for, whenever that is done."""
        _, records = self.closed(place, 3)
        handlers.stream(event([records[0], poisoned(records[1]), records[2]]), None)
        assert traced(spans) == [["ends-0", "ends-2"]]
        place.clock.advance(60)
        handlers.sweep({}, None)
        assert traced(spans) == [["ends-0", "ends-2"], ["ends-1"]]
        assert parked(place) == []


@pytest.mark.usefixtures("_only_parked")
class TestAgain:
    def test_record_when_it_cannot_be_read_then_what_its_item_asks_for_by_now_is_done(
        self, place: Place, handlers: DispatcherHandlers
    ) -> None:
        """Whoever mends the item mends the record."""
        run = place.start()
        handlers.stream(event([poisoned(record) for record in new_records(place)]), None)
        assert place.tasks(TaskQueue.WORKFLOW) == []
        place.clock.advance(60)
        assert handlers.sweep({}, None) == {"parked": 1}
        assert [task.run_id for task in place.tasks(TaskQueue.WORKFLOW)] == [run.run_id]
        assert parked(place) == []

    def test_record_when_it_asked_for_nothing_then_it_asks_for_nothing_once_it_is_mended(
        self, place: Place, handlers: DispatcherHandlers
    ) -> None:
        """A change is what an item was and what it is: the first task of a run is not sent again at any later change."""
        place.start()
        (record,) = new_records(place)
        handlers.stream(event([record]), None)
        place.lose_messages()
        place.clock.advance(600)
        image = record["dynamodb"]["NewImage"]
        damaged = {name: value for name, value in image.items() if name != "a.run_id"}
        later = {"eventID": "later", "dynamodb": {**record["dynamodb"], "OldImage": image, "NewImage": damaged}}
        handlers.stream(event([later]), None)
        assert len(parked(place)) == 1
        place.clock.advance(60)
        handlers.sweep({}, None)
        assert parked(place) == []
        assert place.tasks(TaskQueue.WORKFLOW) == []

    def test_record_when_it_cannot_be_read_and_its_item_is_gone_then_it_stays_parked(
        self, place: Place, handlers: DispatcherHandlers
    ) -> None:
        """Nobody can say what it asked for, so nobody may say that it was done."""
        run = place.start()
        handlers.stream(event([poisoned(record) for record in new_records(place)]), None)
        place.store.write(Delete(keys.execution(SPACE, run.execution_id)))
        place.clock.advance(60)
        handlers.sweep({}, None)
        assert [one.count for one in parked(place)] == [2]

    def test_record_when_the_queue_is_down_then_it_stays_parked_until_it_is_up(
        self, place: Place, handlers: DispatcherHandlers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An outage uses up none of its tries."""
        run = place.start()
        handlers.stream(event([poisoned(record) for record in new_records(place)]), None)
        with monkeypatch.context() as patched:
            patched.setattr(place.queues, "send", down)
            place.clock.advance(60)
            handlers.sweep({}, None)
        (one,) = parked(place)
        assert "is down" in one.error
        place.clock.advance(3600)
        handlers.sweep({}, None)
        assert [task.run_id for task in place.tasks(TaskQueue.WORKFLOW)] == [run.run_id]
        assert parked(place) == []


class TestOutage:
    @pytest.fixture(autouse=True)
    def _down(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(place.queues, "send", down)

    def test_batch_when_it_is_of_two_executions_then_it_comes_again_for_as_long_as_all_is_down(
        self, place: Place, handlers: DispatcherHandlers
    ) -> None:
        """What is down for two executions is no record's fault."""
        for name in ("a", "b"):
            place.start(execution_id=name)
        records = new_records(place)
        for _ in range(MOST_TRIES + 1):
            with pytest.raises(Unavailable):
                handlers.stream(event(records), None)
        assert parked(place) == []

    def test_batch_when_it_is_of_one_execution_then_its_own_tries_count_and_nobody_elses(
        self, place: Place, handlers: DispatcherHandlers
    ) -> None:
        """The tries of another batch say nothing about this one."""
        batches = []
        for name in ("a", "b"):
            place.start(execution_id=name)
            batches.append(event(new_records(place)))
        for batch in [batches[0], batches[1]] * MOST_TRIES:
            with pytest.raises(Unavailable):
                handlers.stream(batch, None)
        for _ in range(MOST_TRIES - 2):
            with pytest.raises(Unavailable):
                handlers.stream(batches[1], None)
        assert parked(place) == []
        handlers.stream(batches[1], None)
        assert [one.owner.execution_id for one in parked(place)] == ["b"]


class TestOwners:
    """What fails is parked in the name of whom it belongs to, as far as anything of it says so."""

    @pytest.fixture(autouse=True)
    def _failing(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: object, effects: Iterable[Effect]) -> None:
            raise NotFound(f"of {len(list(effects))} effects")

        monkeypatch.setattr(type(place.engine.effects), "carry_out", fail)

    def test_owner_when_an_item_was_deleted_then_it_is_as_before(self, place: Place, handlers: DispatcherHandlers) -> None:
        """A deletion has no image but that of before."""
        run = place.start()
        new_records(place)
        place.store.write(Delete(keys.execution(SPACE, run.execution_id)))
        handlers.stream(event(new_records(place)), None)
        (one,) = parked(place)
        owner = one.owner
        assert (owner.run, owner.pool) == (run, POOL)

    @pytest.mark.parametrize("keys_", [None, {}, {"pk": {"S": "X"}}, {"pk": {}, "sk": {}}])
    def test_owner_when_the_key_is_damaged_then_the_attributes_say_it(
        self, place: Place, handlers: DispatcherHandlers, keys_: object
    ) -> None:
        """One bad record holds up no other one, and is listed where somebody looks for it."""
        run = place.start()
        (record,) = new_records(place)
        record["dynamodb"]["Keys"] = keys_
        handlers.stream(event([record]), None)
        assert [one.owner.run for one in parked(place)] == [run]

    @pytest.mark.parametrize("data", [None, {}, {"NewImage": None}, {"NewImage": "no image"}])
    def test_owner_when_nothing_can_be_read_then_it_is_nobodys_and_the_others_are_handled(
        self, place: Place, handlers: DispatcherHandlers, data: object
    ) -> None:
        """Every admin sees it."""
        handlers.stream(event([{"eventID": "1", "dynamodb": data}]), None)
        assert [one.owner.workspace for one in parked(place)] == [NOBODY]
