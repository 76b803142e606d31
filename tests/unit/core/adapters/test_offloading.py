"""Where documents go that are kept elsewhere."""

import json

from levante_core.adapters.offloading import OffloadingStore
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.names import ExecutionId, RunId
from levante_core.ports.item_store import Item, Put
from levante_core.storage import keys
from levante_core.storage.large_documents import OFFLOAD_BYTES, STREAM_PLACES
from tests.support.place import SPACE, Place


def test_payload_when_it_is_of_a_stream_then_it_is_where_the_events_function_may_write(place: Place) -> None:
    """What streams to the whole world can damage no history."""
    items = OffloadingStore(place.store, place.payloads)
    text, root = json.dumps("x" * OFFLOAD_BYTES), ExecutionId("e")
    items.write(Put(Item(keys.stream_events(SPACE, root, 1), documents={"events": text})))
    items.write(Put(Item(keys.batch(RunKey(SPACE, root, RunId("r")), 1), documents={"events": text})))
    kept = [path.parent.name for path in place.payloads.directory.glob("*/*")]
    assert [name.startswith(STREAM_PLACES) for name in sorted(kept)] == [False, True]
    found = items.get(keys.stream_events(SPACE, root, 1))
    assert found
    assert found.documents == {"events": text}


def test_payload_of_a_stream_when_an_earlier_version_put_it_then_it_is_read_and_expires(place: Place) -> None:
    """Earlier versions kept payloads of streams among all others."""
    items = OffloadingStore(place.store, place.payloads)
    key, text = keys.stream_events(SPACE, ExecutionId("e"), 1), json.dumps("x" * OFFLOAD_BYTES)
    items.write(Put(Item(key, documents={"events": text})))
    (path,) = place.payloads.directory.glob("*/*")
    earlier = place.payloads.directory / path.parent.name.removeprefix(STREAM_PLACES)
    path.parent.rename(earlier)
    found = items.get(key)
    assert found
    assert found.documents == {"events": text}
    items.clear(key.partition)
    assert not earlier.exists()
