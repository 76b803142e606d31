import pytest
from benchmarks.cost.units import (
    Image,
    Index,
    UnknownKind,
    gateway_requests,
    get_units,
    index_write_units,
    item_bytes,
    query_units,
    queue_requests,
    write_units,
)

INDEX = Index("by_status", ("ip", "is"), frozenset({"pk", "ip", "is", "status"}))


def item(size: int, **places: str) -> Image:
    """An item of so many bytes, places not counted."""
    return {"pk": {"S": "x" * (size - 2)}, **{name: {"S": value} for name, value in places.items()}}


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "abc"}, 3),
        ({"S": "über"}, 5),
        ({"S": ""}, 0),
        ({"BOOL": False}, 1),
        ({"NULL": True}, 1),
        ({"N": "7"}, 2),
        ({"N": "-7"}, 3),
        ({"N": "1234"}, 3),
        ({"N": "12300"}, 3),
        ({"N": "0.05"}, 2),
        ({"N": "0"}, 1),
    ],
)
def test_item_bytes_when_a_value_has_a_kind_then_its_rule_and_its_name_count(value: dict[str, object], size: int) -> None:
    """Names count as UTF-8, numbers by pairs of significant digits; zeros around them are free."""
    assert item_bytes({"ab": value}) == size + 2


def test_item_bytes_when_a_kind_is_not_known_then_it_is_refused() -> None:
    """A guess would make a bill that looks right."""
    with pytest.raises(UnknownKind):
        item_bytes({"a": {"M": {}}})


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, item(1), 1),
        (None, item(1024), 1),
        (None, item(1025), 2),
        (item(5000), item(10), 5),
        (item(10), item(5000), 5),
        (item(3000), None, 3),
        (None, None, 1),
    ],
)
def test_write_units_when_an_item_changes_then_the_larger_of_both_counts(
    before: Image | None, after: Image | None, units: int
) -> None:
    """A KiB each, rounded up; nothing is free, not even a condition on an item that is not there."""
    assert write_units(before, after) == units


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, item(9), 0),
        (None, item(9, ip="a"), 0),
        (None, item(9, ip="a", **{"is": "1"}), 1),
        (item(9, ip="a", **{"is": "1"}), item(9, ip="a", **{"is": "1"}), 0),
        (item(9, ip="a", **{"is": "1"}), item(9, ip="a", **{"is": "1", "other": "x"}), 0),
        (item(9, ip="a", **{"is": "1"}), item(9, ip="a", **{"is": "1", "status": "x"}), 1),
        (item(9, ip="a", **{"is": "1"}), item(9, ip="a", **{"is": "2"}), 2),
        (item(9, ip="a", **{"is": "1"}), item(9), 1),
        (item(9, ip="a", **{"is": "1"}), None, 1),
        (None, item(2000, ip="a", **{"is": "1"}), 2),
    ],
    ids=["absent", "half a place", "put", "same", "not carried", "carried", "moved", "left", "deleted", "large"],
)
def test_index_write_units_when_an_item_changes_then_entries_put_changed_and_deleted_count(
    before: Image | None, after: Image | None, units: int
) -> None:
    """An index costs for what happens to its own entries, and for nothing else."""
    assert index_write_units(INDEX, before, after) == units


@pytest.mark.parametrize(("size", "units"), [(1, 1), (4096, 1), (4097, 2)])
def test_get_units_when_an_item_is_read_then_each_four_kib_count(size: int, units: int) -> None:
    """An eventually consistent read costs half."""
    assert get_units(item(max(size, 2)), is_consistent=True) == units
    assert get_units(item(max(size, 2)), is_consistent=False) == units / 2


def test_get_units_when_nothing_is_there_then_looking_costs_one() -> None:
    """Reading an item that does not exist is a read of the smallest size."""
    assert get_units(None, is_consistent=True) == 1


def test_query_units_when_there_are_many_items_then_their_sum_is_rounded_once() -> None:
    """A query pays for all of its items together, unlike as many reads."""
    assert query_units([item(100)] * 40, is_consistent=True) == 1
    assert query_units([item(100)] * 41, is_consistent=True) == 2
    assert query_units([], is_consistent=False) == 0.5


def test_requests_when_payloads_grow_then_they_are_billed_by_chunk() -> None:
    """64 KiB with SQS, 512 KiB with an HTTP API; an empty one is a request too."""
    assert [queue_requests(size) for size in (0, 65536, 65537)] == [1, 1, 2]
    assert [gateway_requests(size) for size in (0, 524288, 524289)] == [1, 1, 2]
