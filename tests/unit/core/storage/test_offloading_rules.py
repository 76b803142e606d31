"""Large documents: whatever writes them, and whatever fails, no item is too large and no reference leads nowhere."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from levante_core.adapters import offloading
from levante_core.adapters.offloading import OffloadingStore
from levante_core.errors import InconsistentHistory, Unavailable
from levante_core.ports.item_store import (
    Absent,
    ConditionFailed,
    Delete,
    Item,
    Key,
    Matches,
    Put,
    Query,
    Update,
    Write,
)
from levante_core.storage.large_documents import OFFLOAD_BYTES, has_payloads, is_large
from tests.support.faults import Fate, FaultyStore, OneFault, Operations
from tests.support.place import Place

A, B = Key("p", "a"), Key("p", "b")
LARGE = "x" * (OFFLOAD_BYTES + 1)
LARGER = "y" * (OFFLOAD_BYTES + 1)


class Payloads:
    """A PayloadStore in memory. gets: reads of it; fails: whether it is down; on_put: called before each content is kept."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}
        self.gets = 0
        self.fails = False
        self.on_put: Callable[[], object] = lambda: None

    def put(self, place: str, content: bytes) -> str:
        """See PayloadStore."""
        self._check()
        self.on_put()
        sha256 = f"{hash(content):x}"
        self.kept[place, sha256] = content
        return sha256

    def get(self, place: str, sha256: str) -> bytes:
        """See PayloadStore."""
        self._check()
        self.gets += 1
        if (place, sha256) not in self.kept:
            raise InconsistentHistory(f"payload {sha256} is missing")
        return self.kept[place, sha256]

    def keep_only(self, place: str, sha256s: frozenset[str], before: datetime | None) -> None:
        """See PayloadStore: here, what is there was put long ago."""
        self._check()
        for key in list(self.kept):
            if key[0] == place and key[1] not in sha256s:
                del self.kept[key]

    def _check(self) -> None:
        if self.fails:
            raise Unavailable("the payload store is down")


class Offloading:
    """A store that keeps large documents elsewhere, and what stands behind it."""

    def __init__(self, place: Place) -> None:
        self.inner = place.store
        self.payloads = Payloads()
        self.store = OffloadingStore(place.store, self.payloads)

    def put(self, key: Key, **documents: Any) -> None:
        """Write an item with these documents."""
        self.store.write(Put(Item(key, {"version": 1}, documents)))

    def read(self, key: Key) -> dict[str, Any]:
        """Return the documents of an item."""
        item = self.store.get(key)
        assert item is not None
        return dict(item.documents)

    def inline(self, key: Key) -> dict[str, bool]:
        """Tell which documents of an item are in the item itself."""
        item = self.inner.get(key)
        assert item is not None
        return {name: isinstance(document, str) for name, document in item.documents.items()}


@pytest.fixture
def stores(place: Place) -> Offloading:
    return Offloading(place)


