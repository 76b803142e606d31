"""Which times a schedule means.

Clocks that are changed: a time that the day leaves out comes at the moment of the change, and one that it has twice comes
the first time. Calendars of which every hour is one, and cron expressions with `*` for the hour, follow the real time
instead: they lose no hour and gain none.
"""

import hashlib
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from heapq import heapify, heappop, heappush
from typing import TypeAlias
from zoneinfo import ZoneInfo

from cronsim import CronSim

from levante_core.domain.epoch import EPOCH
from levante_core.domain.frozen import wire_time
from levante_core.domain.limits import LONGEST_SECONDS
from levante_core.domain.schedules.spec import ScheduleCalendar, ScheduleInterval, ScheduleSpec

LAST_MOMENT = datetime(9000, 1, 1, tzinfo=UTC)
"""There are no times after it."""
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
LONGEST_WAIT = timedelta(seconds=LONGEST_SECONDS)
"""Calendars without a time in so long have none: the 29th of February falls on each day of the week within 40 years."""
MOST_WORK = 10_000
"""Looks at a calendar, an interval, a cron expression or an entry of `skip` that one question may cost.

What lies behind them is not looked for. Times that `skip` takes out cost a look for each second, minute, hour or day, by how
much of it is taken out at once.
"""


@dataclass(slots=True)
class Work:
    """How many looks are left to those who share it."""

    left: int = MOST_WORK


def times(spec: ScheduleSpec, after: datetime, work: Work | None = None) -> Iterator[datetime]:
    """Yield the times of a schedule after a moment, ascending, in UTC and without jitter.

    Cost: as many looks as there are left, all times together; there are no more times then.
    """
    work = work or Work()
    after = after.astimezone(UTC)
    if spec.start_at and after < spec.start_at:
        after = spec.start_at.astimezone(UTC) - timedelta(microseconds=1)
    if after > LAST_MOMENT:
        return
    zone = ZoneInfo(spec.time_zone_name or "UTC")
    sources, end = _sources(spec, zone), min(spec.end_at or LAST_MOMENT, LAST_MOMENT)
    ahead = [(first, number) for number, source in enumerate(sources) if (first := source(after))]
    heapify(ahead)
    last = after + LONGEST_WAIT
    work.left -= len(sources)
    while ahead and (candidate := ahead[0][0]) <= min(last, end) and work.left >= 0:
        local = candidate.astimezone(zone)
        skipping = next((calendar for calendar in spec.skip if _matches(calendar, local)), None)
        if skipping is None:
            yield candidate
            last = candidate + LONGEST_WAIT
        resumed = _end_of_skipped(skipping, local, zone) if skipping else candidate
        work.left -= len(spec.skip)
        while ahead and ahead[0][0] <= resumed:
            _, number = heappop(ahead)
            work.left -= 1
            if following := sources[number](resumed):
                heappush(ahead, (following, number))


def next_time(spec: ScheduleSpec, after: datetime) -> datetime | None:
    """Return the first time after a moment, in UTC and without jitter; None if there is none. Cost: as `times`."""
    return next(times(spec, after), None)


