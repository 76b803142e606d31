"""What a schedule says, as it goes over the wire.

Source of the fields: the REST contract, models of schedules, and the SDK contract, section 11 (read 2026-11-23).
"""

from datetime import timedelta
from enum import IntEnum
from functools import cached_property
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, model_validator

from levante_core.domain.epoch import EPOCH
from levante_core.domain.frozen import Frozen, Json, Time
from levante_core.domain.limits import LONGEST_SECONDS
from levante_core.domain.names import described, schedule_id
from levante_core.errors import InvalidInput, InvalidSchedule

MOST_ENTRIES = 100
"""Calendars, intervals and cron expressions of one schedule together; and calendars of `skip`."""
MOST_RANGES = 60
"""Of one field of a calendar."""
MOST_CRON_CHARACTERS = 256
MOST_COMMENT_CHARACTERS = 1024
CRON_FIELDS = 5
LONGEST = timedelta(seconds=LONGEST_SECONDS)
FULL_YEAR = timedelta(days=365)


class ScheduleOverlapPolicy(IntEnum):
    """What happens at a time at which executions that the schedule started are still open."""

    SKIP = 1
    BUFFER_ONE = 2
    BUFFER_ALL = 3
    CANCEL_OTHER = 4
    TERMINATE_OTHER = 5
    ALLOW_ALL = 6


