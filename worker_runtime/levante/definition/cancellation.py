"""What becomes of an activity or a child when the code that waits for it is cancelled."""

from __future__ import annotations

import asyncio
from typing import Literal, TypeAlias, TypeVar, get_args

T = TypeVar("T")

Cancellation: TypeAlias = Literal["try", "wait", "abandon"]
"""try: it is asked to end, and the code goes on at once. wait: it is asked to end, and the code goes on when it has.
abandon: it goes on, and the code too."""


def problem_with_cancellation(value: object) -> str | None:
    """Say what is wrong with a value for `cancellation`, if anything is."""
    choices = get_args(Cancellation)
    return None if value in choices else f"cancellation is one of {', '.join(map(repr, choices))}, not {value!r}"


def unless_abandoned(end: asyncio.Future[T], cancellation: Cancellation) -> asyncio.Future[T]:
    """Return what to await, so that a cancellation reaches `end` unless what ends by it is to be abandoned."""
    return asyncio.shield(end) if cancellation == "abandon" else end
