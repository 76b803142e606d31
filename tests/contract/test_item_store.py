from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levante_core.errors import InvalidInput, NotStorable
from levante_core.ports.item_store import (
    AFTER_ALL,
    Absent,
    AbsentOrMatches,
    Check,
    Condition,
    ConditionFailed,
    Delete,
    Item,
    ItemStore,
    Key,
    Matches,
    Page,
    Put,
    Query,
    Scalar,
    Update,
    Write,
)
from tests.support.forms import either

KEY = Key("partition", "sort")
OTHER = Key("partition", "other")
FULL_ITEM = Item(
    KEY,
    {"status": "RUNNING", "count": 3, "ratio": 0.5, "open": True, "parent": None},
    {"input": {"orders": [1, 2.5, None, "zweiundzwanzigßäö😀"]}, "note": "plain"},
    {"by_start": Key("workspace", "2026-01-01"), "by_root": Key("root", "a")},
)
SORTS = ["", "A", "B", "a", "a#", "a#1", "z", "ß", "é", "€", "\uffee", "😀"]
"""In the order of their UTF-8 bytes, which is not that of UTF-16."""


def item(sort: str, partition: str = "partition", **attributes: Scalar) -> Item:
    return Item(Key(partition, sort), attributes)


def pages(ask: Callable[[str | None], Page]) -> Iterator[Page]:
    """Follow the tokens to the end."""
    page = ask(None)
    yield page
    while page.next is not None:
        page = ask(page.next)
        yield page


def all_sorts(ask: Callable[[str | None], Page]) -> list[str]:
    return [found.key.sort for page in pages(ask) for found in page.items]


def attempt(store: ItemStore, *writes: Write) -> ConditionFailed | None:
    try:
        store.write(*writes)
    except ConditionFailed as refused:
        return refused
    return None


def at_the_same_time(*functions: Callable[[], Any]) -> list[Any]:
    """Run each in a thread of its own, all let go at once."""
    barrier = Barrier(len(functions))

    def run(function: Callable[[], Any]) -> Any:
        barrier.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


class TestOneItem:
    def test_get_after_put_returns_the_equal_item(self, store: ItemStore) -> None:
        """What was written is read back whole: types, nesting, Unicode and index places."""
        store.write(Put(FULL_ITEM))
        found = store.get(KEY)
        assert found == FULL_ITEM
        assert found is not None
        types = {name: type(value) for name, value in found.attributes.items()}
        assert types == {"status": str, "count": int, "ratio": float, "open": bool, "parent": type(None)}

    def test_get_when_absent_returns_none(self, store: ItemStore) -> None:
        """`get` of this port finds: an absent item is no error."""
        assert store.get(KEY) is None

    def test_put_when_present_replaces_the_whole_item(self, store: ItemStore) -> None:
        """A put leaves nothing of the item before it, its index entries included."""
        store.write(Put(FULL_ITEM))
        store.write(Put(Item(KEY, {"status": "DONE"})))
        assert store.get(KEY) == Item(KEY, {"status": "DONE"})
        assert store.query(Query("root", index="by_root")).items == []

    def test_get_after_the_caller_changed_its_own_dict_is_unaffected(self, store: ItemStore) -> None:
        """The store shares no mutable value with its callers."""
        document = {"steps": [1]}
        store.write(Put(Item(KEY, documents={"state": document})))
        document["steps"].append(2)
        assert store.get(KEY) == Item(KEY, documents={"state": {"steps": [1]}})

    def test_update_when_absent_creates_the_item(self, store: ItemStore) -> None:
        """An update without a condition is an upsert; an absent number counts as 0."""
        store.write(Update(KEY, {"status": "NEW"}, {"input": [1]}, {"count": 2}, {"by_root": Key("root", "a")}))
        assert store.get(KEY) == Item(KEY, {"status": "NEW", "count": 2}, {"input": [1]}, {"by_root": Key("root", "a")})

    def test_update_when_present_leaves_what_it_does_not_name(self, store: ItemStore) -> None:
        """Attributes, documents and index places are changed one by one."""
        store.write(Put(FULL_ITEM))
        store.write(
            Update(
                KEY,
                {"status": "DONE"},
                {"result": {"ok": True}},
                {"count": -1},
                {"by_start": None, "by_parent": Key("parent", "b"), "never_there": None},
            )
        )
        assert store.get(KEY) == Item(
            KEY,
            {**FULL_ITEM.attributes, "status": "DONE", "count": 2},
            {**FULL_ITEM.documents, "result": {"ok": True}},
            {"by_root": Key("root", "a"), "by_parent": Key("parent", "b")},
        )

    def test_update_when_it_adds_to_a_text_is_refused_and_changes_nothing(self, store: ItemStore) -> None:
        """`add` is for numbers; anything else fails closed."""
        store.write(Put(item("sort", status="NEW")))
        with pytest.raises(ValueError, match="status"):
            store.write(Update(KEY, {"more": 1}, add={"status": 1}))
        assert store.get(KEY) == item("sort", status="NEW")

    def test_delete_when_present_removes_item_and_index_entries(self, store: ItemStore) -> None:
        """A deleted item is listed nowhere."""
        store.write(Put(FULL_ITEM))
        store.write(Delete(KEY))
        assert store.get(KEY) is None
        assert store.query(Query("partition")).items == []
        assert store.query(Query("workspace", index="by_start")).items == []

    def test_delete_when_absent_is_fine(self, store: ItemStore) -> None:
        """Deleting twice is harmless."""
        store.write(Delete(KEY))
        assert store.get(KEY) is None


