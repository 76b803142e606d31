"""Which times a schedule means.

Clocks that are changed: a time that the day leaves out comes at the moment of the change, and one that it has twice comes
the first time. Calendars of which every hour is one, and cron expressions with `*` for the hour, follow the real time
instead: they lose no hour and gain none.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

from levante_core.domain.frozen import wire_time
from levante_core.domain.limits import LONGEST_SECONDS
from levante_core.domain.schedules.spec import ScheduleCalendar, ScheduleInterval, ScheduleSpec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MOMENT = datetime(9000, 1, 1, tzinfo=UTC)
"""There are no times after it."""
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
LONGEST_WAIT = timedelta(seconds=LONGEST_SECONDS)
"""Calendars without a time in so long have none: the 29th of February falls on each day of the week within 40 years."""
MOST_SKIPPED = 10_000
"""Times in a row that `skip` may take out; what follows so many is not looked for."""


def times(spec: ScheduleSpec, after: datetime) -> Iterator[datetime]:
    """Yield the times of a schedule after a moment, ascending, without jitter."""
    while (found := next_time(spec, after)) is not None:
        yield found
        after = found


def next_time(spec: ScheduleSpec, after: datetime) -> datetime | None:
    """Return the first time after a moment, in UTC and without jitter; None if there is none."""
    after = after.astimezone(UTC)
    if spec.start_at and after < spec.start_at:
        after = spec.start_at.astimezone(UTC) - timedelta(microseconds=1)
    zone = ZoneInfo(spec.time_zone_name or "UTC")
    if after > LAST_MOMENT:
        return None
    last = min(after + LONGEST_WAIT, spec.end_at or LAST_MOMENT)
    for _ in range(MOST_SKIPPED):
        found = min(_candidates(spec, after, last, zone), default=None)
        if found is None or found > last:
            return None
        local = found.astimezone(zone)
        skipping = next((one for one in spec.skip if _matches(one, local)), None)
        if skipping is None:
            return found
        after = _utc(local.date() + DAY, time(), zone) - SECOND if _is_whole_days(skipping) else found
    return None


def jittered(spec: ScheduleSpec, schedule_id: str, at: datetime) -> datetime:
    """Return when a time really comes: later by a part of the jitter, but before the next time."""
    if not spec.jitter:
        return at
    following = next_time(spec, at)
    room = min(spec.jitter, following - at) if following else spec.jitter
    digest = hashlib.sha256(f"{schedule_id}@{wire_time(at)}".encode()).digest()
    return at + room * (int.from_bytes(digest[:4]) / 2**32)


def _candidates(spec: ScheduleSpec, after: datetime, last: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    for calendar in spec.calendars:
        found = _next_of_calendar(calendar, after, last, zone)
        if found:
            yield found
    for interval in spec.intervals:
        yield _next_of_interval(interval, after)
    for expression in spec.cron_expressions:
        yield from (following.astimezone(UTC) for following in islice(CronSim(expression, after.astimezone(zone)), 1))


def _next_of_interval(interval: ScheduleInterval, after: datetime) -> datetime:
    origin = EPOCH + (interval.offset or timedelta())
    return origin + ((after - origin) // interval.every + 1) * interval.every


# --- calendars --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A part of a day in which clocks are not changed. offset: of its local time from UTC."""

    start: datetime
    end: datetime
    offset: timedelta

    def local(self, at: datetime) -> datetime:
        return at.replace(tzinfo=None) + self.offset


def _next_of_calendar(calendar: ScheduleCalendar, after: datetime, last: datetime, zone: ZoneInfo) -> datetime | None:
    for day in _days(calendar, after.astimezone(zone).date(), last.astimezone(zone).date()):
        found = _next_in_day(calendar, day, after, zone)
        if found:
            return found
    return None


def _days(calendar: ScheduleCalendar, first: date, last: date) -> Iterator[date]:
    """Yield the days that a calendar names."""
    days, weekdays = calendar.numbers("day_of_month"), calendar.numbers("day_of_week")
    months, years = calendar.numbers("month"), calendar.numbers("year")
    day = first
    while day <= last:
        if years and day.year not in years:
            later = min((year for year in years if year > day.year), default=None)
            if later is None:
                return
            day = date(later, 1, 1)
        elif day.month not in months:
            day = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
        else:
            if day.day in days and day.isoweekday() % 7 in weekdays:
                yield day
            day += DAY


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
    later = min((one for one in seconds if one >= local.second), default=None)
    if local.hour in hours and local.minute in minutes and later is not None:
        return local.replace(second=later)
    later = min((one for one in minutes if one > local.minute), default=None)
    if local.hour in hours and later is not None:
        return local.replace(minute=later, second=min(seconds))
    later = min((one for one in hours if one > local.hour), default=None)
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
    years = calendar.numbers("year")
    fields = {
        "second": local.second,
        "minute": local.minute,
        "hour": local.hour,
        "day_of_month": local.day,
        "month": local.month,
        "day_of_week": local.isoweekday() % 7,
    }
    return (not years or local.year in years) and all(value in calendar.numbers(name) for name, value in fields.items())


def _is_whole_days(calendar: ScheduleCalendar) -> bool:
    return all(len(calendar.numbers(name)) == size for name, size in (("hour", 24), ("minute", 60), ("second", 60)))


def _utc(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()