def late_times(
    spec: ScheduleSpec, schedule_id: str, after: datetime, work: Work | None = None
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the times of a schedule after a moment, each with when it really comes. Cost: as `times`."""
    ahead = times(spec, after, work)
    at = next(ahead, None)
    while at is not None:
        following = next(ahead, None) if spec.jitter else None
        yield at, _late(spec, schedule_id, at, following)
        at = following if spec.jitter else next(ahead, None)


def jittered(spec: ScheduleSpec, schedule_id: str, at: datetime) -> datetime:
    """Return when a time really comes: later by a part of the jitter, but before the next time. Cost: as `times`."""
    return _late(spec, schedule_id, at, next_time(spec, at) if spec.jitter else None)


def _late(spec: ScheduleSpec, schedule_id: str, at: datetime, following: datetime | None) -> datetime:
    if not spec.jitter:
        return at
    room = min(spec.jitter, following - at) if following else spec.jitter
    digest = hashlib.sha256(f"{schedule_id}@{wire_time(at)}".encode()).digest()
    return at + room * (int.from_bytes(digest[:4]) / 2**32)


_Source: TypeAlias = Callable[[datetime], datetime | None]
"""Returns its first time after a moment."""


def _sources(spec: ScheduleSpec, zone: ZoneInfo) -> list[_Source]:
    return [
        *(partial(_next_of_calendar, calendar, zone) for calendar in spec.calendars),
        *(partial(_next_of_interval, interval) for interval in spec.intervals),
        *(partial(_next_of_cron, expression, zone) for expression in spec.cron_expressions),
    ]


def _next_of_interval(interval: ScheduleInterval, after: datetime) -> datetime:
    origin = EPOCH + (interval.offset or timedelta())
    return origin + ((after - origin) // interval.every + 1) * interval.every


def _next_of_cron(expression: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    at = next(CronSim(expression, after.astimezone(zone)), None)
    return at.astimezone(UTC) if at else None


# --- calendars --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A part of a day in which clocks are not changed. offset: of its local time from UTC."""

    start: datetime
    end: datetime
    offset: timedelta

    def local(self, at: datetime) -> datetime:
        return at.replace(tzinfo=None) + self.offset


def _next_of_calendar(calendar: ScheduleCalendar, zone: ZoneInfo, after: datetime) -> datetime | None:
    for day in _days(calendar, after.astimezone(zone).date(), (after + LONGEST_WAIT).astimezone(zone).date()):
        at = _next_in_day(calendar, day, after, zone)
        if at:
            return at
    return None


def _days(calendar: ScheduleCalendar, first: date, last: date) -> Iterator[date]:
    """Yield the days that a calendar names. Cost: one step for each month in between that it names."""
    days, weekdays = sorted(calendar.numbers("day_of_month")), calendar.numbers("day_of_week")
    months = sorted(calendar.numbers("month"))
    year = calendar.year_from(first.year)
    while year is not None and year <= last.year:
        for month in months:
            if (year, month) < (first.year, first.month):
                continue
            earliest = first.day if (year, month) == (first.year, first.month) else 1
            for number in days[bisect_left(days, earliest) : bisect_right(days, monthrange(year, month)[1])]:
                day = date(year, month, number)
                if day > last:
                    return
                if day.isoweekday() % 7 in weekdays:
                    yield day
        year = calendar.year_from(year + 1)


def _next_in_day(calendar: ScheduleCalendar, day: date, after: datetime, zone: ZoneInfo) -> datetime | None:
    stretches = _stretches(day, zone)
    is_real_time = len(calendar.numbers("hour")) == 24  # noqa: PLR2004 - hours of a day
    reached = datetime.combine(day, time())
    for stretch in stretches:
        if not is_real_time:
            begins = stretch.local(stretch.start)
            left_out = _next_clock(calendar, reached) if begins > reached else None
            if left_out and left_out < begins and stretch.start > after:
                return stretch.start
            earliest = stretch.start + max(timedelta(), reached - begins)
        else:
            earliest = stretch.start
        earliest = max(earliest, after + SECOND - timedelta(microseconds=after.microsecond))
        local = _next_clock(calendar, stretch.local(earliest)) if earliest < stretch.end else None
        if local and local < stretch.local(stretch.end):
            return stretch.start + (local - stretch.local(stretch.start))
        reached = stretch.local(stretch.end)
    return None


def _next_clock(calendar: ScheduleCalendar, local: datetime) -> datetime | None:
    """Return the first clock time of a calendar, from one on and on the same day."""
    hours, minutes, seconds = (calendar.numbers(name) for name in ("hour", "minute", "second"))
    later = min((value for value in seconds if value >= local.second), default=None)
    if local.hour in hours and local.minute in minutes and later is not None:
        return local.replace(second=later)
    later = min((value for value in minutes if value > local.minute), default=None)
    if local.hour in hours and later is not None:
        return local.replace(minute=later, second=min(seconds))
    later = min((value for value in hours if value > local.hour), default=None)
    return None if later is None else local.replace(hour=later, minute=min(minutes), second=min(seconds))


def _stretches(day: date, zone: ZoneInfo) -> list[_Stretch]:
    """Divide a day where its clocks are changed, which they are once at most."""
    start, end = _utc(day, time(), zone), _utc(day + DAY, time(), zone)
    before, behind = _offset(start, zone), _offset(end - SECOND, zone)
    if before == behind:
        return [_Stretch(start, end, before)]
    low, high = start, end - SECOND
    while high - low > SECOND:
        middle = low + (high - low) // (2 * SECOND) * SECOND
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return [_Stretch(start, high, before), _Stretch(high, end, behind)]


def _matches(calendar: ScheduleCalendar, local: datetime) -> bool:
    fields = {
        "second": local.second,
        "minute": local.minute,
        "hour": local.hour,
        "day_of_month": local.day,
        "month": local.month,
        "day_of_week": local.isoweekday() % 7,
    }
    return all(value in calendar.numbers(name) for name, value in fields.items()) and (
        calendar.year_from(local.year) == local.year
    )


def _end_of_skipped(skipping: ScheduleCalendar, local: datetime, zone: ZoneInfo) -> datetime:
    """Return the last moment of the day, hour or minute that is skipped with this time, or the time itself."""
    is_every = [len(skipping.numbers(name)) == size for name, size in (("second", 60), ("minute", 60), ("hour", 24))]
    if all(is_every):
        return _utc(local.date() + DAY, time(), zone) - SECOND
    at = local.astimezone(UTC)
    if all(is_every[:2]):
        until = at + timedelta(minutes=59 - local.minute, seconds=59 - local.second)
        return until if _offset(until, zone) == local.utcoffset() else at
    return at + timedelta(seconds=59 - local.second) if is_every[0] else at


def _utc(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()
