"""Names that somebody may have meant who wrote another one."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

MOST_COMPARED = 1000
"""Names that are looked at: a comparison takes microseconds, and none may take seconds."""
LONGEST_COMPARED = 200
FEWEST_IN_COMMON = 4
"""Letters, from which on a name is taken for a part of another one, or for one that begins like it."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like another one; None where none is."""
    if len(name) > LONGEST_COMPARED:
        return None
    among = {each.lower(): each for each in islice(known, MOST_COMPARED)}
    written = name.lower()
    close = get_close_matches(written, among, n=1)
    if close:
        return among[close[0]]
    if len(written) >= FEWEST_IN_COMMON and (longer := [each for each in among if written in each]):
        return among[longer[0]]
    shared = {each: _letters_in_common(written, each) for each in among}
    longest = max(shared.values(), default=0)
    begins_alike = [each for each, length in shared.items() if length == longest >= FEWEST_IN_COMMON]
    return among[begins_alike[0]] if begins_alike else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message, such as ". Did you mean 'charge'?"; empty where no known name is near."""
    near = nearest(name, known)
    return "" if near is None else f". Did you mean {near!r}?"


def _letters_in_common(one: str, other: str) -> int:
    """Count the letters with which both names begin."""
    differing = (count for count, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    return next(differing, min(len(one), len(other)))
