"""How long the supervisor waits between the rounds of a loop, in virtual time."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from levante.testing import run_in_virtual_time
from levante_local.supervision import LAST_RETRY_SECONDS, Supervisor, not_before
from tests.fakes import FakeClock


class Loop:
    """A loop whose rounds end as a test says. at: when each of them began, in seconds."""

    def __init__(self, *outcomes: float | Exception | None) -> None:
        self.at: list[float] = []
        self._outcomes: Iterator[float | Exception | None] = iter(outcomes)

    async def step(self) -> float | None:
        """Take one round."""
        self.at.append(round(asyncio.get_running_loop().time(), 3))
        outcome = next(self._outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def begun(loop: Loop) -> list[float]:
    """Keep a loop going until its last round. Returns the times between the beginnings of its rounds."""
    run_in_virtual_time(Supervisor(FakeClock()).keep("part", loop.step))
    return [round(later - earlier, 3) for earlier, later in zip(loop.at, loop.at[1:], strict=False)]


def test_rounds_when_they_fail_again_and_again_then_the_pause_doubles_up_to_a_bound() -> None:
    """What is down for long is tried often enough to be noticed when it is up, and no more often."""
    assert begun(Loop(*[ValueError()] * 9, None)) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert LAST_RETRY_SECONDS == 5.0


def test_rounds_when_one_goes_well_then_the_next_failure_is_a_first_one() -> None:
    """Failures of long ago say nothing."""
    assert begun(Loop(ValueError(), ValueError(), 0.0, ValueError(), None)) == [0.1, 0.2, 0.0, 0.1]


def test_rounds_when_they_go_well_then_the_next_is_due_when_the_loop_says() -> None:
    """A loop knows how often it is needed; one that says nothing has had its last round."""
    assert begun(Loop(60.0, 1.0, 0.0, None)) == [60.0, 1.0, 0.0]


def test_round_when_it_may_not_begin_before_a_time_then_it_waits_for_that_alone() -> None:
    """Later rounds are not delayed."""
    loop = Loop(0.0, 1.0, None)

    async def main() -> None:
        now = asyncio.get_running_loop().time()
        await Supervisor(FakeClock()).keep("part", not_before(now + 1.5, loop.step))
        assert [at - round(now, 3) for at in loop.at] == pytest.approx([1.5, 1.5, 2.5])

    run_in_virtual_time(main())


def test_problems_when_several_loops_fail_then_the_oldest_is_first_and_each_goes_when_it_works_again() -> None:
    """Whoever looks sees what was down first, since when, and nothing of what is over."""
    clock = FakeClock()
    supervisor = Supervisor(clock)
    for name in ("feed", "timers", "feed"):
        supervisor.report(name, ValueError())
        clock.advance(1)
    assert [(problem.part, problem.count) for problem in supervisor.problems] == [("feed", 2), ("timers", 1)]
    assert supervisor.problems[0].since < supervisor.problems[1].since
    run_in_virtual_time(supervisor.keep("feed", Loop(None).step))
    assert [problem.part for problem in supervisor.problems] == ["timers"]


def test_log_when_a_loop_fails_often_then_it_has_few_lines_and_the_first_alone_has_the_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The first, second, fourth, eighth failure, and that it works again."""
    with caplog.at_level(logging.WARNING, "levante.host"):
        begun(Loop(*[ValueError()] * 9, None))
    assert [record.message.split(";")[0] for record in caplog.records] == [
        *[f"part failed {count} times" for count in (1, 2, 4, 8)],
        "part works again",
    ]
    assert [bool(record.exc_info) for record in caplog.records] == [True, False, False, False, False]
