from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from levante_core.ports.item_store import Absent, Change, Check, ConditionFailed, Delete, Item, Key, Matches, Put, Update
from tests.contract.conftest import StoreWithFeed

KEY = Key("partition", "sort")
OLD = Item(KEY, {"status": "A"}, {"input": [1]}, {"by_root": Key("root", "a")})
NEW = Item(KEY, {"status": "B"}, {"input": [1]}, {"by_root": Key("root", "a")})


def read_all(feed: StoreWithFeed, limit: int = 100) -> Iterator[Change]:
    """Read from the oldest change kept to the end."""
    after = None
    while changes := feed.read_changes(after, limit):
        assert len(changes) <= limit
        yield from changes
        after = changes[-1].sequence


def test_read_changes_after_writes_reports_full_items_before_and_after(store_with_feed: StoreWithFeed) -> None:
    """The dispatcher plans from the record alone, so it holds the whole item, documents and index places included."""
    store_with_feed.write(Put(OLD))
    store_with_feed.write(Update(KEY, {"status": "B"}))
    store_with_feed.write(Delete(KEY))
    changes = store_with_feed.read_changes(None, 10)
    assert [(change.key, change.old, change.new) for change in changes] == [
        (KEY, None, OLD),
        (KEY, OLD, NEW),
        (KEY, NEW, None),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_read_changes_when_paged_returns_each_once_in_order(store_with_feed: StoreWithFeed, limit: int) -> None:
    """A sequence continues exactly after its change."""
    for count in range(5):
        store_with_feed.write(Put(Item(KEY, {"count": count})))
    assert [change.new for change in read_all(store_with_feed, limit)] == [Item(KEY, {"count": n}) for n in range(5)]


def test_read_changes_when_a_write_was_refused_reports_nothing_of_it(store_with_feed: StoreWithFeed) -> None:
    """What did not happen is not in the feed; a check is no change."""
    store_with_feed.write(Put(OLD))
    with pytest.raises(ConditionFailed):
        store_with_feed.write(Put(Item(Key("partition", "new"))), Put(NEW, Absent()))
    store_with_feed.write(Check(KEY, Matches()), Delete(Key("partition", "never there")))
    assert [change.new for change in read_all(store_with_feed)] == [OLD]


def test_read_changes_after_a_transaction_reports_each_of_its_items(store_with_feed: StoreWithFeed) -> None:
    """One transaction, one change per item."""
    items = [Item(Key("partition", str(number))) for number in range(10)]
    store_with_feed.write(*[Put(item) for item in items])
    assert sorted(change.key for change in read_all(store_with_feed)) == [item.key for item in items]


def test_read_changes_when_many_write_at_once_keeps_the_order_of_each_item(store_with_feed: StoreWithFeed) -> None:
    """Per item the feed is a chain: the old image of each change is the new one of the change before."""
    keys = [Key(f"partition{number % 2}", "sort") for number in range(80)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store_with_feed.write(Update(key, add={"count": 1})), keys))
    changes = list(read_all(store_with_feed, 7))
    assert len(changes) == len(keys)
    assert len({change.sequence for change in changes}) == len(changes)
    for key in set(keys):
        chain = [change for change in changes if change.key == key]
        assert [change.old for change in chain] == [None, *[change.new for change in chain[:-1]]]
        assert [change.new for change in chain] == [Item(key, {"count": number}) for number in range(1, 41)]
