"""Which times a schedule means: exact expectations, clocks that are changed included."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from levante_core.domain.schedules.spec import ScheduleSpec
from levante_core.domain.schedules.times import jittered, next_time, times

NEW_YORK, LORD_HOWE, SAO_PAULO = "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"
ALL_DAY = {
    "second": [{"start": 0, "end": 59}],
    "minute": [{"start": 0, "end": 59}],
    "hour": [{"start": 0, "end": 23}],
}


def spec(**given: Any) -> ScheduleSpec:
    """Read a spec as it comes over the wire."""
    return ScheduleSpec.model_validate(given)


def at(hour: int, minute: int = 0, **more: Any) -> dict[str, Any]:
    """Make a calendar with one time a day."""
    return {"hour": [{"start": hour}], "minute": [{"start": minute}], **more}


def local(schedule: ScheduleSpec, after: str, count: int) -> list[str]:
    """Return the first times after a local one, as their zone says."""
    zone = ZoneInfo(schedule.time_zone_name or "UTC")
    start = datetime.fromisoformat(after).replace(tzinfo=zone)
    return [one.astimezone(zone).strftime("%m-%d %H:%M:%S %z") for one in islice(times(schedule, start), count)]


# --- changes of the clock ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "times_of", [{"calendars": [at(2, 30)]}, {"cron_expressions": ["30 2 * * *"]}], ids=["calendar", "cron"]
)
def test_time_when_the_clock_leaves_it_out_then_it_comes_at_the_change(times_of: dict[str, Any]) -> None:
    """On the day on which 2:30 does not exist, the work of that day is done at 3:00, once."""
    found = local(spec(**times_of, time_zone_name=NEW_YORK), "2026-03-07 00:00", 3)
    assert found == ["03-07 02:30:00 -0500", "03-08 03:00:00 -0400", "03-09 02:30:00 -0400"]


@pytest.mark.parametrize(
    "times_of", [{"calendars": [at(1, 30)]}, {"cron_expressions": ["30 1 * * *"]}], ids=["calendar", "cron"]
)
def test_time_when_the_clock_has_it_twice_then_it_comes_the_first_time(times_of: dict[str, Any]) -> None:
    """Once a day is once a day."""
    found = local(spec(**times_of, time_zone_name=NEW_YORK), "2026-10-31 12:00", 3)
    assert found == ["11-01 01:30:00 -0400", "11-02 01:30:00 -0500", "11-03 01:30:00 -0500"]


@pytest.mark.parametrize(
    "times_of",
    [{"calendars": [{**ALL_DAY, "minute": [{"start": 30}], "second": []}]}, {"cron_expressions": ["30 * * * *"]}],
    ids=["calendar", "cron"],
)
def test_every_hour_when_the_clock_is_changed_then_the_real_time_between_two_stays_an_hour(
    times_of: dict[str, Any],
) -> None:
    """Neither is an hour left out in autumn, nor are there two at once in spring."""
    for day in ("2026-03-08", "2026-11-01"):
        zone = ZoneInfo(NEW_YORK)
        start = datetime.fromisoformat(day).replace(tzinfo=zone)
        found = list(islice(times(spec(**times_of, time_zone_name=NEW_YORK), start), 8))
        assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(hours=1)}


def test_several_times_when_the_clock_leaves_them_out_then_they_come_as_one() -> None:
    """2:00, 2:15, 2:30 and 2:45 are all left out; 3:00 of the next calendar is that moment too."""
    quarters = {"hour": [{"start": 2, "end": 3}], "minute": [{"start": 0, "end": 59, "step": 15}]}
    found = local(spec(calendars=[quarters], time_zone_name=NEW_YORK), "2026-03-08 00:00", 3)
    assert found == ["03-08 03:00:00 -0400", "03-08 03:15:00 -0400", "03-08 03:30:00 -0400"]


def test_midnight_when_the_clock_leaves_it_out_then_the_day_has_its_time() -> None:
    """In Brazil, days in spring began at 1:00."""
    found = local(spec(calendars=[at(0)], time_zone_name=SAO_PAULO), "2018-11-03 00:00", 2)
    assert found == ["11-04 01:00:00 -0200", "11-05 00:00:00 -0200"]


def test_half_an_hour_when_that_is_the_change_then_times_are_right() -> None:
    """Lord Howe Island changes by 30 minutes, from 2:00 to 2:30 and from 2:00 to 1:30."""
    schedule = spec(calendars=[at(2, 15), at(1, 45)], time_zone_name=LORD_HOWE)
    assert local(schedule, "2026-10-04 00:00", 3) == ["10-04 01:45:00 +1030", "10-04 02:30:00 +1100", "10-05 01:45:00 +1100"]
    assert local(schedule, "2026-04-05 00:00", 3) == ["04-05 01:45:00 +1100", "04-05 02:15:00 +1030", "04-06 01:45:00 +1030"]


# --- calendars --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calendar", "expected"),
    [
        (at(9, day_of_month=[{"start": 31}]), ["01-31", "03-31", "05-31", "07-31"]),
        (at(9, day_of_month=[{"start": 29}], month=[{"start": 2}]), ["02-29", "02-29", "02-29"]),
        (at(9, day_of_week=[{"start": 1}]), ["01-05", "01-12", "01-19"]),
        (at(9, day_of_week=[{"start": 0}]), ["01-04", "01-11"]),
        (at(9, day_of_month=[{"start": 13}], day_of_week=[{"start": 5}]), ["02-13", "03-13", "11-13"]),
        (at(9, month=[{"start": 3, "end": 12, "step": 3}], day_of_month=[{"start": 1}]), ["03-01", "06-01", "09-01"]),
        (at(9, year=[{"start": 2028}], month=[{"start": 1}]), ["01-01", "01-02"]),
    ],
)
def test_calendar_when_asked_for_its_times_then_every_field_matches(calendar: dict[str, Any], expected: list[str]) -> None:
    """Month ends, leap years and days of the week; day of the month and of the week have to match both."""
    assert [one[:5] for one in local(spec(calendars=[calendar]), "2026-01-01 00:00", len(expected))] == expected


def test_calendar_when_it_names_a_day_that_never_is_then_there_is_no_time() -> None:
    """The 31st of February, and a year that is over."""
    never = [at(9, month=[{"start": 2}], day_of_month=[{"start": 31}]), at(9, year=[{"start": 2020}])]
    assert next_time(spec(calendars=never), datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_calendar_when_fields_are_left_out_then_it_is_midnight_of_every_day() -> None:
    """The contract's defaults: second, minute and hour 0, all else any."""
    assert local(spec(calendars=[{}]), "2026-01-01 00:00", 2) == ["01-02 00:00:00 +0000", "01-03 00:00:00 +0000"]