CONDITION_CASES: list[tuple[str, Condition, bool, bool]] = [
    # what, condition, holds when absent, holds on attributes {"status": "A", "count": 1, "parent": None}
    ("no condition", None, True, True),
    ("absent", Absent(), True, False),
    ("present", Matches(), False, True),
    ("one value", Matches({"status": "A"}), False, True),
    ("another value", Matches({"status": "B"}), False, False),
    ("all of several", Matches({"status": "A", "count": 1}), False, True),
    ("one of several differs", Matches({"status": "A", "count": 2}), False, False),
    ("a value for an absent attribute", Matches({"missing": "A"}), False, False),
    ("none matches none", Matches({"parent": None}), False, True),
    ("none does not match an absent attribute", Matches({"missing": None}), False, False),
    ("a number equals the same float", Matches({"count": 1.0}), False, True),
    ("a number is no boolean", Matches({"count": True}), False, False),
    ("a number is no text", Matches({"count": "1"}), False, False),
    ("absent or the value", AbsentOrMatches({"status": "A"}), True, True),
    ("absent or another value", AbsentOrMatches({"status": "B"}), True, False),
]


class TestConditions:
    @pytest.mark.parametrize(
        ("condition", "when_absent", "when_present"),
        [case[1:] for case in CONDITION_CASES],
        ids=[case[0] for case in CONDITION_CASES],
    )
    @pytest.mark.parametrize("kind", ["put", "update", "delete", "check"])
    def test_write_when_its_condition_fails_changes_nothing(
        self, store: ItemStore, kind: str, condition: Condition, *, when_absent: bool, when_present: bool
    ) -> None:
        """Every kind of write is carried out exactly when its condition holds."""
        present, absent = item("present", status="A", count=1, parent=None), Key("partition", "absent")
        store.write(Put(present))

        def write(key: Key) -> Write:
            if kind == "put":
                return Put(Item(key, {"status": "written"}), condition)
            if kind == "update":
                return Update(key, {"status": "written"}, condition=condition)
            return Delete(key, condition) if kind == "delete" or condition is None else Check(key, condition)

        for key, old, holds in ((present.key, present, when_present), (absent, None, when_absent)):
            refused = attempt(store, write(key))
            assert (refused is None) == holds
            if refused is not None:
                assert (refused.failed, refused.existing) == ((0,), (old,))
                assert store.get(key) == old
            elif kind in {"put", "update"}:
                written = store.get(key)
                assert written is not None
                assert written.attributes["status"] == "written"

    def test_write_when_refused_reports_which_conditions_failed_and_what_stood_there(self, store: ItemStore) -> None:
        """`existing` lines up with the writes: the item only where that write's own condition failed on one."""
        store.write(Put(FULL_ITEM), Put(item("fine", status="A")))
        refused = attempt(
            store,
            Update(Key("partition", "fine"), {"status": "B"}, condition=Matches({"status": "A"})),
            Put(Item(KEY), Absent()),
            Check(OTHER, Matches()),
            Put(item("new")),
        )
        assert refused is not None
        assert refused.failed == (1, 2)
        assert refused.existing == (None, FULL_ITEM, None, None)


