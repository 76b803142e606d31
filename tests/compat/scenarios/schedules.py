"""Schedules: made, shown, changed, paused, started by hand and removed; and they fire."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.compat.scenarios.server import DEPLOYMENT, Server, fresh, invalid, refused

INPUT = {"name": "Ada", "times": 1}
DAILY: dict[str, Any] = {
    "input": INPUT,
    "calendars": [{"hour": [{"start": 9}], "day_of_week": [{"start": 1, "end": 5}], "comment": "mornings"}],
    "time_zone_name": "Europe/Paris",
}
PATIENCE_SECONDS = 30.0


def make(server: Server, schedule: dict[str, Any], **more: Any) -> str:
    """Make a schedule of `greet` with an id of its own. Returns the id."""
    chosen = fresh("schedule")
    given: Any = {"schedule": {**schedule, "schedule_id": chosen}, "workflow_identifier": "greet", **more}
    made = server.client.workflows.schedules.schedule_workflow(**given)
    assert made.schedule_id == chosen
    return chosen


def get(server: Server, schedule_id: str) -> Any:
    """Return a schedule."""
    return server.client.workflows.schedules.get_schedule(schedule_id=schedule_id)


def until(condition: Callable[[], Any]) -> Any:
    """Return what the condition returns as soon as that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def ids(server: Server, **query: Any) -> list[str]:
    """Return the ids that are listed, over all pages."""
    found: list[str] = []
    page: Any = server.client.workflows.schedules.get_schedules(**query)
    while page is not None:
        found += [one.schedule_id for one in page.result.schedules]
        page = page.next()
    return found


def test_schedule_workflow_when_made_then_it_is_shown_with_its_next_ten_times(server: Server) -> None:
    """In its zone, with all that was said, and the contract's defaults for the rest."""
    chosen = make(server, DAILY)
    shown = get(server, chosen)
    assert (shown.workflow_name, shown.paused, shown.input, shown.note) == ("greet", False, INPUT, None)
    (calendar,) = shown.calendars
    assert (calendar.hour[0].start, calendar.day_of_week[0].end, calendar.comment) == (9, 5, "mornings")
    assert (shown.policy.overlap, shown.policy.catchup_window_seconds, shown.policy.pause_on_failure) == (1, 31536000, False)
    assert (shown.remaining_executions, shown.recent_executions, shown.time_zone_name) == (None, [], "Europe/Paris")
    times = [one.scheduled_at for one in shown.future_executions]
    assert len(times) == 10
    assert times == sorted(times)
    assert all(one > datetime.now(UTC) and one.weekday() < 5 and one.minute == 0 for one in times)
    server.client.workflows.schedules.unschedule_workflow(schedule_id=chosen)
    refused(404, "WF_1201", get, server, chosen)


def test_schedule_when_its_time_comes_then_executions_start_until_there_were_enough(server: Server) -> None:
    """Each shows its schedule in its events, and its id of its time."""
    more = {"intervals": [{"every": "PT1S"}], "max_executions": 2, "policy": {"overlap": 6}}
    chosen = make(server, {"input": INPUT, **more}, deployment_name=DEPLOYMENT)
    shown = until(lambda: (found := get(server, chosen)).remaining_executions == 0 and found)
    first, second = shown.recent_executions
    assert second.scheduled_at - first.scheduled_at == timedelta(seconds=1)
    assert shown.future_executions == []
    for one in (first, second):
        assert one.execution_id == f"{chosen}-{one.scheduled_at:%Y%m%dT%H%M%SZ}"
        assert server.completed(one.execution_id).result == {"result": "hello Ada"}
        page = server.client.workflows.events.get_workflow_events(workflow_exec_id=one.execution_id)
        assert {event.schedule_id for event in page.events} == {chosen}
    server.client.workflows.schedules.unschedule_workflow(schedule_id=chosen)


def test_update_schedule_when_some_is_set_then_the_rest_stays(server: Server) -> None:
    """Only what is named changes."""
    chosen = make(server, {**DAILY, "jitter": "PT1M"})
    changes: Any = {"cron_expressions": ["*/5 * * * *"], "calendars": [], "policy": {"overlap": 3}}
    changed = server.client.workflows.schedules.update_schedule(schedule_id=chosen, schedule=changes)
    assert changed.schedule_id == chosen
    shown = get(server, chosen)
    assert (shown.cron_expressions, shown.calendars, shown.policy.overlap) == (["*/5 * * * *"], [], 3)
    assert (shown.input, shown.jitter, shown.time_zone_name) == (INPUT, "PT1M", "Europe/Paris")
    server.client.workflows.schedules.unschedule_workflow(schedule_id=chosen)


