"""Loops over things of several owners go on, whatever one of them is like."""

import pytest
from pydantic import TypeAdapter, ValidationError

from levante_core.errors import InconsistentHistory, InvalidInput, Unavailable
from levante_core.services.dispatch.containment import MOST_OF_ONE, OUTAGE, each_by_itself
from levante_core.services.dispatch.parking import described


class Run:
    """Handles numbers; fails with what is said for some of them."""

    def __init__(self, failing: dict[int, Exception]) -> None:
        self.failing = failing
        self.tried: list[int] = []
        self.handled: list[int] = []
        self.parked: dict[int, Exception] = {}

    def handle(self, number: int) -> None:
        """Handle one."""
        self.tried.append(number)
        if error := self.failing.get(number):
            raise error
        self.handled.append(number)

    def park(self, number: int, error: Exception) -> None:
        """Remember what was parked."""
        self.parked[number] = error


def test_loop_when_some_fail_then_they_are_parked_and_the_others_handled() -> None:
    """Whatever an item fails with, it is this item's."""
    run = Run({1: ValueError("x"), 4: RecursionError("y"), 6: KeyError("z")})
    each_by_itself(range(8), run.handle, run.park)
    assert (run.handled, run.parked) == ([0, 2, 3, 5, 7], run.failing)


@pytest.mark.parametrize("count", [1, OUTAGE - 1, OUTAGE, 50])
def test_loop_when_all_are_unavailable_then_it_raises_soon_and_parks_none(count: int) -> None:
    """An outage is nobody's fault, and is no reason to try a hundred things one after the other."""
    run = Run({number: Unavailable("down") for number in range(count)})
    with pytest.raises(Unavailable):
        each_by_itself(range(count), run.handle, run.park)
    assert (run.parked, len(run.tried)) == ({}, min(count, OUTAGE))


def test_loop_when_some_are_unavailable_and_others_get_through_then_these_are_parked() -> None:
    """What gets through shows that the others have a fault of their own, also if it comes after them."""
    run = Run({number: Unavailable("down") for number in (0, 1, 3)})
    each_by_itself(range(6), run.handle, run.park)
    assert (run.handled, set(run.parked)) == ([2, 4, 5], {0, 1, 3})


def test_loop_when_a_group_is_unavailable_then_its_others_are_parked_without_a_try() -> None:
    """A hundred tasks for one queue that is down must not take a hundred times as long as one."""
    numbers = [0, 2, 4, 1, 6, 8, 10, 12]
    run = Run({number: Unavailable("down") for number in numbers if number % 2 == 0})
    each_by_itself(numbers, run.handle, run.park, group=lambda number: number % 2)
    assert (len(run.tried), run.handled, len(run.parked)) == (MOST_OF_ONE + 1, [1], 7)


def test_loop_when_something_cannot_be_parked_then_it_raises() -> None:
    """What is neither handled nor parked would be lost."""

    def park(_: int, __: Exception) -> None:
        raise Unavailable("the table is down")

    with pytest.raises(Unavailable):
        each_by_itself([1], Run({1: ValueError("x")}).handle, park)


def validation_error() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(dict[str, int]).validate_json('{"a": "a secret"}')
    return caught.value


@pytest.mark.parametrize(
    "error", [ValueError("a secret"), InvalidInput.at(("x",), "a secret"), KeyError("a secret"), validation_error()]
)
def test_error_when_described_then_what_may_be_a_payload_is_left_out(error: Exception) -> None:
    """Errors of libraries quote what they refuse."""
    said = described(error)
    assert "secret" not in said
    assert type(error).__name__ in said


def test_error_when_it_is_our_own_then_its_message_is_told() -> None:
    """It says what was wrong and where, and quotes no payloads."""
    assert described(InconsistentHistory("batch 2 is missing")) == "InconsistentHistory: batch 2 is missing"