class TestTransactions:
    def test_write_when_one_condition_fails_writes_nothing_of_it(self, store: ItemStore) -> None:
        """All writes or none, in the items and in the indexes."""
        store.write(Put(item("kept", count=1)))
        refused = attempt(
            store,
            Put(Item(KEY, indexes={"by_root": Key("root", "a")}), Absent()),
            Delete(Key("partition", "kept")),
            Check(Key("partition", "nowhere"), Matches()),
        )
        assert refused is not None
        assert store.query(Query("partition")).items == [item("kept", count=1)]
        assert store.query(Query("root", index="by_root")).items == []

    def test_write_when_all_hold_carries_out_every_kind(self, store: ItemStore) -> None:
        """Puts, updates, deletes and checks go together."""
        store.write(Put(item("a", count=1)), Put(item("b", count=1)), Put(item("c", count=1)))
        store.write(
            Put(item("new"), Absent()),
            Update(Key("partition", "a"), add={"count": 1}),
            Delete(Key("partition", "b"), Matches({"count": 1})),
            Check(Key("partition", "c"), Matches({"count": 1})),
        )
        assert store.query(Query("partition")).items == [item("a", count=2), item("c", count=1), item("new")]

    def test_write_when_two_writes_have_one_key_is_refused(self, store: ItemStore) -> None:
        """A transaction addresses each item once, as in DynamoDB."""
        with pytest.raises(ValueError, match="same key"):
            store.write(Put(item("sort")), Delete(KEY))
        assert store.get(KEY) is None

    def test_write_when_it_has_a_hundred_writes_works_and_one_more_is_refused(self, store: ItemStore) -> None:
        """A hundred writes fit into a transaction, no more."""
        writes = [Put(item(f"{number:03d}")) for number in range(101)]
        with pytest.raises(ValueError, match="100"):
            store.write(*writes)
        assert store.query(Query("partition")).items == []
        store.write(*writes[:100])
        assert len(store.query(Query("partition")).items) == 100

    def test_write_each_when_one_group_is_refused_carries_out_the_others(self, store: ItemStore) -> None:
        """Groups share the call, not their fate."""
        store.write(Put(item("taken", owner="first")))
        outcomes = store.write_each(
            [
                [Put(item("a"), Absent()), Put(item("b"), Absent())],
                [Put(item("c"), Absent()), Put(item("taken", owner="second"), Absent())],
                [Put(item("d"), Absent())],
            ]
        )
        assert outcomes[0] is None
        assert outcomes[2] is None
        assert outcomes[1] is not None
        assert outcomes[1].failed == (1,)
        assert outcomes[1].existing == (None, item("taken", owner="first"))
        assert store.query(Query("partition")).items == [item("a"), item("b"), item("d"), item("taken", owner="first")]

    def test_write_each_when_two_groups_want_one_key_lets_exactly_one_have_it(self, store: ItemStore) -> None:
        """Groups of one call are judged one after the other, each on what the others left."""
        outcomes = store.write_each([[Put(item("sort", owner=owner), Absent())] for owner in range(3)])
        assert outcomes.count(None) == 1
        assert store.get(KEY) == item("sort", owner=outcomes.index(None))

    def test_write_each_when_there_is_nothing_to_write_answers_nothing(self, store: ItemStore) -> None:
        """No groups, no outcomes."""
        assert store.write_each([]) == []


ROOM = 400_000 - len("pkpartitionsksort") - len("a.text")
"""For the text of an item that has nothing but its key and the attribute `text`."""


def with_document(text: str) -> Item:
    return Item(KEY, documents={"text": text})


