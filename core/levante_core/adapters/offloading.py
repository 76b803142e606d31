"""An item store that keeps large documents elsewhere: the one rule about payload size, whatever the document is."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, assert_never

from levante_core.errors import InconsistentHistory
from levante_core.ports.item_store import (
    Check,
    ConditionFailed,
    Delete,
    Item,
    ItemStore,
    Json,
    Key,
    Page,
    Put,
    Query,
    Update,
    Write,
)
from levante_core.ports.surroundings import PayloadStore
from levante_core.storage.keys import is_stream
from levante_core.storage.large_documents import (
    REFERENCE,
    STREAM_PLACES,
    has_payloads,
    is_large,
    is_reference,
    references,
)

_CLEARED_AT_ONCE = 100


class OffloadingStore:
    """A DocumentStore in front of an item store and a payload store. Documents are JSON texts.

    The payload is written first, so that no reference ever leads nowhere; what a refused write leaves behind is found by its
    hash when the same content comes again. Each item has a place of its own: what belongs to it can go when it goes.
    """

    def __init__(self, store: ItemStore, payloads: PayloadStore) -> None:
        self._store = store
        self._payloads = payloads

    def get(self, key: Key) -> Item | None:
        """See ItemStore. Cost: one more read per offloaded document that is looked at."""
        item = self._store.get(key)
        return item and self.resolved(item)

    def write(self, *writes: Write) -> None:
        """See ItemStore. Cost: one payload write per large document."""
        try:
            self._store.write(*[self._offloaded(write) for write in writes])
        except ConditionFailed as refused:
            raise self._refused(refused) from None

    def write_each(self, groups: Sequence[Sequence[Write]]) -> list[ConditionFailed | None]:
        """See ItemStore."""
        outcomes = self._store.write_each([[self._offloaded(write) for write in group] for group in groups])
        return [outcome and self._refused(outcome) for outcome in outcomes]

    def query(self, query: Query) -> Page:
        """See ItemStore. Items of an index come without documents."""
        page = self._store.query(query)
        return page if query.index else Page([self.resolved(item) for item in page.items], page.next)

    def clear(self, partition: str) -> None:
        """See DocumentStore. Payloads go first: while an item is there, it tells a repeat that there are some."""
        while items := self._store.query(Query(partition, limit=_CLEARED_AT_ONCE)).items:
            for item in filter(has_payloads, items):
                for place in _places(item.key):
                    self._payloads.keep_only(place, frozenset(), None)
            self._store.write_each([[Delete(item.key)] for item in items])

    def prune(self, key: Key, before: datetime) -> None:
        """See DocumentStore."""
        item = self._store.get(key)
        self._payloads.keep_only(_places(key)[0], frozenset(references(item) if item else ()), before)

    def resolved(self, item: Item) -> Item:
        """Return the item with its documents in place; items of the change feed need it too. Each is fetched when read."""
        return replace(item, documents=_Documents(self._payloads, item)) if has_payloads(item) else item

    def _refused(self, refused: ConditionFailed) -> ConditionFailed:
        return ConditionFailed(refused.failed, [item and self.resolved(item) for item in refused.existing])

    def _offloaded(self, write: Write) -> Write:
        match write:
            case Put():
                documents = write.item.documents
                texts = documents.movable() if isinstance(documents, _Documents) else documents
                return replace(write, item=replace(write.item, documents=self._kept(write.key, texts)))
            case Update():
                return replace(write, set_documents=self._kept(write.key, write.set_documents))
            case Delete() | Check():
                return write
            case _:
                assert_never(write)

    def _kept(self, key: Key, documents: Mapping[str, Any]) -> Mapping[str, Json]:
        if not any(map(is_large, documents.values())):
            return documents
        return {name: self._kept_text(key, text) for name, text in documents.items()}

    def _kept_text(self, key: Key, text: Json) -> Json:
        return {REFERENCE: self._payloads.put(_places(key)[0], text.encode())} if is_large(text) else text


class _Documents(Mapping[str, Json]):
    """The documents of an item. One that is kept elsewhere is fetched when it is read, and then kept.

    So a payload that is missing matters to those alone who read that very document. They get InconsistentHistory.
    """

    def __init__(self, payloads: PayloadStore, item: Item) -> None:
        self._payloads = payloads
        self._places = _places(item.key)
        self._documents = dict(item.documents)

    def __getitem__(self, name: str) -> Json:
        document = self._documents[name]
        if is_reference(document):
            document = self._documents[name] = self._fetched(document[REFERENCE])
        return document

    def __iter__(self) -> Iterator[str]:
        return iter(self._documents)

    def __len__(self) -> int:
        return len(self._documents)

    def movable(self) -> dict[str, Json]:
        """Return the documents as they can be put elsewhere; what is missing leaves its reference."""
        texts = dict(self._documents)
        for name in texts:
            with suppress(InconsistentHistory):
                texts[name] = self[name]
        return texts

    def _fetched(self, sha256: str) -> str:
        place, *older = self._places
        try:
            return self._payloads.get(place, sha256).decode()
        except InconsistentHistory:
            if not older:
                raise
        return self._payloads.get(older[0], sha256).decode()


def _places(key: Key) -> list[str]:
    """Return where the payloads of an item are put, and where earlier versions put them if that was elsewhere.

    Keys may have any characters, and be long. The places of streams can be told from all others: the events function may
    write there and nowhere else.
    """
    place = hashlib.sha256(f"{key.partition}\0{key.sort}".encode()).hexdigest()[:32]
    return [f"{STREAM_PLACES}{place}", place] if is_stream(key) else [place]
