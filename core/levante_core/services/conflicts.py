"""Lost races: a conditional write that somebody else was faster with is tried again, here and nowhere else."""

from collections.abc import Iterator
from datetime import timedelta

from levante_core.ports.surroundings import Clock, Ids

BUDGET = timedelta(seconds=10)
"""So long a call goes on trying. API Gateway gives a call up after 29 s (quotas of HTTP APIs, read 2026-11-30)."""
FIRST_PAUSE = timedelta(milliseconds=10)
LONGEST_PAUSE = timedelta(milliseconds=500)


class Conflicts:
    """Retries with exponential backoff and full jitter.

    Callers that collide once would collide again if all of them came back at the same moment.
    Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (read 2026-11-30).
    """

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids

    def attempts(self) -> Iterator[None]:
        """Yield once per attempt, and pause between two; end when the budget is spent.

        The caller returns from the loop when its write was accepted, and raises Unavailable behind the loop.
        """
        deadline, longest = self._clock.now() + BUDGET, FIRST_PAUSE
        while True:
            yield
            pause = longest * self._ids.fraction()
            if self._clock.now() + pause >= deadline:
                return
            self._clock.sleep(pause.total_seconds())
            longest = min(2 * longest, LONGEST_PAUSE)