def test_pause_schedule_when_done_then_it_says_why_and_starts_by_hand_only(server: Server) -> None:
    """Until it is resumed."""
    schedules = server.client.workflows.schedules
    chosen = make(server, DAILY)
    schedules.pause_schedule(schedule_id=chosen, note="holidays")
    paused = get(server, chosen)
    assert (paused.paused, paused.note, paused.future_executions) == (True, "holidays", [])
    assert chosen in ids(server, status="paused")
    assert chosen not in ids(server, status="active")
    schedules.trigger_schedule(schedule_id=chosen)
    (started,) = get(server, chosen).recent_executions
    assert server.completed(started.execution_id).result == {"result": "hello Ada"}
    schedules.trigger_schedule(schedule_id=chosen, overlap=6)
    assert len(get(server, chosen).recent_executions) == 2
    schedules.resume_schedule(schedule_id=chosen)
    resumed = get(server, chosen)
    assert (resumed.paused, resumed.note, len(resumed.future_executions)) == (False, None, 10)
    schedules.unschedule_workflow(schedule_id=chosen)


def test_get_schedules_when_paged_then_each_comes_once(server: Server) -> None:
    """In the order of their ids; without a page size, all at once."""
    made = sorted(make(server, DAILY) for _ in range(5))
    for query in ({"page_size": 2}, {}, {"workflow_name": "greet"}, {"search": "SCHEDULE-"}):
        listed = ids(server, **query)
        assert [one for one in listed if one in made] == made
        assert listed == sorted(set(listed))
    assert ids(server, search=made[0]) == [made[0]]
    assert ids(server, workflow_name="nap") == ids(server, user_id="somebody") == []
    for one in made:
        server.client.workflows.schedules.unschedule_workflow(schedule_id=one)


def test_schedule_workflow_when_it_cannot_work_then_nothing_is_made(server: Server) -> None:
    """422 says where; 404 and 409 say what there is not, or is already."""
    schedules: Any = server.client.workflows.schedules
    before = ids(server)
    wrong = {"input": INPUT, "cron_expressions": ["at noon"], "time_zone_name": "Mars/Olympus"}
    problems = invalid(schedules.schedule_workflow, schedule=wrong, workflow_identifier="greet")
    assert problems.keys() == {("body", "schedule", "cron_expressions", 0), ("body", "schedule", "time_zone_name")}
    assert invalid(schedules.schedule_workflow, schedule={"input": INPUT}).keys() == {("body", "workflow_identifier")}
    assert invalid(schedules.schedule_workflow, schedule={"input": {"name": 3}}, workflow_identifier="greet").keys() == {
        ("body", "input", "name")
    }
    refused(404, "WF_1100", schedules.schedule_workflow, schedule=DAILY, workflow_identifier=fresh("unknown"))
    assert ids(server) == before
    chosen = make(server, DAILY)
    again = {"schedule": {**DAILY, "schedule_id": chosen}, "workflow_identifier": "greet"}
    assert chosen in refused(409, "WF_1200", schedules.schedule_workflow, **again)["detail"]
    schedules.unschedule_workflow(schedule_id=chosen)


def test_schedule_when_it_is_unknown_then_404_wherever_it_is_named(server: Server) -> None:
    """WF_1201."""
    schedules: Any = server.client.workflows.schedules
    unknown = fresh("unknown")
    calls = (
        schedules.get_schedule,
        schedules.unschedule_workflow,
        schedules.pause_schedule,
        schedules.resume_schedule,
        schedules.trigger_schedule,
    )
    for call in calls:
        assert unknown in refused(404, "WF_1201", call, schedule_id=unknown)["detail"]
    refused(404, "WF_1201", schedules.update_schedule, schedule_id=unknown, schedule={"jitter": "PT1S"})


def test_async_schedules_when_called_then_they_do_the_same(server: Server) -> None:
    """The twins of every method."""

    async def talk(client: Any) -> tuple[Any, Any]:
        schedules = client.workflows.schedules
        made = await schedules.schedule_workflow_async(schedule=DAILY, workflow_identifier="greet")
        one = {"schedule_id": made.schedule_id}
        await schedules.pause_schedule_async(**one)
        await schedules.resume_schedule_async(**one, note="again")
        await schedules.trigger_schedule_async(**one)
        await schedules.update_schedule_async(**one, schedule={"jitter": "PT5S"})
        shown = await schedules.get_schedule_async(**one)
        listed = await schedules.get_schedules_async(search=made.schedule_id)
        await schedules.unschedule_workflow_async(**one)
        return shown, listed.result.schedules

    shown, listed = server.in_a_loop(talk)
    assert (shown.note, shown.jitter, len(shown.recent_executions)) == ("again", "PT5S", 1)
    assert [one.schedule_id for one in listed] == [shown.schedule_id]


def test_guide_when_followed_then_the_schedule_is_made(server: Server) -> None:
    """What docs/schedules.md shows of the client."""
    page = (Path(__file__).parents[3] / "docs" / "schedules.md").read_text(encoding="utf-8")
    example = page.split("```python\n")[1].split("```")[0]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LEVANTE_API_KEY", server.key)
        environment.setenv("LEVANTE_SERVER_URL", server.url)
        exec(example, {})  # noqa: S102 - our own page
    shown = get(server, "greet-in-the-morning")
    assert shown.future_executions[0].scheduled_at.minute == 30
    server.client.workflows.schedules.unschedule_workflow(schedule_id=shown.schedule_id)
