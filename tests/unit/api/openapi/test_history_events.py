"""The document describes each kind of event that a history may show, with the fields that it has then."""

import json
from functools import cache, partial
from typing import Any, get_args

import jsonschema_rs
import pytest
from pydantic import BaseModel

from levante_api.app import bare_document
from levante_core.domain.epoch import EPOCH
from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import OUTCOMES, FactTaken, HistoryEvent, MessagesTaken
from levante_core.domain.history.state import HistoryBatch
from levante_core.domain.streams.custom_tasks import TaskEvent, TaskPhase
from levante_core.ports.item_store import Put
from levante_core.services.history.pages import KINDS, PageRequest
from levante_core.storage.runs import Recorded, batch_item
from tests.support.place import POOL, SPACE, Place
from tests.unit.core.services.history.resetting import EXECUTION, begun, signal, update

VALUES: dict[str, Any] = {
    "activity": 1,
    "at": EPOCH,
    "attempt": 2,
    "by_hand": ByHand(at=EPOCH, key_id="k", key_name="ops", role="admin"),
    "child": 1,
    "close_policy": "abandon",
    "event": TaskEvent(task_id="t1", task_type="progress", phase=TaskPhase.STARTED, payload={"a": 1}),
    "execution_id": "e2",
    "failure": Failure(message="no luck", cause=Failure(message="because")),
    "fire_at": EPOCH,
    "handlers": ("approve",),
    "input": {"a": 1},
    "name": "charge",
    "patch_id": "p1",
    "result": {"a": 1},
    "run_id": "r2",
    "scheduled_in": 1,
    "seq": 1,
    "timer": 1,
    "update": 1,
    "workflow_name": "greet",
}
"""What fields without a default are given."""


def example(event: type[BaseModel]) -> Any:
    """Make an event that says no more than it has to."""
    required = [name for name, field in event.model_fields.items() if field.is_required()]
    return event(**{name: VALUES[name] for name in required})


def recorded_kinds() -> list[type[Any]]:
    """Return the events of histories that stand for themselves."""
    return [event for event in get_args(get_args(HistoryEvent)[0]) if event not in (FactTaken, MessagesTaken)]


@cache
def components() -> Any:
    """Return the models of the document."""
    return json.loads(bare_document())["components"]


def problems(event: dict[str, Any]) -> list[str]:
    """Say what of an event is not as the document describes its kind."""
    reference = components()["schemas"]["ShownEvent"]["discriminator"]["mapping"][event["kind"]]
    validator = jsonschema_rs.Draft202012Validator({"$ref": reference, "components": components()}, offline=True)
    return [f"{event['kind']}: {error.message}" for error in validator.iter_errors(event)]


def shown(place: Place) -> list[dict[str, Any]]:
    """Record a batch with an event of each kind, and messages of each; return the history as it is shown."""
    run = begun(place)
    signal(place, {"a": 1})
    update(place, {"a": 1})
    place.engine.messages.cancel(SPACE, EXECUTION)
    events = (*map(example, recorded_kinds()), MessagesTaken(until=3))
    batch = HistoryBatch(index=1, commit_id="c", events=events)
    place.store.write(Put(batch_item(Recorded(run, POOL, EPOCH), batch, asks_for_work=False)))
    return list(place.engine.histories.show(SPACE, EXECUTION).events())


def test_events_when_one_of_each_kind_is_shown_then_each_is_as_described(place: Place) -> None:
    """A client generated from the document reads every history."""
    events = shown(place)
    assert {event["kind"] for event in events} == KINDS
    assert [problem for event in events for problem in problems(event)] == []


def test_events_when_shown_without_payloads_then_each_is_as_described(place: Place) -> None:
    """Inputs and results may be left out, and nothing else."""
    shown(place)
    request = PageRequest(with_payloads=False)
    _, page = place.engine.history_pages.read(partial(place.engine.histories.find, SPACE, EXECUTION), request)
    assert {event["kind"] for event in page.events} == KINDS
    assert not any({"input", "result"} & event.keys() for event in page.events)
    assert [problem for event in page.events for problem in problems(event)] == []


def test_events_when_an_outcome_was_given_by_hand_then_it_is_as_described(place: Place) -> None:
    """Who repairs something leaves a name beside the outcome."""
    by_hand = ByHand(at=EPOCH, key_id="k", key_name="ops", role="admin").model_dump(mode="json")
    outcomes = [event for event in shown(place) if event["kind"] in {one.model_fields["kind"].default for one in OUTCOMES}]
    assert len(outcomes) == len(OUTCOMES)
    assert [problem for event in outcomes for problem in problems({**event, "by_hand": by_hand})] == []


@pytest.mark.parametrize("field", ["seq", "name", "options", "recorded_at", "event_id"])
def test_event_when_it_lacks_what_is_always_there_then_it_is_not_as_described(place: Place, field: str) -> None:
    """Clients need not check whether a field is there that always is."""
    (event,) = (event for event in shown(place) if event["kind"] == "activity_scheduled")
    assert problems({name: value for name, value in event.items() if name != field})


def test_event_when_it_says_more_than_is_described_then_that_is_noticed(place: Place) -> None:
    """A field that is added to an event is described, or the tests above fail."""
    assert all(problems({**event, "unheard_of": 1}) for event in shown(place))
