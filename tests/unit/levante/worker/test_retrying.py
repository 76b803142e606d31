"""How often calls are repeated, how long their repeats wait, and loops that nothing but their end ends."""

import asyncio
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from levante.testing.virtual_time import run_in_virtual_time
from levante.worker.transport.retrying import (
    ENDLESS,
    LAST_RETRY_SECONDS,
    MOST_RETRY_AFTER_SECONDS,
    SHARED,
    SHORT,
    WORK,
    Patience,
    Retries,
    Trouble,
    for_ever,
    seconds_of,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    """Moves on by what is waited."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def waited(patience: Patience, trouble: Trouble, most: float = 3600, draw: float = 1.0) -> float:
    """Return how long a call is repeated that meets nothing else."""
    clock = Clock()
    retries = Retries(patience, clock, lambda: draw)
    while clock.seconds < most and (pause := retries.pause(trouble)) is not None:
        assert pause > 0
        clock.seconds += pause
    return clock.seconds


@pytest.mark.parametrize(
    ("patience", "trouble", "least", "most"),
    [
        pytest.param(ENDLESS, Trouble.UNREACHABLE, 3600, 3700, id="a worker outlives an API that is away"),
        pytest.param(ENDLESS, Trouble.UNAVAILABLE, 3600, 3700, id="and one behind a proxy that says so"),
        pytest.param(ENDLESS, Trouble.FAULT, 1, 4, id="but a poll that breaks the API is logged"),
        pytest.param(WORK, Trouble.UNREACHABLE, 600, 900, id="finished work outlives ten minutes"),
        pytest.param(WORK, Trouble.UNAVAILABLE, 240, 300, id="and five behind a proxy"),
        pytest.param(WORK, Trouble.FAULT, 1, 4, id="an item that breaks the API is known soon"),
        pytest.param(SHORT, Trouble.UNREACHABLE, 10, 20, id="what comes again by itself waits less than a lease"),
        pytest.param(SHARED, Trouble.UNREACHABLE, 0.1, 0.2, id="seven splits take less than two seconds"),
        pytest.param(SHARED, Trouble.UNAVAILABLE, 0.1, 0.2, id="whatever the trouble"),
        pytest.param(SHARED, Trouble.FAULT, 0, 0, id="and a fault splits at once"),
    ],
)
def test_call_when_it_meets_trouble_then_it_is_repeated_for_so_long(
    patience: Patience, trouble: Trouble, least: float, most: float
) -> None:
    """Each kind of call has its bounds, whatever the jitter."""
    assert least <= waited(patience, trouble) <= most
    assert waited(patience, trouble, draw=0.0) <= most


def test_pauses_when_they_grow_then_no_two_workers_move_in_step() -> None:
    """Half of a pause is drawn; pauses double up to a limit."""
    for draw, share in ((0.0, 0.5), (1.0, 1.0)):
        retries = Retries(ENDLESS, Clock(), lambda draw=draw: draw)  # type: ignore[misc] # mypy does not infer its default
        pauses = [retries.pause(Trouble.UNREACHABLE) for _ in range(9)]
        assert pauses == pytest.approx([share * min(0.1 * 2**n, LAST_RETRY_SECONDS) for n in range(9)])


def test_pause_when_the_api_asks_for_one_then_it_is_kept_within_reason() -> None:
    """And if it is longer than the patience, the caller is told at once."""
    retries = Retries(WORK, Clock(), lambda: 0.0)
    assert retries.pause(Trouble.UNAVAILABLE, 7.0) == pytest.approx(7.05)
    assert retries.pause(Trouble.UNAVAILABLE, 1e9) == pytest.approx(MOST_RETRY_AFTER_SECONDS + 0.1)
    assert Retries(SHARED, Clock()).pause(Trouble.UNAVAILABLE, 7.0) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("9" * 5000, 999_999_999.0),
        ("-7", None),
        ("soon", None),
        ("\N{ARABIC-INDIC DIGIT SEVEN}", None),
        ("Thu, 01 Jan 2026 12:00:09 GMT", 9.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 99 Jan 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after_when_it_is_read_then_nonsense_means_nothing(header: str | None, seconds: float | None) -> None:
    """RFC 9110: seconds or a date. No header of a proxy's raises."""
    assert seconds_of(header, NOW) == seconds


def test_loop_when_turns_fail_then_it_goes_on_with_pauses_until_it_is_ended() -> None:
    """Nothing but the error that is named ends it; pauses grow while it fails, and no longer once it does not."""
    times: list[float] = []

    async def turn() -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 21:
            raise KeyError("the end")
        if len(times) != 10:
            raise ValueError("at times")

    async def scenario() -> None:
        with pytest.raises(KeyError):
            await for_ever("the loop", turn, ended_by=KeyError)

    run_in_virtual_time(scenario())
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) <= LAST_RETRY_SECONDS
    assert gaps[8] >= LAST_RETRY_SECONDS / 2
    assert gaps[9] == 0
    assert gaps[10] <= 0.1