def test_times_when_asked_for_after_a_moment_then_they_are_later_than_it() -> None:
    """Also within a second."""
    schedule = spec(calendars=[{**ALL_DAY}])
    start = datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=UTC)
    assert next_time(schedule, start) == datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)
    assert next_time(schedule, start.replace(microsecond=0)) == datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)


# --- intervals, unions, limits ----------------------------------------------------------------------------------------


def test_interval_when_it_has_an_offset_then_it_counts_from_1970() -> None:
    """Source: the SDK contract, section 11."""
    schedule = spec(intervals=[{"every": "PT7H", "offset": "PT1H"}])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = next_time(schedule, start)
    assert found
    assert (found - datetime(1970, 1, 1, 1, tzinfo=UTC)) % timedelta(hours=7) == timedelta()
    assert timedelta() < found - start <= timedelta(hours=7)
    assert next_time(schedule, found) == found + timedelta(hours=7)
    assert next_time(schedule, found - timedelta(microseconds=1)) == found


def test_times_when_several_sources_agree_then_they_are_one() -> None:
    """The union, without repeats and in order."""
    schedule = spec(calendars=[at(6)], intervals=[{"every": "PT12H"}], cron_expressions=["0 6,12 * * *"])
    assert [one[6:11] for one in local(schedule, "2026-01-01 00:00", 5)] == ["06:00", "12:00", "00:00", "06:00", "12:00"]


