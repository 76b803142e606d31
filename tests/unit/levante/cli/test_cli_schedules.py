"""`levante schedules`: what is asked of the API, and what people are shown."""

import json
from typing import Any

import pytest

from tests.support.cli import Api, api, assert_one_line, run

__all__ = ["api"]

PATH = "/v1/workflows/schedules"
SCHEDULE: dict[str, Any] = {
    "schedule_id": "s1",
    "workflow_name": "report",
    "deployment_name": None,
    "paused": True,
    "note": "holidays",
    "calendars": [],
    "intervals": [{"every": "PT1H", "offset": None}],
    "cron_expressions": [],
    "skip": [],
    "start_at": None,
    "end_at": None,
    "jitter": None,
    "time_zone_name": "Europe/Paris",
    "policy": {"overlap": 1, "catchup_window_seconds": 60, "pause_on_failure": False},
    "remaining_executions": 3,
    "input": {"a": 1},
    "future_executions": [{"scheduled_at": "2027-01-01T01:00:00.000000Z"}],
    "recent_executions": [
        {"scheduled_at": "2027-01-01T00:00:00.000000Z", "started_at": "2027-01-01T00:00:00.100000Z", "execution_id": "s1-x"}
    ],
}


@pytest.mark.parametrize(
    ("options", "schedule"),
    [
        (["--cron", "0 9 * * *", "--cron", "0 18 * * *"], {"cron_expressions": ["0 9 * * *", "0 18 * * *"]}),
        (["--every", "PT1H", "--jitter", "PT5M"], {"intervals": [{"every": "PT1H"}], "jitter": "PT5M"}),
        (["--every", "10s"], {"intervals": [{"every": "PT10S"}]}),
        (["--every", "1d2h30m+5m"], {"intervals": [{"every": "P1DT2H30M", "offset": "PT5M"}]}),
        (["--every", "2D"], {"intervals": [{"every": "P2D"}]}),
        (["--every", "soon"], {"intervals": [{"every": "soon"}]}),
        (["--every", "PT1H+PT5M"], {"intervals": [{"every": "PT1H", "offset": "PT5M"}]}),
        (
            ["--calendar", '{"hour": [{"start": 9}]}', "--skip", '{"month": [{"start": 8}]}', "--time-zone", "Europe/Paris"],
            {
                "calendars": [{"hour": [{"start": 9}]}],
                "skip": [{"month": [{"start": 8}]}],
                "time_zone_name": "Europe/Paris",
            },
        ),
        (
            ["--overlap", "buffer-all", "--catch-up-seconds", "60", "--pause-on-failure", "--max-executions", "0"],
            {"policy": {"overlap": 3, "catchup_window_seconds": 60, "pause_on_failure": True}, "max_executions": 0},
        ),
        (
            ["--input", '{"a": 1}', "--start-at", "2027-01-01T00:00:00Z"],
            {"input": {"a": 1}, "start_at": "2027-01-01T00:00:00Z"},
        ),
    ],
)
def test_definition_when_given_in_options_then_only_what_was_said_is_sent(
    api: Api, options: list[str], schedule: dict[str, Any]
) -> None:
    """To make one, and to change one: what is left out is left to the API, or as it is."""
    api.on("POST", PATH, (201, {"schedule_id": "s1"}))
    api.on("PATCH", f"{PATH}/s1", (200, {"schedule_id": "s1"}))
    made = run(api, "schedules", "create", "report", *options)
    changed = run(api, "schedules", "update", "s1", *options)
    assert (made.exit_code, made.stdout, changed.exit_code) == (0, "s1\n", 0)
    (_, _, create, _), (_, _, update, _) = api.asked
    assert create == {"workflow_identifier": "report", "schedule": {"input": None, **schedule}}
    assert update == {"schedule": schedule}


def test_create_when_a_registration_is_named_then_that_is_what_starts(api: Api) -> None:
    """Instead of a workflow; not both, and not neither."""
    api.on("POST", PATH, (201, {"schedule_id": "s1"}))
    options = ["--cron", "0 9 * * *", "--schedule-id", "s1", "--deployment-name", "d"]
    assert run(api, "schedules", "create", "--registration-id", "r1", *options).exit_code == 0
    schedule = {"input": None, "cron_expressions": ["0 9 * * *"]}
    assert api.asked[0][2] == {
        "workflow_registration_id": "r1",
        "schedule": schedule,
        "schedule_id": "s1",
        "deployment_name": "d",
    }
    for wrong in ([], ["report", "--registration-id", "r1"]):
        assert run(api, "schedules", "create", *wrong, *options).exit_code == 2
    assert len(api.asked) == 1


def test_schedules_when_listed_or_shown_then_people_see_when_they_come(api: Api) -> None:
    """The next time, the last one, and why it is paused."""
    api.on("GET", PATH, (200, {"schedules": [SCHEDULE], "next_page_token": None}))
    api.on("GET", f"{PATH}/s1", (200, SCHEDULE))
    listed = run(api, "schedules", "list", "--status", "paused", "--workflow", "report").stdout
    for word in ("s1", "report", "yes", "2027-01-01T01:00:00Z", "2027-01-01T00:00:00Z", "holidays"):
        assert word in listed
    assert "workflow_name=report" in api.asked[0][1]
    assert "status=paused" in api.asked[0][1]
    shown = run(api, "schedules", "get", "s1").stdout
    for word in ("Europe/Paris", '"every": "PT1H"', "remaining_executions  3", "s1-x"):
        assert word in shown
    assert "calendars" not in shown
    assert json.loads(run(api, "schedules", "list", "--json").stdout)["schedules"] == [SCHEDULE]
    assert json.loads(run(api, "schedules", "get", "s1", "--json").stdout) == SCHEDULE


@pytest.mark.parametrize(
    ("command", "path", "body"),
    [
        (["pause", "s1", "--note", "holidays"], "pause", {"note": "holidays"}),
        (["resume", "s1"], "resume", {"note": None}),
        (["trigger", "s1"], "trigger", {"overlap": None}),
        (["trigger", "s1", "--overlap", "allow-all"], "trigger", {"overlap": 6}),
    ],
)
def test_commands_when_run_then_they_ask_for_it(api: Api, command: list[str], path: str, body: dict[str, Any]) -> None:
    """Each says what it did."""
    api.on("POST", f"{PATH}/s1/{path}", (204, None))
    done, as_json = run(api, "schedules", *command), run(api, "schedules", *command, "--json")
    assert (done.exit_code, "s1" in done.stdout, as_json.stdout) == (0, True, "")
    assert api.asked[0][:3] == ("POST", f"{PATH}/s1/{path}", body)


def test_options_when_they_are_no_json_then_the_error_names_the_option(api: Api) -> None:
    """Before anything is asked."""
    assert "--calendar" in run(api, "schedules", "create", "report", "--calendar", "{").stderr
    assert api.asked == []
    api.on("POST", PATH, (422, {"detail": [{"loc": ["body", "schedule"], "msg": "wrong", "type": "t"}], "code": "WF_1200"}))
    assert_one_line(run(api, "schedules", "create", "report", "--cron", "x"), "body.schedule: wrong (422 WF_1200)")