class ScheduleRange(Frozen):
    """Numbers that are step apart."""

    start: Annotated[int, Field(ge=0)]
    """The first number."""
    end: Annotated[int, Field(ge=0)] = 0
    """The last number; 0 stands for start."""
    step: Annotated[int, Field(ge=0)] = 0
    """How far they are apart; 0 stands for 1."""

    @property
    def last(self) -> int:
        """The last number that may be in the range."""
        return self.end or self.start

    def first_from(self, number: int) -> int | None:
        """Return the first number of the range that is not below this one; None if all are."""
        step = self.step or 1
        first = self.start + max(0, -((self.start - number) // step)) * step
        return first if first <= self.last else None

    @model_validator(mode="after")
    def _is_not_backwards(self) -> Self:
        if self.last < self.start:
            raise ValueError(f"end {self.end} comes before start {self.start}: swap them, or give two ranges")
        return self


_LIMITS = {
    "second": (0, 59),
    "minute": (0, 59),
    "hour": (0, 23),
    "day_of_month": (1, 31),
    "month": (1, 12),
    "year": (1970, 9999),
    "day_of_week": (0, 6),
}
_EVERY = {name: frozenset(range(first, last + 1)) for name, (first, last) in _LIMITS.items() if name != "year"}
_MIDNIGHT = {name: frozenset({0}) for name in ("second", "minute", "hour")}
_Ranges = Annotated[tuple[ScheduleRange, ...], Field(max_length=MOST_RANGES)]


class ScheduleCalendar(Frozen):
    """Times of which every field is in one of its ranges."""

    second: _Ranges = ()
    """Seconds; 0, if left out."""
    minute: _Ranges = ()
    """Minutes; 0, if left out."""
    hour: _Ranges = ()
    """Hours; 0, if left out."""
    day_of_month: _Ranges = ()
    """Days of the month; any, if left out."""
    month: _Ranges = ()
    """Months; any, if left out."""
    year: _Ranges = ()
    """Years; any, if left out."""
    day_of_week: _Ranges = ()
    """Days of the week, 0 is Sunday; any, if left out."""
    comment: Annotated[str | None, Field(max_length=MOST_COMMENT_CHARACTERS)] = None
    """What it is for, for people."""

    @model_validator(mode="after")
    def _is_within_limits(self) -> Self:
        for name, (first, last) in _LIMITS.items():
            for part in getattr(self, name):
                if part.start < first or part.last > last:
                    raise ValueError(
                        f"{name} goes from {first} to {last}, and {part.start} to {part.last} is not within that"
                    )
        return self

    def numbers(self, name: str) -> frozenset[int]:
        """Return the numbers of a field other than the year."""
        return self._numbers[name]

    def year_from(self, year: int) -> int | None:
        """Return the first year of the calendar from one on; None after the last. Ranges of years are not written out."""
        if self.year and year not in self._years_from:
            years = (year_range.first_from(year) for year_range in self.year)
            self._years_from[year] = min((first for first in years if first is not None), default=None)
        return self._years_from[year] if self.year else year

    @cached_property
    def _years_from(self) -> dict[int, int | None]:
        return {}

    @cached_property
    def _numbers(self) -> dict[str, frozenset[int]]:
        return {name: self._numbers_of(name) for name in _EVERY}

    def _numbers_of(self, name: str) -> frozenset[int]:
        ranges: tuple[ScheduleRange, ...] = getattr(self, name)
        if not ranges:
            return _MIDNIGHT.get(name) or _EVERY[name]
        return frozenset(number for part in ranges for number in range(part.start, part.last + 1, part.step or 1))


class ScheduleInterval(Frozen):
    """Times that are some time apart, counted from 1970 on; whole seconds."""

    every: timedelta
    """Time from one to the next: ISO 8601 duration, PT1S to 50 years."""
    offset: timedelta | None = None
    """How much later than counted; less than every."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not timedelta(seconds=1) <= self.every <= LONGEST or self.every.microseconds:
            raise ValueError("every is a whole number of seconds, at least one: PT1S, and 50 years at most")
        offset = self.offset or timedelta()
        if not timedelta() <= offset < self.every or offset.microseconds:
            raise ValueError("offset is a whole number of seconds, from none up to less than every")
        return self


def _checked_cron(text: str) -> str:
    if len(text.split()) != CRON_FIELDS:
        raise ValueError(f"{text!r} is no cron expression: it has five fields, as in '30 9 * * MON-FRI'")
    try:
        CronSim(text, EPOCH)
    except CronSimError as error:
        raise ValueError(f"{text!r} is no cron expression: {error}") from None
    return text


def _checked_zone(name: str | None) -> str | None:
    if name:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, LookupError):
            raise ValueError(f"no time zone is called {name[:100]!r}: take an IANA name, such as Europe/Paris") from None
    return name


def _checked_jitter(jitter: timedelta | None) -> timedelta | None:
    if jitter is not None and not timedelta() <= jitter <= LONGEST:
        raise ValueError("jitter is a duration, so it is not negative, and of 50 years at most")
    return jitter


class SchedulePolicy(Frozen):
    """What happens when times overlap, were missed, or an execution fails."""

    catchup_window_seconds: Annotated[int, Field(ge=1, le=LONGEST_SECONDS)] = int(FULL_YEAR.total_seconds())
    """Times that are longer ago are not caught up."""
    overlap: ScheduleOverlapPolicy = ScheduleOverlapPolicy.SKIP
    """1 skips the time, 2 lets one wait, 3 lets all wait, 4 cancels and 5 terminates what is open, 6 lets them overlap."""
    pause_on_failure: bool = False
    """Whether to pause once an execution is FAILED or TIMED_OUT."""


_Many = Annotated[int, Field(ge=0)]


class ScheduleSpec(Frozen):
    """The times of a schedule: all that any calendar, interval or cron expression says, but for those of `skip`."""

    calendars: Annotated[tuple[ScheduleCalendar, ...], Field(max_length=MOST_ENTRIES)] = ()
    """Times by their parts."""
    intervals: Annotated[tuple[ScheduleInterval, ...], Field(max_length=MOST_ENTRIES)] = ()
    """Times at regular distances."""
    cron_expressions: Annotated[
        tuple[Annotated[str, Field(max_length=MOST_CRON_CHARACTERS), AfterValidator(_checked_cron)], ...],
        Field(max_length=MOST_ENTRIES),
    ] = ()
    """Five fields, as in `30 9 * * MON-FRI`."""
    skip: Annotated[tuple[ScheduleCalendar, ...], Field(max_length=MOST_ENTRIES)] = ()
    """Times that are left out."""
    start_at: Time | None = None
    """No times before this one."""
    end_at: Time | None = None
    """No times after this one."""
    jitter: Annotated[timedelta | None, AfterValidator(_checked_jitter)] = None
    """Each time is late by some part of it, always the same part."""
    time_zone_name: Annotated[str | None, AfterValidator(_checked_zone)] = None
    """IANA name, for calendars and cron expressions; UTC, if left out."""

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.start_at and self.end_at and self.end_at < self.start_at:
            raise ValueError("end_at comes before start_at: the schedule would have no times")
        return self

    @model_validator(mode="after")
    def _has_not_too_many_entries(self) -> Self:
        count = len(self.calendars) + len(self.intervals) + len(self.cron_expressions)
        if count > MOST_ENTRIES:
            problem = (
                f"{count} calendars, intervals and cron expressions: a schedule has {MOST_ENTRIES} at most, make several"
            )
            raise ValueError(problem)
        return self


class ScheduleDefinition(ScheduleSpec):
    """A schedule as its users write it."""

    input: Json = None
    """Input of its executions, as JSON."""
    policy: SchedulePolicy = SchedulePolicy()
    """What happens when times overlap or were missed."""
    max_executions: _Many | None = None
    """How many it may start: any number, if left out; those started by hand do not count."""
    schedule_id: Annotated[str | None, Field(json_schema_extra={"pattern": f"{described('schedule_id')['pattern']}|^$"})] = (
        None
    )
    """1 to 200 letters, digits, `_` or `-`; made here, if left out."""


def check_id(definition: ScheduleDefinition, loc: tuple[str | int, ...]) -> None:
    """Check the form of the id that a schedule gives itself, if any. loc: where the body has it. Raises: InvalidSchedule."""
    if definition.schedule_id:
        try:
            schedule_id(definition.schedule_id)
        except InvalidInput as error:
            raise InvalidSchedule.at(loc, str(error)) from None


class PartialScheduleDefinition(ScheduleSpec):
    """What changes in a schedule; what is not set stays as it is."""

    input: Json = None
    """Input of its executions, as JSON."""
    policy: SchedulePolicy = SchedulePolicy()
    """What happens when times overlap or were missed."""
    max_executions: _Many | None = None
    """How many it may start: any number, if null."""


def changed(definition: ScheduleDefinition, changes: PartialScheduleDefinition) -> ScheduleDefinition:
    """Return a definition with what is set in the changes. Raises: ValidationError if the two do not go together."""
    set_by_it = changes.model_dump(include=changes.model_fields_set)
    return ScheduleDefinition.model_validate({**definition.model_dump(), **set_by_it})
