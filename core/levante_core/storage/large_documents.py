"""Large documents: which are kept elsewhere, and how an item refers to them."""

from collections.abc import Iterator, Mapping

from levante_core.ports.item_store import Item, Json
from levante_core.storage.decoding import reader

OFFLOAD_BYTES = 64 * 1024
"""Documents over this go to the payload store and leave a reference."""
STREAM_PLACES = "stream-"
"""What the places of streams begin with."""
REFERENCE = "payload_sha256"
"""The one key of a document that stands for another."""


def is_large(document: Json) -> bool:
    """Tell whether a document is kept elsewhere: a long text."""
    return isinstance(document, str) and len(document) * 4 > OFFLOAD_BYTES and len(document.encode()) > OFFLOAD_BYTES


def is_reference(document: Json) -> bool:
    """Tell whether a document stands for one that is kept elsewhere."""
    return isinstance(document, Mapping) and isinstance(document.get(REFERENCE), str)


def references(item: Item) -> Iterator[str]:
    """Yield the hashes of what is kept elsewhere of an item, as the inner store has it."""
    return (document[REFERENCE] for document in item.documents.values() if is_reference(document))


def has_payloads(item: Item) -> bool:
    """Tell whether something of an item is kept elsewhere."""
    return any(True for _ in references(item))


@reader
def document_bytes(item: Item) -> int:
    """Return the length of an item's documents."""
    return sum(map(len, item.documents.values()))
