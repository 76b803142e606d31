"""Waiting for the end of an execution by asking again and again, with growing pauses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from levante.cli.client import REQUEST_SECONDS, Answer
from levante.cli.exits import CommandFailed

FIRST_PAUSE_SECONDS = 0.1
LAST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.5
SHORTEST_REQUEST_SECONDS = 0.5
PATIENCE_SECONDS = 30.0
"""How long the API may be out of reach while it is waited for, as when the host is started again."""

OPEN_STATUSES = frozenset({"RUNNING", "RETRYING_AFTER_ERROR"})
"""Anything else is an end. Source: REST contract, section 3 (read 2026-11-23)."""


@dataclass(frozen=True)
class Surroundings:
    """What waiting needs. clock: seconds, only ever forward. progress: told the seconds waited so far."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    progress: Callable[[float], None] = lambda _seconds: None


def has_ended(answer: Answer) -> bool:
    """Tell whether an execution has ended. Raises: CommandFailed if the answer is none."""
    answer.field("execution_id", str)
    return answer.value.get("status") not in OPEN_STATUSES


def wait_for_end(fetch: Callable[[float], Answer], timeout: float | None, surroundings: Surroundings) -> Answer | None:
    """Ask until the execution has ended. Returns its last state; None when the time is over before that.

    fetch(seconds): asks once, and gives up after so many seconds. timeout: seconds; at least one question is asked.
    Raises: CommandFailed when the API refuses, or is out of reach for PATIENCE_SECONDS.
    """
    began = heard_at = surroundings.clock()
    pause = FIRST_PAUSE_SECONDS
    while True:
        left = None if timeout is None else timeout - (surroundings.clock() - began)
        limit = REQUEST_SECONDS if left is None else min(REQUEST_SECONDS, max(left, SHORTEST_REQUEST_SECONDS))
        try:
            answer = fetch(limit)
        except CommandFailed as failed:
            if not failed.is_temporary or surroundings.clock() - heard_at > PATIENCE_SECONDS:
                raise
        else:
            heard_at = surroundings.clock()
            if has_ended(answer):
                return answer
        waited = surroundings.clock() - began
        if timeout is not None and waited >= timeout:
            return None
        surroundings.progress(waited)
        surroundings.sleep(pause if timeout is None else min(pause, timeout - waited))
        pause = min(pause * PAUSE_GROWTH, LAST_PAUSE_SECONDS)