class TestLimits:
    @pytest.mark.parametrize(
        ("fits", "is_too_large"),
        [
            (item("sort", text="a" * ROOM), item("sort", text="a" * (ROOM + 1))),
            (item("sort", text="語" * (ROOM // 3)), item("sort", text="語" * (ROOM // 3 + 1))),
            (item("sort", text="😀" * (ROOM // 4)), item("sort", text="😀" * (ROOM // 4 + 1))),
            (with_document("a" * (ROOM - 2)), with_document("a" * (ROOM - 1))),
            (with_document('"' * (ROOM // 2 - 1)), with_document('"' * (ROOM // 2))),
            (item("s" * 1024), item("s" * 1025)),
            (item("é" * 512), item("é" * 512 + "s")),
            (item("s", "p" * 2048), item("s", "p" * 2049)),
            (item("s"), item("")),
            (item("s", "p"), item("s", "")),
            (
                Item(KEY, indexes={"by_root": Key("p" * 2048, "s" * 1024)}),
                Item(KEY, indexes={"by_root": Key("p" * 2049, "s")}),
            ),
            (Item(KEY, indexes={"by_root": Key("p", "s")}), Item(KEY, indexes={"by_root": Key("p", "s" * 1025)})),
            (Item(KEY, indexes={"by_root": Key("p", "s")}), Item(KEY, indexes={"by_root": Key("p", "")})),
            (item("sort", number=10**38 - 1), item("sort", number=10**38)),
            (item("sort", number=-9.9e125), item("sort", number=-1e126)),
            (item("sort", number=1e-130), item("sort", number=1e-131)),
            (item("sort", number=0.0), item("sort", number=float("nan"))),
            (item("sort", number=0), item("sort", number=float("inf"))),
            (item("sort", text="\x00"), item("sort", text="\ud800")),
        ],
        ids=[
            "ASCII", "three bytes a character", "four bytes a character", "document", "escapes in a document",
            "sort key", "sort key in bytes", "partition key", "empty sort key", "empty partition key",
            "partition key of an index", "sort key of an index", "empty sort key of an index",
            "digits", "large", "small", "no number", "infinity", "half of a surrogate pair",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("in_a_group", [False, True])
    def test_write_when_it_is_just_too_large_is_refused_and_just_below_is_kept(
        self, store: ItemStore, fits: Item, is_too_large: Item, *, in_a_group: bool
    ) -> None:
        """Both stores refuse the same, before anything is written, and name the caller's fault."""
        others = [Put(item("other", "elsewhere"))] if in_a_group else []
        with pytest.raises(NotStorable):
            store.write(Put(is_too_large), *others)
        assert store.get(is_too_large.key) is None
        assert store.query(Query("elsewhere")).items == []
        store.write(Put(fits), *others)
        assert store.get(fits.key) == fits

    def test_update_when_the_item_becomes_too_large_is_refused_and_changes_nothing(self, store: ItemStore) -> None:
        """Each part may fit, and all together not; the stores' own limits are some percent apart there."""
        half = "a" * 205_000
        store.write(Put(item("sort", text=half)))
        with pytest.raises(NotStorable):
            store.write(Update(KEY, {"more": half}))
        assert store.get(KEY) == item("sort", text=half)
        store.write(Update(KEY, {"more": half[:190_000]}))
        assert store.get(KEY) == item("sort", text=half, more=half[:190_000])

    def test_group_when_it_has_more_than_four_megabytes_is_refused(self, store: ItemStore) -> None:
        """A transaction has a limit of its own."""
        writes = [Put(item(f"{number:02d}", text="a" * 390 * 1024)) for number in range(11)]
        with pytest.raises(NotStorable, match="one transaction"):
            store.write(*writes)
        assert store.query(Query("partition")).items == []
        store.write(*writes[:10])

    def test_write_each_when_one_group_is_too_large_carries_out_the_others_and_says_so(self, store: ItemStore) -> None:
        """One item that is too large is no reason to lose others."""
        groups = [[Put(item("a"))], [Put(item("b", text="a" * ROOM + "four"))], [Put(item("c"))]]
        with pytest.raises(NotStorable):
            store.write_each(groups)
        assert [found.key.sort for found in store.query(Query("partition")).items] == ["a", "c"]

    def test_read_when_no_item_can_have_the_key_finds_nothing(self, store: ItemStore) -> None:
        """Whoever asks with an id that is too long hears that there is none."""
        for key in (Key("p" * 2049, "s"), Key("p", "s" * 1025), Key("", "s"), Key("p", "")):
            assert store.get(key) is None
        assert store.query(Query("p" * 2049)).items == []
        assert store.query(Query("p" * 2049, index="by_root")).items == []


class TestQuery:
    def test_query_returns_the_partition_in_the_order_of_utf8_bytes(self, store: ItemStore) -> None:
        """Sort keys are ordered as UTF-8 bytes, which is by code point, also beyond the basic plane."""
        sorts = [sort for sort in SORTS if sort]
        assert sorts == sorted(sorts, key=str.encode)
        for sort in reversed(sorts):
            store.write(Put(item(sort)), Put(item(sort, "elsewhere")))
        assert [found.key for found in store.query(Query("partition")).items] == [Key("partition", sort) for sort in sorts]

    @pytest.mark.parametrize(
        ("first", "last", "expected"),
        [
            ("", AFTER_ALL, ["A", "a", "a#1", "a#2", "b"]),
            ("a", "a", ["a"]),
            ("a#", "a#" + AFTER_ALL, ["a#1", "a#2"]),
            ("a#1", "a#2", ["a#1", "a#2"]),
            ("a#10", "a#11", []),
            ("c", AFTER_ALL, []),
        ],
    )
    @pytest.mark.parametrize("limit", [None, 1, 2])
    def test_query_when_a_range_is_given_includes_both_ends(
        self, store: ItemStore, first: str, last: str, expected: list[str], limit: int | None
    ) -> None:
        """A sort key equal to either end is in the range."""
        store.write(*[Put(item(sort)) for sort in ("A", "a", "a#1", "a#2", "b")])
        found = all_sorts(lambda after: store.query(Query("partition", first=first, last=last, limit=limit, after=after)))
        assert found == expected

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
    def test_query_when_paged_returns_every_item_once(self, store: ItemStore, limit: int, *, descending: bool) -> None:
        """A token continues exactly after the last item, in both directions, and no page is over its limit."""
        expected = [f"{number:02d}" for number in range(7)]
        store.write(*[Put(item(sort)) for sort in expected], Put(item("00", "partition2")))
        found = list(
            pages(lambda after: store.query(Query("partition", first="01", limit=limit, descending=descending, after=after)))
        )
        assert all(len(page.items) <= limit for page in found)
        sorts = [entry.key.sort for page in found for entry in page.items]
        assert sorts == (expected[:0:-1] if descending else expected[1:])

    def test_query_when_items_come_and_go_between_pages_neither_skips_nor_repeats_the_others(self, store: ItemStore) -> None:
        """A token is a place in the order, not a count; it outlives the item it was made from."""
        store.write(*[Put(item(sort)) for sort in "bdf"])
        page = store.query(Query("partition", limit=2))
        store.write(Delete(Key("partition", "d")), Put(item("a")), Put(item("e")))
        rest = store.query(Query("partition", after=page.next))
        assert [found.key.sort for found in rest.items] == ["e", "f"]

    def test_query_when_the_partition_is_empty_returns_an_empty_last_page(self, store: ItemStore) -> None:
        """Nothing there is an answer."""
        assert list(store.query(Query("nobody")).items) == []
        assert store.query(Query("nobody", limit=1)).next is None

    def test_query_when_the_page_would_be_empty_is_refused(self, store: ItemStore) -> None:
        """A page holds at least one item, or paging would never end."""
        with pytest.raises(ValueError, match="limit"):
            store.query(Query("partition", limit=0))

    @pytest.mark.parametrize("token", ["made up", "", "bm90IEpTT04=", "WzFd", "e30=", "bnVsbA==", "ä"])
    def test_query_when_the_token_is_made_up_is_refused(self, store: ItemStore, token: str) -> None:
        """Tokens travel through clients, so what comes back is checked."""
        with pytest.raises(InvalidInput, match="not a page token"):
            store.query(Query("partition", after=token))
        with pytest.raises(InvalidInput, match="not a page token"):
            store.query(Query("root", index="by_root", after=token))

    @pytest.mark.parametrize(
        "change",
        [
            {"first": "a"},
            {"last": "y"},
            {"descending": True},
            {"partition": "another"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_query_when_the_token_is_of_another_listing_is_refused(self, store: ItemStore, change: dict[str, Any]) -> None:
        """A token belongs to one listing, with its bounds and its direction. How much one asks for is no part of it."""
        store.write(*[Put(item(sort)) for sort in "bcd"], *[Put(item(sort, "another")) for sort in "bcd"])
        listing: dict[str, Any] = {"partition": "partition", "first": "", "last": AFTER_ALL, "descending": False}
        token = store.query(Query(**listing, limit=1)).next
        assert [found.key.sort for found in store.query(Query(**listing, limit=9, after=token)).items] == ["c", "d"]
        with pytest.raises(InvalidInput, match="not a page token"):
            store.query(Query(**{**listing, **change}, after=token))

    def test_query_when_the_token_is_of_an_index_is_refused_and_the_other_way_round(self, store: ItemStore) -> None:
        """Two indexes, and a partition of items, are listings of their own, even where they have one name."""
        places = {index: Key("p", "place") for index in ("by_root", "by_start")}
        store.write(*[Put(Item(Key("p", sort), indexes=places)) for sort in "ab"])
        of_items, of_root = store.query(Query("p", limit=1)).next, store.query(Query("p", index="by_root", limit=1)).next
        assert of_items is not None
        assert of_root is not None
        with pytest.raises(InvalidInput, match="not a page token"):
            store.query(Query("p", after=of_root))
        for token in (of_items, store.query(Query("p", index="by_start", limit=1)).next):
            with pytest.raises(InvalidInput, match="not a page token"):
                store.query(Query("p", index="by_root", after=token))

    def test_query_when_the_token_was_edited_is_refused(self, store: ItemStore) -> None:
        """Not one character may change on the way: an edited token would leave items out, and nobody would notice."""
        store.write(*[Put(item(sort)) for sort in "bcd"])
        token = store.query(Query("partition", limit=1)).next
        assert token is not None
        edited = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))]
        for one in [*edited, token[:-4], token + "AAAA", token + "!", "\n" + token]:
            with pytest.raises(InvalidInput, match="not a page token"):
                store.query(Query("partition", after=one))


class TestIndexes:
    def test_query_index_lists_only_items_with_a_place_in_it(self, store: ItemStore) -> None:
        """Indexes are sparse."""
        store.write(
            Put(Item(Key("p", "1"), indexes={"by_root": Key("root", "a")})),
            Put(Item(Key("p", "2"), indexes={"by_root": Key("another", "a")})),
            Put(Item(Key("p", "3"), indexes={"by_start": Key("root", "a")})),
            Put(Item(Key("p", "4"))),
        )
        assert [found.key.sort for found in store.query(Query("root", index="by_root")).items] == ["1"]

    def test_query_index_returns_items_without_documents(self, store: ItemStore) -> None:
        """A listing costs attributes, never documents. It tells the place in this index; those in others it may not."""
        store.write(Put(FULL_ITEM))
        (found,) = store.query(Query("root", index="by_root")).items
        assert (found.key, found.attributes, found.documents) == (KEY, FULL_ITEM.attributes, {})
        assert found.indexes["by_root"] == FULL_ITEM.indexes["by_root"]

    def test_query_index_after_updates_follows_the_item(self, store: ItemStore) -> None:
        """An entry moves, appears and disappears with the item's places, and shows the item's attributes of now."""
        store.write(Put(FULL_ITEM))
        store.write(Update(KEY, {"status": "DONE"}, set_indexes={"by_root": Key("root2", "z"), "by_start": None}))
        assert store.query(Query("root", index="by_root")).items == []
        assert store.query(Query("workspace", index="by_start")).items == []
        (found,) = store.query(Query("root2", index="by_root")).items
        assert found.attributes["status"] == "DONE"

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    def test_query_index_when_paged_over_equal_sort_keys_returns_every_item_once(
        self, store: ItemStore, limit: int, *, descending: bool
    ) -> None:
        """Many items may share a place; paging is exact all the same."""
        places = [("a", "p", "1"), ("b", "p", "1"), ("b", "p", "2"), ("b", "q", "0"), ("b", "q", "1"), ("c", "a", "a")]
        for place, partition, sort in places:
            key = Key(partition, f"{place}{sort}")
            store.write(Put(Item(key, {"place": place}, indexes={"by_start": Key("w", place)})))
        found = [
            (entry.attributes["place"], entry.key.partition, entry.key.sort[1:])
            for page in pages(
                lambda after: store.query(Query("w", index="by_start", limit=limit, descending=descending, after=after))
            )
            for entry in page.items
        ]
        assert sorted(found) == places
        assert [place for place, *_ in found] == sorted((place for place, *_ in places), reverse=descending)

    def test_query_index_when_both_ends_are_the_same_returns_what_is_there(self, store: ItemStore) -> None:
        """A run whose id says where it is listed is read by its place."""
        store.write(*[Put(Item(Key("p", place), indexes={"by_start": Key("w", place)})) for place in "abc"])
        assert [item.key.sort for item in store.query(Query("w", index="by_start", first="b", last="b", limit=1)).items] == [
            "b"
        ]

    def test_query_index_when_a_range_is_given_includes_both_ends(self, store: ItemStore) -> None:
        """A place equal to either end is in the range."""
        store.write(*[Put(Item(Key("p", place), indexes={"by_start": Key("w", place)})) for place in "abcd"])
        assert all_sorts(
            lambda after: store.query(Query("w", index="by_start", first="b", last="c", limit=1, after=after))
        ) == [
            "b",
            "c",
        ]


class TestConcurrency:
    def test_write_when_many_race_for_one_key_lets_exactly_one_win(self, store: ItemStore) -> None:
        """The conditional put is the fence of the whole engine: one writer wins per index of a history."""
        for index in range(10):
            key = Key("history", f"{index:08d}")
            puts = [Put(Item(key, {"owner": owner}), Absent()) for owner in range(8)]
            outcomes = at_the_same_time(*[partial(attempt, store, put) for put in puts])
            assert outcomes.count(None) == 1
            winner = outcomes.index(None)
            assert store.get(key) == Item(key, {"owner": winner})
            losers = [outcome for outcome in outcomes if outcome is not None]
            assert all(refused.existing == (Item(key, {"owner": winner}),) for refused in losers)

    def test_write_when_many_add_to_one_counter_loses_nothing(self, store: ItemStore) -> None:
        """`add` needs no read before it."""

        def add_ten() -> None:
            for _ in range(10):
                store.write(Update(KEY, add={"count": 1}))

        at_the_same_time(*[add_ten] * 8)
        assert store.get(KEY) == item("sort", count=80)

    def test_get_when_a_write_was_acknowledged_sees_it_from_every_thread(self, store: ItemStore) -> None:
        """Reads are consistent: what one caller has seen, all callers see."""
        with ThreadPoolExecutor(4) as pool:
            for count in range(20):
                store.write(Put(item("sort", count=count)))
                readings = pool.map(lambda _: store.get(KEY), range(4))
                assert list(readings) == [item("sort", count=count)] * 4

    @pytest.mark.slow
    def test_query_when_transactions_move_an_amount_never_sees_half_of_one(self, store: ItemStore) -> None:
        """Other callers see all of a transaction or nothing of it."""
        one, two = Key("accounts", "1"), Key("accounts", "2")
        store.write(Put(Item(one, {"amount": 100})), Put(Item(two, {"amount": 0})))

        def move() -> None:
            for _ in range(30):
                store.write(Update(one, add={"amount": -1}), Update(two, add={"amount": 1}))

        def read() -> set[Any]:
            sums = set()
            for _ in range(100):
                first, second = store.query(Query("accounts")).items
                sums.add(first.attributes["amount"] + second.attributes["amount"])  # type: ignore[operator]
            return sums

        assert at_the_same_time(move, move, read)[2] == {100}


# --- the store against a model: a dict ---------------------------------------------------------------------------------

MODEL_SORTS = st.sampled_from(["a", "b", "ß", "😀"])
VALUES = st.sampled_from(["x", "y", 1, True, None])
ATTRIBUTES = st.dictionaries(st.sampled_from(["status", "owner"]), VALUES, max_size=2)
DOCUMENTS = st.dictionaries(st.sampled_from(["d1", "d2"]), st.sampled_from([1, "é", [1, {"n": None}]]), max_size=2)
PLACES = st.builds(Key, st.just("w"), st.sampled_from(["1", "2"]))
CONDITIONS = st.one_of(st.none(), st.builds(Absent), st.builds(Matches, ATTRIBUTES), st.builds(AbsentOrMatches, ATTRIBUTES))


def model_writes(partition: str) -> st.SearchStrategy[Write]:
    keys = st.builds(Key, st.just(partition), MODEL_SORTS)
    items = st.builds(Item, keys, ATTRIBUTES, DOCUMENTS, st.dictionaries(st.just("model"), PLACES))
    return st.one_of(
        st.builds(Put, items, CONDITIONS),
        st.builds(
            Update,
            keys,
            ATTRIBUTES,
            DOCUMENTS,
            st.dictionaries(st.just("count"), st.integers(-3, 3)),
            st.dictionaries(st.just("model"), st.none() | PLACES),
            CONDITIONS,
        ),
        st.builds(Delete, keys, CONDITIONS),
        st.builds(Check, keys, CONDITIONS.filter(lambda condition: condition is not None)),
    )


def model_holds(condition: Condition, old: Item | None) -> bool:
    if condition is None or (old is None and isinstance(condition, Absent | AbsentOrMatches)):
        return True
    if old is None or isinstance(condition, Absent):
        return False
    wanted = [(name, type(value), value) for name, value in condition.attributes.items()]
    return set(wanted) <= {(name, type(value), value) for name, value in old.attributes.items()}


def model_result(write: Write, old: Item | None) -> Item | None:
    match write:
        case Put(new):
            return new
        case Delete():
            return None
        case Check():
            return old
        case Update(key, attributes, documents, add, indexes):
            base = old or Item(key)
            counts: Mapping[str, Any] = {"count": 0, **base.attributes}
            places = {**base.indexes, **indexes}
            return Item(
                key,
                {**base.attributes, **attributes, **{name: counts[name] + number for name, number in add.items()}},
                {**base.documents, **documents},
                {index: place for index, place in places.items() if place is not None},
            )


@settings(
    max_examples=either(short=15, full=60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), examples=st.uuids())
def test_store_when_given_any_writes_does_as_a_dict_would(store: ItemStore, data: st.DataObject, examples: UUID) -> None:
    """Any sequence of transactions leaves what a dict that is changed by the port's docstrings would hold."""
    partition = f"model-{examples}"
    for key in [found.key for found in store.query(Query(partition)).items]:
        store.write(Delete(key))
    model: dict[Key, Item] = {}
    groups = st.lists(model_writes(partition), min_size=1, max_size=3, unique_by=lambda write: write.key)
    for group in data.draw(st.lists(groups, max_size=8)):
        failed = [number for number, write in enumerate(group) if not model_holds(write.condition, model.get(write.key))]
        refused = attempt(store, *group)
        if failed:
            assert refused is not None
            assert refused.failed == tuple(failed)
            assert [refused.existing[number] for number in failed] == [model.get(group[number].key) for number in failed]
            continue
        assert refused is None
        for write in group:
            new = model_result(write, model.pop(write.key, None))
            if new is not None:
                model[write.key] = new
    expected = [model[key] for key in sorted(model, key=lambda key: key.sort.encode())]
    assert list(store.query(Query(partition)).items) == expected
    listed = [found for found in store.query(Query("w", index="model")).items if found.key.partition == partition]
    assert {found.key for found in listed} == {found.key for found in expected if found.indexes}
