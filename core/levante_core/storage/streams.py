"""Streams as items: events under the sequence number of the first one, and how far the stream has come."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from levante_core.domain.names import ExecutionId, Workspace
from levante_core.domain.streams.events import StreamUpdate
from levante_core.domain.streams.projection import StreamCursor
from levante_core.ports.item_store import Item, Scalar
from levante_core.storage import keys
from levante_core.storage.decoding import number, reader, text_if_any

_UPDATES: TypeAdapter[tuple[StreamUpdate, ...]] = TypeAdapter(tuple[StreamUpdate, ...])
_CURSORS: TypeAdapter[tuple[StreamCursor, ...]] = TypeAdapter(tuple[StreamCursor, ...])


@dataclass(frozen=True, slots=True)
class StreamHead:
    """How far what is recorded has been published: which executions, and how far each.

    version: grows with each change. The first one followed is the root, which stays; others leave once they have ended.
    """

    version: int
    following: tuple[StreamCursor, ...]

    def has_published_all_of(self, execution_id: ExecutionId) -> bool:
        """Whether the execution has ended, and its end was published."""
        return all(cursor.is_closed for cursor in self.following if cursor.execution_id == execution_id)


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who sends events. until: the number of the last one."""

    name: str
    until: int


def head_item(workspace: Workspace, root: ExecutionId, head: StreamHead) -> Item:
    """Write how far a stream has come."""
    key = keys.stream_head(workspace, root)
    return Item(key, {"version": head.version}, {"following": _CURSORS.dump_json(head.following).decode()})


@reader
def head_of(item: Item) -> StreamHead:
    """Read how far a stream has come."""
    return StreamHead(number(item.attributes, "version"), _CURSORS.validate_json(item.documents["following"]))


def events_item(
    workspace: Workspace, root: ExecutionId, first: int, events: Sequence[StreamUpdate], publisher: Publisher | None = None
) -> Item:
    """Write events, the first of which has this sequence number. publisher: who sent them, if they were not read."""
    key = keys.stream_events(workspace, root, first)
    attributes: dict[str, Scalar] = {"count": len(events)}
    if publisher:
        attributes |= {"publisher": publisher.name, "until": publisher.until}
    return Item(key, attributes, {"events": _UPDATES.dump_json(tuple(events)).decode()})


@reader
def publisher_of(item: Item) -> Publisher | None:
    """Read who sent an item's events."""
    name = text_if_any(item.attributes, "publisher")
    return Publisher(name, number(item.attributes, "until")) if name else None


@reader
def first_of(item: Item) -> int:
    """Read the sequence number of an item's first event."""
    return int(item.key.sort.removeprefix(keys.STREAM_EVENTS))


@reader
def after(item: Item) -> int:
    """Read the sequence number that follows an item's last event."""
    return first_of(item) + number(item.attributes, "count")


@reader
def size_bytes(item: Item) -> int:
    """Return the length of an item's events as JSON."""
    return len(item.documents["events"])


@reader
def events_of(item: Item) -> tuple[StreamUpdate, ...]:
    """Read an item's events."""
    return _UPDATES.validate_json(item.documents["events"])
