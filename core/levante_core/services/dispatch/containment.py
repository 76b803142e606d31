"""How a loop over things of several owners goes on when one of them cannot be handled."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from levante_core.errors import Unavailable

T = TypeVar("T")

OUTAGE = 5
"""So many in a row that fail as Unavailable, with no success before: what is down is down for everybody."""
MOST_OF_ONE = 2
"""So many things of one group are tried while they fail as Unavailable; the others of that group are not tried at all."""


def each_by_itself(
    items: Iterable[T],
    handle: Callable[[T], object],
    park: Callable[[T, Exception], object],
    *,
    group: Callable[[T], Hashable] = lambda _: None,
) -> None:
    """Handle each item. What fails is parked, whatever it fails with, and the others are handled all the same.

    group: what is probably unavailable together, such as one queue.
    Raises: Unavailable if every item failed with that, of which then none is parked: it is no item's fault. Whatever
    `park` raises.
    """
    unavailable: list[tuple[T, Unavailable]] = []
    failures: Counter[Hashable] = Counter()
    given_up: dict[Hashable, Unavailable] = {}
    has_got_through = False
    for item in items:
        name = group(item)
        problem = given_up.get(name) or _problem(handle, item)
        if isinstance(problem, Unavailable):
            unavailable.append((item, problem))
            failures[name] += 1
            if name is not None and failures[name] == MOST_OF_ONE:
                given_up[name] = problem
            if not has_got_through and len(unavailable) >= OUTAGE:
                raise problem
            continue
        has_got_through = True
        if problem:
            park(item, problem)
    if unavailable and not has_got_through:
        raise unavailable[0][1]
    for item, error in unavailable:
        park(item, error)


def _problem(handle: Callable[[T], object], item: T) -> Exception | None:
    try:
        handle(item)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this item's
        return error
    return None
