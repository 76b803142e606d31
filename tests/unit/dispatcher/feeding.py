"""The change feed of a place, as the stream hands it over."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from levante_core.adapters.dynamodb.images import stream_record
from levante_core.domain.executions.execution import RunKey
from levante_core.ports.item_store import Item
from levante_core.storage import keys
from levante_core.storage.parked import Parked
from tests.support.place import SPACE, Place

MISSING = json.dumps({"payload_sha256": "0" * 64})


def new_records(place: Place) -> list[dict[str, Any]]:
    """Take the changes of executions off the feed, as records."""
    changes = place.store.read_changes(None, 1000)
    if changes:
        place.store.acknowledge_changes(changes[-1].sequence)
    return [stream_record(change) for change in changes if change.key.partition.startswith("X#")]


def event(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"Records": list(records)}


def poisoned(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record that refers to a payload that is not there."""
    data = record["dynamodb"]
    return {**record, "dynamodb": {**data, "NewImage": {**data["NewImage"], "d.start": {"S": MISSING}}}}


def parked(place: Place) -> list[Parked]:
    return list(place.engine.parking.list(SPACE, 100, None).items)


def item_of_run(place: Place, run: RunKey) -> Item:
    """Return the item of an execution's latest run."""
    item = place.store.get(keys.execution(run.workspace, run.execution_id))
    assert item
    return item
