"""The short form of a broad test: whatever each parameter may be occurs in it, and it is the same each time."""

from collections import Counter
from itertools import combinations, product
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support import forms
from tests.support.forms import covering, either, spread

AXES = {"route": [f"route {n}" for n in range(40)], "key": ["none", "reader", "worker"], "workspace": ["own", "other"]}
CASES = [dict(zip(AXES, values, strict=True)) for values in product(*AXES.values())]


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_full", [False])


@pytest.fixture
def _full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_full", [True])


def test_cases_when_some_cover_the_rest_then_each_value_occurs_and_no_case_is_there_for_nothing() -> None:
    """What only one value of a parameter can show is found by the short form, too."""
    chosen = [CASES[place] for place in covering(CASES)]
    assert {item for case in chosen for item in case.items()} == {item for case in CASES for item in case.items()}
    times = Counter(item for case in chosen for item in case.items())
    assert len(chosen) == len(AXES["route"])
    assert all(times["route", case["route"]] == 1 for case in chosen)


def test_cases_when_pairs_are_asked_for_then_each_two_values_meet() -> None:
    """What two values show together is found, and three axes still cost little more than the two largest."""
    chosen = [CASES[place] for place in covering(CASES, pairs=True)]
    pairs = {pair for case in chosen for pair in combinations(case.items(), 2)}
    assert pairs == {pair for case in CASES for pair in combinations(case.items(), 2)}
    assert len(AXES["route"]) * len(AXES["key"]) <= len(chosen) < len(CASES) * 0.75


def test_cases_when_they_stand_in_another_order_then_the_same_ones_are_chosen() -> None:
    """Processes that share the tests between them have to agree about them."""
    turned = CASES[::-1]
    assert [CASES[place] for place in covering(CASES)] == [turned[place] for place in covering(turned)][::-1]


def test_cases_when_they_are_no_product_then_none_is_left_out() -> None:
    """A list of cases of which each is another one has no short form."""
    cases = [{"name": str(number), "value": str(number)} for number in range(30)]
    assert covering(cases) == list(range(30))
    assert covering([]) == []


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (10, range(10)), (99, range(10))])
def test_values_when_spread_then_the_first_and_the_last_are_there(count: int, expected: list[int]) -> None:
    """Ends are where rules change."""
    assert list(spread(range(10), count)) == list(expected)


@pytest.mark.usefixtures("_full")
def test_full_form_when_run_then_nothing_is_left_out() -> None:
    """It has all that the test is about."""
    assert spread(range(10), 2) == range(10)
    assert either(short=1, full=2) == 2


def test_form_when_asked_for_too_early_then_that_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short form that nobody asked for would leave things out in silence."""
    monkeypatch.setattr(forms, "_full", [])
    with pytest.raises(RuntimeError, match="not known"):
        either(short=1, full=2)


def case_of(test: str, number: int, *marks: pytest.MarkDecorator, **parameters: Any) -> pytest.Item:
    """Stand in for what pytest collects."""
    spec = SimpleNamespace(params=parameters, indices=dict.fromkeys(parameters, number))
    found = {decorator.name: decorator.mark for decorator in marks}
    return cast("pytest.Item", SimpleNamespace(nodeid=f"{test}[{number}]", callspec=spec, get_closest_marker=found.get))


def test_cases_when_their_test_is_broad_then_some_are_left_out_and_those_of_others_stay() -> None:
    """The marker is all that a test has to say. Values that are equal and not the same, as 1 and True, both occur."""
    broad = pytest.mark.broad
    pairs = list(product(range(20), (1, True, None)))
    marked = [case_of("broad", number, broad, one=one, other=other) for number, (one, other) in enumerate(pairs)]
    unlike = [case_of("objects", number, broad, one=object()) for number in range(3)]
    plain = [case_of("plain", number, one=1) for number in range(5)]
    items = [*plain, *marked, *unlike]
    left_out = forms.leave_out(cast("list[Any]", items))
    assert len(left_out) == 40
    assert [item for item in [*plain, *marked, *unlike] if item not in left_out] == items
    left = [repr(cast("Any", item).callspec.params["other"]) for item in items if item in marked]
    assert set(left) == {"1", "True", "None"}
    assert all(item in items for item in [*plain, *unlike])


def test_cases_when_some_are_skipped_then_others_show_their_values() -> None:
    """A value that occurs only where nothing runs does not occur."""
    marks = {0: [pytest.mark.skip()], 1: [pytest.mark.emulators]}
    items = [
        case_of("broad", 10 * number + name, pytest.mark.broad, *marks.get(number, []), mode=number, name=name)
        for number in range(3)
        for name in range(5)
    ]
    forms.leave_out(items)
    run = [cast("Any", item).callspec.params for item in items[10:]]
    assert {values["name"] for values in run} == set(range(5))
    assert {values["mode"] for values in run} == {2}
