"""An item store that keeps large documents elsewhere: the one rule about payload size, whatever the document is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from levante_core.ports.item_store import AFTER_ALL, ConditionFailed, Item, ItemStore, Json, Key, Page, Put, Update, Write
from levante_core.ports.surroundings import PayloadStore

OFFLOAD_BYTES = 64 * 1024
"""Documents over this go to the payload store and leave a reference."""

_REFERENCE = "payload_sha256"


class OffloadingStore:
    """An ItemStore in front of another one and a payload store. Documents are JSON texts.

    The payload is written first, so that no reference ever leads nowhere; what a refused write leaves behind is found by its
    hash when the same content comes again.
    """

    def __init__(self, store: ItemStore, payloads: PayloadStore) -> None:
        self._store = store
        self._payloads = payloads

    def get(self, key: Key) -> Item | None:
        """See ItemStore. Cost: one more read per offloaded document."""
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

    def query(
        self,
        partition: str,
        *,
        first: str = "",
        last: str = AFTER_ALL,
        limit: int | None = None,
        descending: bool = False,
        after: str | None = None,
    ) -> Page:
        """See ItemStore."""
        page = self._store.query(partition, first=first, last=last, limit=limit, descending=descending, after=after)
        return Page([self.resolved(item) for item in page.items], page.next)

    def query_index(
        self,
        index: str,
        partition: str,
        *,
        first: str = "",
        last: str = AFTER_ALL,
        limit: int | None = None,
        descending: bool = False,
        after: str | None = None,
    ) -> Page:
        """See ItemStore."""
        return self._store.query_index(
            index, partition, first=first, last=last, limit=limit, descending=descending, after=after
        )

    def resolved(self, item: Item) -> Item:
        """Return the item with its documents in place; items of the change feed need it too."""
        if all(isinstance(document, str) for document in item.documents.values()):
            return item
        return replace(item, documents={name: self._fetched(value) for name, value in item.documents.items()})

    def _fetched(self, document: Json) -> Json:
        return document if isinstance(document, str) else self._payloads.get(document[_REFERENCE]).decode()

    def _refused(self, refused: ConditionFailed) -> ConditionFailed:
        return ConditionFailed(refused.failed, [item and self.resolved(item) for item in refused.existing])

    def _offloaded(self, write: Write) -> Write:
        if isinstance(write, Put):
            return replace(write, item=replace(write.item, documents=self._kept(write.item.documents)))
        if isinstance(write, Update):
            return replace(write, set_documents=self._kept(write.set_documents))
        return write

    def _kept(self, documents: Mapping[str, Any]) -> Mapping[str, Json]:
        if all(len(text) * 4 <= OFFLOAD_BYTES for text in documents.values()):
            return documents
        return {name: self._kept_text(text) for name, text in documents.items()}

    def _kept_text(self, text: str) -> Json:
        content = text.encode()
        return text if len(content) <= OFFLOAD_BYTES else {_REFERENCE: self._payloads.put(content)}
