"""The item store: a table shaped like DynamoDB, and no wider than the services need.

An item has a key, small scalar attributes (what conditions test and listings return), JSON documents (opaque to the
store) and its places in sparse indexes. Adapters: `levante_local.sqlite.store`; DynamoDB.
"""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from levante_core.errors import LevanteError

Scalar: TypeAlias = str | int | float | bool | None
Json: TypeAlias = Any

AFTER_ALL = "\U0010ffff"
"""Sorts after every sort key that we use, as UTF-8 bytes."""
EXPIRES_AT = "expires_at"
"""Attribute of items that the store deletes by itself at some time after this one, in whole seconds since 1970."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Address of an item: items of one partition are kept in the order of their sort keys (UTF-8 bytes)."""

    partition: str
    sort: str


@dataclass(frozen=True, slots=True)
class Item:
    """One item. `indexes` maps the name of an index to the item's place in it; absent means not listed there."""

    key: Key
    attributes: Mapping[str, Scalar] = field(default_factory=dict)
    documents: Mapping[str, Json] = field(default_factory=dict)
    indexes: Mapping[str, Key] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Absent:
    """Holds when no item has the key."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Holds when the item is there and these attributes have these values."""

    attributes: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AbsentOrMatches:
    """Holds when no item has the key, or the one that has it has these values."""

    attributes: Mapping[str, Scalar]


Condition: TypeAlias = Absent | Matches | AbsentOrMatches | None


@dataclass(frozen=True, slots=True)
class Put:
    """Write the whole item, in place of any item with its key."""

    item: Item
    condition: Condition = None

    @property
    def key(self) -> Key:
        """The key of the item written."""
        return self.item.key


@dataclass(frozen=True, slots=True)
class Update:
    """Change parts of an item, and create it if it is absent and the condition allows that.

    set_attributes, set_documents: replaced or added one by one; what they do not name stays.
    add: numbers added to attributes (absent counts as 0).
    set_indexes: a place sets the entry of that index, None takes the item out of it.
    """

    key: Key
    set_attributes: Mapping[str, Scalar] = field(default_factory=dict)
    set_documents: Mapping[str, Json] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    set_indexes: Mapping[str, Key | None] = field(default_factory=dict)
    condition: Condition = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the item; absent is fine unless the condition says otherwise."""

    key: Key
    condition: Condition = None


@dataclass(frozen=True, slots=True)
class Check:
    """Write nothing, but let the transaction fail unless the condition holds."""

    key: Key
    condition: Absent | Matches | AbsentOrMatches


Write: TypeAlias = Put | Update | Delete | Check


class ConditionFailed(LevanteError):
    """A condition did not hold, and nothing was written.

    existing: one entry per write of the refused transaction, in order: the item as it stood where that write's own
    condition failed, else None. A condition that failed on an absent item has None too.
    failed: the positions of the writes whose condition failed.
    """

    def __init__(self, failed: Sequence[int], existing: Sequence[Item | None]) -> None:
        self.failed = tuple(failed)
        self.existing = tuple(existing)
        super().__init__(f"condition failed for writes {list(self.failed)}")


@dataclass(frozen=True, slots=True)
class Query:
    """Items of a partition with first <= sort key <= last, page by page.

    index: whose partition it is; None for the items themselves. limit: of a page. after: a `Page.next` of the same query.
    """

    partition: str
    _: KW_ONLY
    index: str | None = None
    first: str = ""
    last: str = AFTER_ALL
    descending: bool = False
    limit: int | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some items in order. `next` continues the same query after the last of them; None means that was all."""

    items: Sequence[Item]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One write as the change feed reports it. Changes of one partition come in the order of their writes."""

    sequence: str
    key: Key
    old: Item | None
    new: Item | None


class ItemStore(Protocol):
    """Conditional writes, and queries by key and by index.

    Every method may raise Unavailable, after which it is safe to repeat the call, even if it was carried out. Where that
    would not be safe (an update that adds, with no condition that a repeat would break), another error is raised instead.
    """

    def get(self, key: Key) -> Item | None:
        """Read one item as of its last acknowledged write. Cost: one consistent read."""
        ...

    def write(self, *writes: Write) -> None:
        """Carry out all writes or none; durable on return. At most 100 writes, each to another key.

        Raises: ConditionFailed, with the items that stood in the way; NotStorable for what is too large.
        Cost: one write for one, one transaction for more.
        """
        ...

    def write_each(self, groups: Sequence[Sequence[Write]]) -> list[ConditionFailed | None]:
        """Carry out every group as `write` would, each on its own, at the same time; durable on return.

        Returns one entry per group: None, or why that group was refused. Raises: NotStorable once all others are written.
        """
        ...

    def query(self, query: Query) -> Page:
        """Read a page of items, in the order of their sort keys; those of an index eventually consistent.

        A page may end before its limit; only a `next` of None says that it was the last. Items of an index come without
        documents, and with no other attributes and places than the index carries.
        """
        ...


class DocumentStore(ItemStore, Protocol):
    """An item store, and what it keeps elsewhere for being large. Adapter: `levante_core.adapters.offloading`."""

    def clear(self, partition: str) -> None:
        """Delete everything of a partition that nobody writes to any more.

        A repeat is harmless, and goes on where this failed. Cost: a query and a write for each item.
        """
        ...

    def prune(self, key: Key, before: datetime) -> None:
        """Delete what is kept elsewhere for an item since before this time, and it does not refer to any more.

        A repeat is harmless. Cost: a read and a listing.
        """
        ...


class ChangeFeed(Protocol):
    """Every change of the store, at least once, until acknowledged."""

    def read_changes(self, after: str | None, limit: int) -> list[Change]:
        """Read the changes that follow a sequence (None: the oldest kept), oldest first."""
        ...

    def acknowledge_changes(self, sequence: str) -> None:
        """Let the feed forget the changes up to this one. After a crash some may be read again."""
        ...
