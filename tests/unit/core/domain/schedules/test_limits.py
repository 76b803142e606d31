"""What a schedule may hold, and how much work it may be to find its times."""

from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from pydantic import ValidationError

from levante_core.domain.schedules import times as module
from levante_core.domain.schedules.spec import ScheduleSpec
from levante_core.domain.schedules.times import MOST_WORK, Work, next_time, times

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = {"every": "PT1S"}
ALWAYS = {
    "second": [{"start": 0, "end": 59}],
    "minute": [{"start": 0, "end": 59}],
    "hour": [{"start": 0, "end": 23}],
}
YEARS = {"start": 1970, "end": 9999}


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (lambda more: {"intervals": [SECOND] * (100 + more)}, ("intervals",)),
        (lambda more: {"intervals": [SECOND] * 50, "cron_expressions": ["* * * * *"] * (50 + more)}, ()),
        (lambda more: {"skip": [{}] * (100 + more)}, ("skip",)),
        (lambda more: {"calendars": [{"year": [YEARS] * (60 + more)}]}, ("calendars", 0, "year")),
        (lambda more: {"cron_expressions": [f"{'1,' * 123}1 * *{' ' * more} * * "]}, ("cron_expressions", 0)),
        (lambda more: {"calendars": [{"comment": "x" * (1024 + more)}]}, ("calendars", 0, "comment")),
    ],
)
def test_schedule_when_it_has_more_than_it_may_then_the_place_is_named(given: Any, place: tuple[Any, ...]) -> None:
    """Just below the limit it is taken; just above, not."""
    ScheduleSpec.model_validate(given(0))
    with pytest.raises(ValidationError) as refused:
        ScheduleSpec.model_validate(given(1))
    assert refused.value.errors()[0]["loc"] == place


@pytest.mark.parametrize(
    "given",
    [
        {"intervals": [SECOND] * 100, "skip": [ALWAYS]},
        {"calendars": [{**ALWAYS, "year": [YEARS] * 60}] * 100, "skip": [{**ALWAYS, "year": [YEARS] * 60}] * 100},
        {"cron_expressions": ["* * * * *"] * 100, "skip": [ALWAYS], "time_zone_name": "Europe/Paris"},
        {"calendars": [{"month": [{"start": 2}], "day_of_month": [{"start": 30}]}] * 100},
        {
            "calendars": [{"month": [{"start": 2}], "day_of_month": [{"start": 29}], "second": [{"start": 1}]}],
            "skip": [ALWAYS],
        },
        {"intervals": [SECOND], "start_at": "0001-01-01T00:00:00Z", "end_at": "0001-01-01T00:00:01Z"},
    ],
)
def test_times_when_there_are_none_then_that_is_known_after_a_bounded_number_of_looks(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a schedule says, one question costs a counted number of looks."""
    looks = 0
    for name in ("_next_of_calendar", "_next_of_interval", "_next_of_cron", "_matches"):
        ask = getattr(module, name)

        def counted(*args: Any, _ask: Any = ask) -> Any:
            nonlocal looks
            looks += 1
            return _ask(*args)

        monkeypatch.setattr(module, name, counted)
    assert next_time(ScheduleSpec.model_validate(given), NOW) is None
    assert looks <= MOST_WORK + 300


def test_times_when_the_work_is_shared_then_it_ends_for_all() -> None:
    """A listing of a thousand schedules is no more work than it may be."""
    schedule, work = ScheduleSpec.model_validate({"intervals": [SECOND]}), Work(10)
    assert len(list(islice(times(schedule, NOW, work), 100))) <= 11
    assert len(list(islice(times(schedule, NOW, work), 100))) <= 1


@pytest.mark.parametrize("fields", [("second",), ("second", "minute"), ("second", "minute", "hour")])
def test_times_when_minutes_hours_or_days_are_skipped_then_what_follows_is_found(fields: tuple[str, ...]) -> None:
    """A second that comes after a whole day of skipped ones is not too far away."""
    skip = {**{name: ALWAYS[name] for name in fields}, "day_of_month": [{"start": 1}]}
    schedule = ScheduleSpec.model_validate({"intervals": [SECOND], "skip": [skip]})
    expected = {1: (1, 0, 1), 2: (1, 1, 0), 3: (2, 0, 0)}[len(fields)]
    found = next_time(schedule, NOW.replace(hour=0, minute=0, second=0))
    assert found is not None
    assert (found.day, found.hour, found.minute) == expected