# --- what is kept elsewhere -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x" * OFFLOAD_BYTES, False),
        ("x" * (OFFLOAD_BYTES + 1), True),
        ("é" * (OFFLOAD_BYTES // 2), False),
        ("é" * (OFFLOAD_BYTES // 2 + 1), True),
        ("😀" * (OFFLOAD_BYTES // 4), False),
        ("😀" * (OFFLOAD_BYTES // 4 + 1), True),
        ("", False),
    ],
)
def test_document_when_it_has_more_bytes_than_the_limit_then_it_is_large(text: str, *, expected: bool) -> None:
    """Stores bill bytes, and refuse items by bytes, whatever the characters are."""
    assert is_large(text) is expected


WRITES: Sequence[Callable[[Key, dict[str, Any]], Write]] = (
    lambda key, documents: Put(Item(key, {}, documents)),
    lambda key, documents: Update(key, set_documents=documents),
)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("how", ["write", "write_each"])
def test_document_when_it_is_large_then_it_alone_is_kept_elsewhere_however_it_is_written(
    stores: Offloading, write: Callable[[Key, dict[str, Any]], Write], how: str
) -> None:
    """An item has 400 KB at most: results come with updates, inputs with new items, many of both in one call."""
    documents = {"large": LARGE, "small": "{}", "nothing": None}
    if how == "write":
        stores.store.write(write(A, documents), write(B, {"other": LARGER}))
    else:
        assert stores.store.write_each([[write(A, documents)], [write(B, {"other": LARGER})]]) == [None, None]
    assert stores.inline(A) == {"large": False, "small": True, "nothing": False}
    assert stores.inline(B) == {"other": False}
    assert (stores.read(A), stores.read(B)) == (documents, {"other": LARGER})
    assert len(stores.payloads.kept) == 2


def test_document_when_an_update_sets_another_one_then_it_stays_where_it_is(stores: Offloading) -> None:
    """What an update does not name is as it was."""
    stores.put(A, large=LARGE, small="{}")
    stores.store.write(Update(A, set_documents={"small": "[]"}), Delete(B))
    assert stores.read(A) == {"large": LARGE, "small": "[]"}


def test_write_when_the_payload_store_is_down_then_nothing_is_written(stores: Offloading) -> None:
    """The payload comes first: no reference ever leads nowhere."""
    stores.payloads.fails = True
    with pytest.raises(Unavailable):
        stores.put(A, large=LARGE)
    assert stores.inner.get(A) is None


def test_write_when_a_payload_is_put_then_the_item_is_not_there_yet(stores: Offloading) -> None:
    """A reader in between sees nothing, or all of it."""
    seen = []
    stores.payloads.on_put = lambda: seen.append(stores.inner.get(A))
    stores.put(A, large=LARGE)
    assert seen == [None]


# --- what is read back ------------------------------------------------------------------------------------------------


def test_refusal_when_the_item_in_the_way_is_large_then_it_can_be_read(stores: Offloading) -> None:
    """Whoever lost the race looks at what won."""
    stores.put(A, large=LARGE)
    taken = [Put(Item(B, {}, {}), Absent()), Put(Item(A, {}, {"large": LARGER}), Absent())]
    with pytest.raises(ConditionFailed) as refused:
        stores.store.write(*taken)
    outcomes = stores.store.write_each([[Put(Item(B, {}, {}))], taken[1:]])
    assert outcomes[0] is None
    for outcome, position in ((refused.value, 1), (outcomes[1], 0)):
        assert outcome is not None
        assert outcome.failed == (position,)
        found = outcome.existing[position]
        assert found is not None
        assert found.documents["large"] == LARGE
    assert refused.value.existing[0] is None
    assert stores.read(A) == {"large": LARGE}


def test_refusal_when_there_is_no_item_then_it_says_so(stores: Offloading) -> None:
    """A condition may fail on what is not there."""
    with pytest.raises(ConditionFailed) as refused:
        stores.store.write(Update(A, set_documents={"large": LARGE}, condition=Matches({"version": 1})))
    assert refused.value.existing == (None,)


def test_query_when_items_are_large_then_each_page_has_them_and_goes_on(stores: Offloading) -> None:
    """In either order, from where the page before ended."""
    for number in range(5):
        stores.put(Key("p", str(number)), large=f"{number}{LARGE}", small="{}")
    for descending in (False, True):
        found: list[str] = []
        after = None
        while len(found) < 5:
            page = stores.store.query(Query("p", limit=2, descending=descending, after=after))
            found += [item.documents["large"][0] for item in page.items]
            after = page.next
        assert found == sorted("01234", reverse=descending)
        assert after is None
    some = stores.store.query(Query("p", first="1", last="2")).items
    assert [item.documents["large"][0] for item in some] == ["1", "2"]


def test_payload_when_nobody_reads_the_document_then_it_is_not_fetched_and_only_once_if_somebody_does(
    stores: Offloading,
) -> None:
    """Listings read attributes: what is missing, or slow, matters to those alone who want that very document."""
    stores.put(A, large=LARGE, other=LARGER, small="{}")
    item = stores.store.get(A)
    assert item is not None
    assert (item.documents["small"], set(item.documents), len(item.documents)) == ("{}", {"large", "other", "small"}, 3)
    assert stores.payloads.gets == 0
    assert [item.documents["large"] for _ in range(3)] == [LARGE] * 3
    assert stores.payloads.gets == 1
    stores.payloads.kept.clear()
    assert item.documents["large"] == LARGE
    with pytest.raises(InconsistentHistory):
        item.documents["other"]


# --- what moves -------------------------------------------------------------------------------------------------------


def test_item_when_it_is_put_elsewhere_then_its_payloads_are_its_own(stores: Offloading) -> None:
    """An execution that continues as new leaves its run at another key: the place of the first may be cleared then."""
    stores.put(A, large=LARGE, small="{}")
    ((place, _),) = stores.payloads.kept
    item = stores.store.get(A)
    assert item is not None
    stores.store.write(Put(Item(B, item.attributes, item.documents)))
    stores.payloads.keep_only(place, frozenset(), None)
    assert stores.read(B) == {"large": LARGE, "small": "{}"}


def test_item_when_one_of_its_payloads_is_missing_then_it_can_be_moved_with_the_others(stores: Offloading) -> None:
    """One damaged document must not keep an execution from going on; whoever reads it is told."""
    stores.put(A, lost=LARGER, small="{}")
    stores.payloads.kept.clear()
    stores.store.write(Update(A, set_documents={"large": LARGE}))
    item = stores.store.get(A)
    assert item is not None
    stores.store.write(Put(Item(B, item.attributes, item.documents)))
    moved = stores.store.get(B)
    assert moved is not None
    assert (moved.documents["large"], moved.documents["small"]) == (LARGE, "{}")
    with pytest.raises(InconsistentHistory):
        moved.documents["lost"]


# --- what goes --------------------------------------------------------------------------------------------------------


def test_clear_when_there_are_many_items_then_all_go_with_their_payloads_and_nobody_elses(
    stores: Offloading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items of another partition may have the same content."""
    monkeypatch.setattr(offloading, "_CLEARED_AT_ONCE", 3)
    other = Key("q", "a")
    for key in [Key("p", str(number)) for number in range(8)] + [other]:
        stores.put(key, large=LARGE)
    stores.store.clear("p")
    assert stores.inner.query(Query("p")).items == []
    assert stores.read(other) == {"large": LARGE}
    assert len(stores.payloads.kept) == 1


def test_clear_when_payloads_cannot_be_deleted_then_the_items_say_that_there_are_some(stores: Offloading) -> None:
    """A repeat finds them by that, and nothing is left for ever that nobody knows of."""
    stores.put(A, large=LARGE)
    stores.payloads.fails = True
    with pytest.raises(Unavailable):
        stores.store.clear("p")
    stores.payloads.fails = False
    stores.store.clear("p")
    assert (stores.inner.get(A), stores.payloads.kept) == (None, {})


def test_clear_when_items_cannot_be_deleted_then_a_repeat_goes_on(place: Place) -> None:
    """What was deleted of their payloads matters to nobody any more."""
    stores = Offloading(place)
    stores.put(A, large=LARGE)
    fault = OneFault("write", 1, Fate.REFUSED, is_armed=True)
    failing = OffloadingStore(FaultyStore(place.store, Operations("program", fault)), stores.payloads)
    with pytest.raises(Unavailable):
        failing.clear("p")
    failing.clear("p")
    assert (stores.inner.get(A), stores.payloads.kept) == (None, {})


def test_prune_when_an_item_was_written_anew_then_what_it_refers_to_stays(stores: Offloading) -> None:
    """What it had before goes; if the item is gone, all of it."""
    stores.put(A, large=LARGE)
    stores.put(A, large=LARGER)
    stores.put(B, large=LARGE)
    stores.store.prune(A, LATER)
    assert sorted(content[:1] for content in stores.payloads.kept.values()) == [b"x", b"y"]
    assert (stores.read(A), stores.read(B)) == ({"large": LARGER}, {"large": LARGE})
    stores.store.write(Delete(A))
    stores.store.prune(A, LATER)
    assert list(stores.payloads.kept.values()) == [LARGE.encode()]


LATER = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=1)


def test_prune_when_something_was_put_just_now_then_it_stays(place: Place) -> None:
    """It may be for an item that is being written at this moment."""
    store = OffloadingStore(place.store, place.payloads)
    store.write(Put(Item(A, {}, {"large": LARGE})))
    store.write(Delete(A))
    now = datetime.now(UTC)
    store.prune(A, now - timedelta(hours=1))
    assert len(list(place.payloads.directory.glob("*/*"))) == 1
    store.prune(A, now + timedelta(hours=1))
    assert list(place.payloads.directory.glob("*/*")) == []


def test_item_when_it_has_no_large_document_then_it_has_no_payloads(stores: Offloading) -> None:
    """The change feed tells by that whether anything is left of an item that is gone."""
    stores.put(A, small="{}")
    stores.put(B, large=LARGE)
    found = [stores.inner.get(key) for key in (A, B)]
    assert [item is not None and has_payloads(item) for item in found] == [False, True]
