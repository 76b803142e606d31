"""Random schedules compared with what croniter and dateutil say of the same ones, over simulated years.

60 schedules, 300 in the full form, or as many as LEVANTE_RANDOM_SCHEDULES says: `make test-schedules` has 10,000.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import count, islice, takewhile
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from dateutil.rrule import DAILY, FR, MO, SA, SU, TH, TU, WE, rrule

from levante_core.domain.schedules.spec import ScheduleSpec
from levante_core.domain.schedules.times import times
from tests.support.forms import either

COUNT = int(os.environ.get("LEVANTE_RANDOM_SCHEDULES") or either(short=60, full=300))
CHUNKS = 10
COMPARED = 40
"""Times of each schedule."""
HORIZON = timedelta(days=5 * 365)
ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Europe/Paris", "Australia/Sydney", "America/Sao_Paulo", "Asia/Tokyo")
NEVER_CHANGED = {"UTC", "Asia/Tokyo"}
"""Zones for cron expressions: when clocks are changed, croniter differs from what is meant here."""
DAYS = (SU, MO, TU, WE, TH, FR, SA)
FIELDS = {"hour": (0, 23), "minute": (0, 59), "second": (0, 59)}


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_times_when_compared_with_other_libraries_then_they_are_the_same(chunk: int) -> None:
    """Calendars with the rules of dateutil, cron expressions with croniter, intervals with whole numbers."""
    for number in range(chunk * COUNT // CHUNKS, (chunk + 1) * COUNT // CHUNKS):
        random = Random(f"schedule {number}")  # noqa: S311 - a test
        start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=random.randrange(4 * 365 * 86400))
        given = random_schedule(random)
        found = compared(times(ScheduleSpec.model_validate(given), start), start)
        assert found == compared(oracle(given, start), start), (number, start.isoformat(), given)


def compared(moments: Iterator[datetime], start: datetime) -> list[datetime]:
    """Return the first times, but none that is too far away."""
    return list(takewhile(lambda one: one - start < HORIZON - timedelta(days=2), islice(moments, COMPARED)))


def random_schedule(random: Random) -> dict[str, Any]:
    """Make one with up to two sources of each kind, some with times that are skipped."""
    zone = random.choice(ZONES)
    return {
        "calendars": [random_calendar(random) for _ in range(random.choice((0, 1, 1, 2)))],
        "intervals": [random_interval(random) for _ in range(random.choice((0, 0, 1)))],
        "cron_expressions": [random_cron(random) for _ in range(random.choice((0, 0, 1)))] if zone in NEVER_CHANGED else [],
        "skip": [random_calendar(random, whole_days=True)] if random.random() < 0.3 else [],
        "time_zone_name": zone,
    }


def random_range(random: Random, first: int, last: int) -> dict[str, int]:
    """Make a range within limits; an end of 0 would be none."""
    start = random.randint(first, last)
    return {"start": start, "end": random.randint(max(start, 1), last), "step": random.choice((0, 1, 2, 3, 7))}


def random_calendar(random: Random, *, whole_days: bool = False) -> dict[str, Any]:
    """Make a calendar, of some days; of all of their time if that is asked for."""
    calendar: dict[str, Any] = {"day_of_week": [], "day_of_month": [], "month": []}
    for name, first, last in (("day_of_month", 1, 31), ("month", 1, 12), ("day_of_week", 0, 6)):
        if random.random() < 0.4:
            calendar[name] = [random_range(random, first, last)]
    for name, (first, last) in FIELDS.items():
        if whole_days:
            calendar[name] = [{"start": first, "end": last}]
        elif name != "second" and random.random() < 0.7:
            calendar[name] = [{"start": random.randint(first, last)}]
    return calendar


def random_interval(random: Random) -> dict[str, str]:
    """Make an interval of minutes to weeks."""
    every = random.randint(60, 14 * 86400)
    return {"every": f"PT{every}S", "offset": f"PT{random.randrange(every)}S"}


def random_cron(random: Random) -> str:
    """Make a cron expression."""
    minute = random.choice(("0", "*/15", "7", "3,33"))
    hour = random.choice(("*", "9", "*/6", "8-17"))
    day, weekday = random.choice((("*", "*"), ("1", "*"), ("*", "1-5"), ("13", "5"), ("L", "*")))
    return f"{minute} {hour} {day} {random.choice(('*', '2', '1-6'))} {weekday}"


def oracle(given: dict[str, Any], start: datetime) -> Iterator[datetime]:
    """Yield the times as other libraries know them."""
    zone = ZoneInfo(given["time_zone_name"])
    begin = start.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    skipped = {clock.date() for skip in given["skip"] for clock in rule(skip, begin, hours=[0], minutes=[0])}
    sources: list[Iterator[datetime]] = [of_calendar(calendar, begin, zone) for calendar in given["calendars"]]
    sources += [of_interval(interval, start) for interval in given["intervals"]]
    for expression in given["cron_expressions"]:
        cron = croniter(expression, start.astimezone(zone), day_or=True)
        sources.append(cron.get_next(datetime).astimezone(UTC) for _ in count())
    last = start
    for moment in merge(*sources):
        if moment > last and moment.astimezone(zone).date() not in skipped:
            yield moment
            last = moment


def rule(calendar: dict[str, Any], begin: datetime, hours: list[int], minutes: list[int]) -> rrule:
    """Write a calendar as dateutil does."""
    return rrule(
        DAILY,
        dtstart=begin,
        until=begin + HORIZON,
        bymonth=numbers(calendar["month"]) or None,
        bymonthday=numbers(calendar["day_of_month"]) or None,
        byweekday=[DAYS[number] for number in numbers(calendar["day_of_week"])] or None,
        byhour=hours,
        byminute=minutes,
        bysecond=[0],
    )


def of_calendar(calendar: dict[str, Any], begin: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield when clocks show the times: the first time of two, and the end of the gap for one that is left out."""
    hours, minutes = (numbers(calendar.get(name, [])) or [0] for name in ("hour", "minute"))
    for clock in rule(calendar, begin, hours, minutes):
        moment = clock.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == clock:
            yield moment
        else:
            before = moment - timedelta(hours=3)
            offset = before.astimezone(zone).utcoffset()
            yield next(one for one in minutes_from(before) if one.astimezone(zone).utcoffset() != offset)


def minutes_from(moment: datetime) -> Iterator[datetime]:
    """Yield whole minutes."""
    moment = moment.replace(second=0)
    while True:
        yield moment
        moment += timedelta(minutes=1)


def of_interval(interval: dict[str, str], start: datetime) -> Iterator[datetime]:
    """Yield the multiples of a number of seconds."""
    every, offset = (int(interval[name].removeprefix("PT").removesuffix("S")) for name in ("every", "offset"))
    first = int(start.timestamp())
    return (datetime.fromtimestamp(number, UTC) for number in count(first + (offset - first) % every, every))


def numbers(ranges: list[dict[str, int]]) -> list[int]:
    """Write ranges out."""
    return sorted(
        {n for one in ranges for n in range(one["start"], (one.get("end") or one["start"]) + 1, one.get("step") or 1)}
    )
