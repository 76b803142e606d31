"""Clock, ids and waiting where no writer can wake anybody."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from levante_core.adapters.system import FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS, PollingWatch, RandomIds, SystemClock

LONGEST_WAIT = 28.0


def slept(total: float) -> list[float]:
    """Wait for so long, looking again whenever it is time to. Returns the pauses."""
    pauses: list[float] = []
    with PollingWatch(pauses.append).watch("X#w#e") as watched:
        while sum(pauses) < total - 1e-9:
            watched.wait(total - sum(pauses))
    return pauses


def test_wait_when_repeated_then_pauses_grow_to_a_bound() -> None:
    """Short waits are answered soon, long ones cost few reads."""
    pauses = slept(LONGEST_WAIT)[:-1]
    assert pauses[0] == FIRST_POLL_SECONDS
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_POLL_SECONDS
    assert len(pauses) <= 20


def test_wait_when_the_time_is_nearly_over_then_it_is_not_overrun() -> None:
    """The gateway gives up at a fixed time, whatever the interval has grown to."""
    assert sum(slept(LONGEST_WAIT)) == pytest.approx(LONGEST_WAIT)


def test_wait_when_the_time_is_over_then_it_returns_at_once() -> None:
    """A deadline that has passed meanwhile is no negative pause."""
    pauses: list[float] = []
    with PollingWatch(pauses.append).watch("X#w#e") as watched:
        watched.wait(-1.0)
    assert pauses == [0.0]


def test_watch_when_opened_again_then_it_starts_with_short_pauses() -> None:
    """Each request waits for something of its own."""
    pauses: list[float] = []
    watch = PollingWatch(pauses.append)
    for _ in range(2):
        with watch.watch("X#w#e") as watched:
            watched.wait(10)
    assert pauses == [FIRST_POLL_SECONDS, FIRST_POLL_SECONDS]


def test_clock_when_read_then_it_tells_the_time_in_utc() -> None:
    """All times are aware and UTC."""
    now = SystemClock().now()
    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


def test_ids_when_made_then_they_are_uuids_and_long_secrets() -> None:
    """The port promises 256 unguessable bits; base64 takes 43 characters for them."""
    ids = RandomIds()
    assert uuid.UUID(ids.uuid()).version == 4
    assert ids.uuid() != ids.uuid()
    assert len(ids.secret()) >= 43
    assert ids.secret() != ids.secret()


def test_watch_when_asked_whether_something_has_changed_then_it_may_have() -> None:
    """Nothing tells this process of writes: it has to look."""
    with PollingWatch().watch("X#w#e") as watched:
        assert watched.has_changed()
        assert watched.has_changed()