def test_skip_when_it_names_times_then_they_are_left_out() -> None:
    """A time, a day, a whole month: without looking at each of its minutes."""
    minutes = spec(cron_expressions=["*/30 * * * *"], skip=[at(0, 30)])
    assert [one[6:11] for one in local(minutes, "2026-01-01 00:00", 2)] == ["01:00", "01:30"]
    months = spec(cron_expressions=["* * * * *"], skip=[{**ALL_DAY, "month": [{"start": 1, "end": 11}]}])
    assert local(months, "2026-01-01 00:00", 1) == ["12-01 00:00:00 +0000"]
    nothing = spec(cron_expressions=["* * * * *"], skip=[{**ALL_DAY}])
    assert next_time(nothing, datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_limits_when_set_then_both_are_within() -> None:
    """The first time may be the start itself, and the last one the end."""
    schedule = spec(intervals=[{"every": "PT1H"}], start_at="2026-01-01T06:00:00Z", end_at="2026-01-01T08:00:00Z")
    assert [one[6:11] for one in local(schedule, "2026-01-01 00:00", 9)] == ["06:00", "07:00", "08:00"]


def test_jitter_when_set_then_times_are_late_by_less_than_it_and_always_the_same() -> None:
    """And before the next one; two schedules are late by different parts."""
    schedule = spec(intervals=[{"every": "PT1M"}], jitter="PT10M")
    for one in islice(times(schedule, datetime(2026, 1, 1, tzinfo=UTC)), 100):
        late = jittered(schedule, "s", one)
        assert one <= late < one + timedelta(minutes=1)
        assert late == jittered(schedule, "s", one) != jittered(schedule, "t", one)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"calendars": [{"hour": [{"start": 24}]}]}, "hour goes from 0 to 23"),
        ({"calendars": [{"day_of_week": [{"start": 0, "end": 7}]}]}, "day_of_week goes from 0 to 6"),
        ({"calendars": [{"day_of_month": [{"start": 0}]}]}, "day_of_month goes from 1 to 31"),
        ({"calendars": [{"hour": [{"start": 9, "end": 5}]}]}, "comes before start"),
        ({"calendars": [{"hours": []}]}, "Extra inputs"),
        ({"intervals": [{"every": "PT0S"}]}, "at least one: PT1S"),
        ({"intervals": [{"every": "P18301D"}]}, "50 years at most"),
        ({"intervals": [{"every": "PT1H", "offset": "PT1H"}]}, "less than every"),
        ({"intervals": [{"every": "often"}]}, "valid"),
        ({"cron_expressions": ["* * * *"]}, "five fields"),
        ({"cron_expressions": ["61 * * * *"]}, "Bad minute"),
        ({"cron_expressions": ["@daily"]}, "five fields"),
        ({"time_zone_name": "Mars/Olympus"}, "no time zone is called 'Mars/Olympus'"),
        ({"time_zone_name": "../../etc/passwd"}, "no time zone is called"),
        ({"jitter": "-PT1S"}, "not negative"),
        ({"jitter": "P18301D"}, "50 years at most"),
        ({"start_at": "9999-12-31T23:59:59-01:00"}, "years 1 to 9999"),
        ({"end_at": "0001-01-01T00:00:00+01:00"}, "years 1 to 9999"),
        ({"start_at": "2026-01-02T00:00:00Z", "end_at": "2026-01-01T00:00:00Z"}, "end_at comes before start_at"),
        ({"start_at": "2026-01-02T00:00:00"}, "timezone"),
        ({"calendars": [{}] * 101}, "at most 100"),
    ],
)
def test_spec_when_it_cannot_work_then_the_error_says_why(given: dict[str, Any], said: str) -> None:
    """At the earliest point: when the schedule is written."""
    with pytest.raises(ValidationError, match=said):
        spec(**given)


@pytest.mark.parametrize("start_at", ["8999-12-31T00:00:00Z", "9000-01-02T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize(
    "given",
    [{"cron_expressions": ["0 9 * * *"]}, {"intervals": [{"every": "P18300D"}]}, {"calendars": [{}]}, {"jitter": "P18300D"}],
)
def test_times_when_the_calendar_is_about_to_end_then_they_end_before_it(given: dict[str, Any], start_at: str) -> None:
    """A schedule may begin with the last of all years; what would come after them does not come."""
    made = spec(**given, start_at=start_at)
    found = list(islice(times(made, datetime(2026, 1, 1, tzinfo=UTC)), 100))
    assert len(found) < 3
    assert all(jittered(made, "s", at).year <= 9100 for at in found)
