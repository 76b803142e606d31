"""The two forms of a broad test: short in `make test`, full in `make test-full`, which gives pytest `--full`.

`@pytest.mark.broad` says that a test has many cases: its short form has so many that each value of each parameter occurs.
`@pytest.mark.broad(pairs=True)`: so many that each two values of different parameters occur together.
`either(short=30, full=150)` and `spread(values, 5)` are for what is inside of a test: examples, seeds, positions.
Nothing is drawn: the short form is the same each time and in each process.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import combinations
from typing import Any, Final, TypeVar
from zlib import crc32

import pytest
from hypothesis import settings

T = TypeVar("T")
Values = Mapping[str, str]
"""What each parameter of a case is, as text."""

MARKER: Final = "broad(pairs=False): has many cases, of which `make test` runs so many that each value occurs"
_PLAIN = (str, bytes, int, float, Enum, type(None))
_full: list[bool] = []


def choose(*, full: bool) -> None:
    """Choose the form of all tests, before any of them is collected. Examples are drawn anew in the full form only."""
    _full[:] = [full]
    settings.register_profile("short", derandomize=True, max_examples=25)
    settings.register_profile("full", print_blob=True)
    settings.load_profile("full" if full else "short")


def is_full() -> bool:
    """Whether tests run in their full form. RuntimeError: pytest has not read its options yet."""
    if not _full:
        raise RuntimeError("the form of the tests is not known before pytest has read its options")
    return _full[0]


def either(*, short: T, full: T) -> T:
    """Return what belongs to the form of this run."""
    return full if is_full() else short


def spread(values: Sequence[T], count: int) -> Sequence[T]:
    """Return all values in the full form, and so many in the short one: the first, the last, and some in between."""
    if is_full() or len(values) <= count:
        return values
    return [values[round(place * (len(values) - 1) / max(count - 1, 1))] for place in range(count)]


def leave_out(items: list[pytest.Item]) -> list[pytest.Item]:
    """Take the cases out of the list which the short form does without, and return them."""
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("broad") and hasattr(item, "callspec") and not _may_be_skipped(item):
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left_out = [item for cases in tests.values() for item in _left_out(cases)]
    names = {item.nodeid for item in left_out}
    items[:] = [item for item in items if item.nodeid not in names]
    return left_out


def covering(cases: Sequence[Values], *, pairs: bool = False) -> list[int]:
    """Return the places of some cases in which each value occurs; with pairs, each two that occur together at all.

    Cases that bring much that is new are taken first, in an order that depends on what they are and not on where they stand.
    """
    parts = [frozenset(_parts(case, pairs=pairs)) for case in cases]
    in_order = sorted(range(len(cases)), key=lambda place: crc32(repr(sorted(cases[place].items())).encode()))
    chosen: list[int] = []
    seen: set[Hashable] = set()
    for least in range(max(map(len, parts), default=0), 0, -1):
        for place in in_order:
            if len(parts[place] - seen) >= least:
                seen |= parts[place]
                chosen.append(place)
    return sorted(chosen)


def _parts(case: Values, *, pairs: bool) -> Iterator[Hashable]:
    values = sorted(case.items())
    return combinations(values, 2) if pairs and len(values) > 1 else iter(values)


def _may_be_skipped(item: pytest.Item) -> bool:
    """Whether a case shows nothing, or only where there are emulators: others have to show its values."""
    return any(item.get_closest_marker(name) for name in ("skip", "emulators"))


def _left_out(cases: Sequence[pytest.Item]) -> list[pytest.Item]:
    marker = cases[0].get_closest_marker("broad")
    assert marker
    chosen = set(covering([_values(item) for item in cases], **marker.kwargs))
    return [item for place, item in enumerate(cases) if place not in chosen]


def _values(item: Any) -> Values:
    """Return the parameters of a case: those that are no plain values as numbers, which are the same in each process."""
    spec = item.callspec
    return {
        name: repr(value) if isinstance(value, _PLAIN) else f"number {spec.indices[name]}"
        for name, value in spec.params.items()
    }
