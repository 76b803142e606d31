"""`levante workflows`, `registrations` and `deployments`; and that every filter of the API is an option of a command."""

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from levante.cli import main
from levante.cli.executions.executions import executions
from levante.cli.exits import Exit
from levante.cli.operations.deployments import deployments
from levante.cli.operations.registrations import registrations
from levante.cli.operations.schedules import schedules
from levante.cli.operations.workflows import workflows
from levante.cli.repairs.batches import batch
from levante_api.batch_jobs.models import BatchJobsQuery
from levante_api.catalogue.deployments import DeploymentQuery, DeploymentsQuery, WorkersQuery
from levante_api.catalogue.registrations import RegistrationsQuery
from levante_api.catalogue.workflows import WorkflowsQuery
from levante_api.executions.runs import RunsQuery
from levante_api.observability.logs import DeploymentLogsQuery, ExecutionLogsQuery
from levante_api.observability.metrics import MetricsQuery
from levante_api.observability.traces import TraceEventsQuery
from levante_api.schedules.schedules import SchedulesQuery
from levante_core.domain.executions.criteria import RunCriteria
from levante_core.protocol.stream_messages import EventStreamQuery
from tests.support.cli import Api, api, assert_one_line, run

__all__ = ["api"]

WORKFLOW = {"name": "w", "id": "i", "active": True, "archived": False, "tags": ["a"]}
REGISTRATION = {
    "id": "r1",
    "deployment_name": "d",
    "active": True,
    "definition": {"execution_timeout": 60.0, "input_schema": {"type": "object"}, "signals": [{"name": "add"}]},
    "workflow": {"name": "w"},
}
WORKER = {"name": "w1", "is_active": True, "last_heartbeat": "2026-11-23T00:00:00Z"}
DEPLOYMENT = {"name": "d", "is_active": True, "worker_count": 1, "workers": [WORKER]}
BUILD = {"build_id": "b7", "is_current": True, "open_executions": 2}
METRICS: dict[str, Any] = {
    "execution_count": {"value": 3},
    "success_count": {"value": 2},
    "error_count": {"value": 1},
    "average_latency_ms": {"value": 12.5},
    "blocked_count": {"value": 0},
    "latency_over_time": {"value": []},
}


@pytest.mark.parametrize(
    ("command", "path", "answer", "shown"),
    [
        (
            ["registrations", "list"],
            "/v1/workflows/registrations",
            {"workflow_registrations": [REGISTRATION], "next_cursor": None},
            ["r1", "w", "d", "60.0"],
        ),
        (
            ["registrations", "get", "r1"],
            "/v1/workflows/registrations/r1",
            {"workflow_registration": REGISTRATION},
            ["r1", "w", '["add"]', '{"type": "object"}', "yes"],
        ),
        (["deployments", "get", "d"], "/v1/workflows/deployments/d", DEPLOYMENT, ["d", "w1", "2026-11-23T00:00:00Z"]),
        (["deployments", "workers", "d"], "/v1/workflows/deployments/d/workers", {"workers": [WORKER]}, ["w1", "yes"]),
        (["deployments", "builds", "d"], "/v1/workflows/deployments/d/builds", {"builds": [BUILD]}, ["b7", "yes", "2"]),
        (
            ["deployments", "builds", "d"],
            "/v1/workflows/deployments/d/builds",
            {"builds": [BUILD], "is_partial": True},
            [f"{BUILD['open_executions']}+"],
        ),
        (["workflows", "metrics", "w"], "/v1/workflows/w/metrics", METRICS, ["3", "2", "1", "12.5"]),
    ],
)
def test_look_ups_when_made_then_people_get_a_table_and_programs_the_answer(
    api: Api, command: list[str], path: str, answer: Any, shown: list[str]
) -> None:
    """`--json` is exactly what the API says."""
    text = json.dumps(answer, indent=1)
    api.on("GET", path, (200, text))
    plain, as_json = run(api, *command), run(api, *command, "--json")
    assert (plain.exit_code, plain.stderr, as_json.stdout) == (0, "", text + "\n")
    words = [word.strip() for word in plain.stdout.replace("\n", "  ").split("  ")]
    assert [word for word in shown if word not in words] == []


@pytest.mark.parametrize(
    ("command", "path", "rows", "said"),
    [
        (["registrations", "list"], "/v1/workflows/registrations", "workflow_registrations", "no registrations\n"),
        (["deployments", "list"], "/v1/workflows/deployments", "deployments", "no deployments: start a worker with"),
        (["deployments", "workers", "d"], "/v1/workflows/deployments/d/workers", "workers", "no workers\n"),
        (["workflows", "list"], "/v1/workflows", "workflows", "no workflows: start a worker with"),
    ],
)
def test_lists_when_they_are_empty_then_it_is_said_beside_them(
    api: Api, command: list[str], path: str, rows: str, said: str
) -> None:
    """A script that counts lines counts none."""
    api.on("GET", path, (200, {rows: [], "next_cursor": None}))
    result = run(api, *command)
    assert (result.exit_code, result.stdout, result.stderr.startswith(said)) == (0, "", True)


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (["--description", "Pays", "--display-name", "Checkout"], {"description": "Pays", "display_name": "Checkout"}),
        (["--tag", "a", "--tag", "b"], {"tags": ["a", "b"]}),
        (["--no-tags"], {"tags": []}),
        (["--as-in-code", "description", "--display-name", "C"], {"description": None, "display_name": "C"}),
    ],
)
def test_update_when_something_is_said_then_only_that_is_sent(api: Api, options: list[str], body: dict[str, Any]) -> None:
    """What is not given stays as it is; null is what the code says."""
    api.on("PUT", "/v1/workflows/w", (200, {"workflow": WORKFLOW}))
    plain, as_json = (run(api, "workflows", "update", "w", *options, *more) for more in ([], ["--json"]))
    assert (plain.exit_code, '["a"]' in plain.stdout, json.loads(as_json.stdout)) == (0, True, {"workflow": WORKFLOW})
    assert api.asked[0][2] == body


@pytest.mark.parametrize(
    "options",
    [[], ["--tag", "a", "--no-tags"], ["--description", "x", "--as-in-code", "description"], ["--as-in-code", "tags"]],
)
def test_update_when_nothing_or_two_things_are_said_then_it_is_wrong_usage(api: Api, options: list[str]) -> None:
    """Bad input is refused at the earliest point."""
    assert run(api, "workflows", "update", "w", *options).exit_code == Exit.USAGE
    assert api.asked == []


def test_tags_when_added_then_people_are_told_and_programs_get_the_empty_answer(api: Api) -> None:
    """The API answers 204 and nothing."""
    api.on("POST", "/v1/workflows/w/tags", (204, None))
    result, as_json = run(api, "workflows", "tag", "w", "a", "b"), run(api, "workflows", "tag", "w", "a", "b", "--json")
    assert (result.exit_code, "a, b" in result.stdout, as_json.stdout) == (0, True, "")
    assert api.asked[0][2] == {"tags": ["a", "b"]}


@pytest.mark.parametrize("verb", ["archive", "unarchive"])
def test_archiving_when_one_of_them_is_not_there_then_the_others_are_dealt_with(api: Api, verb: str) -> None:
    """Each on its own, a hundred in a request; the exit code says that one was not."""
    names = [f"w{number}" for number in range(100)]
    error = {"workflow_id": "x", "message": "no workflow has the name or id 'x'", "workflow": None}
    answers = [
        {f"{verb}d": [{"name": name} for name in names], "errored": []},
        {f"{verb}d": [], "errored": [error]},
    ]
    api.on("PUT", f"/v1/workflows/{verb}", *[(200, answer) for answer in answers])
    result = run(api, "workflows", verb, *names, "x")
    assert (result.exit_code, result.stdout.splitlines()) == (1, [f"workflow {name} is {verb}d" for name in names])
    assert result.stderr == "Error: x: no workflow has the name or id 'x'\n"
    assert [body["workflow_ids"] for _, _, body, _ in api.asked] == [names, ["x"]]
    as_json = run(api, "workflows", verb, "x", "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (1, answers[1])


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (["workflows", "update", "w", "--no-tags"], ("PUT", "/v1/workflows/w")),
        (["workflows", "tag", "w", "a"], ("POST", "/v1/workflows/w/tags")),
        (["workflows", "archive", "w"], ("PUT", "/v1/workflows/archive")),
        (["workflows", "metrics", "w"], ("GET", "/v1/workflows/w/metrics")),
        (["registrations", "get", "r1"], ("GET", "/v1/workflows/registrations/r1")),
        (["deployments", "get", "d"], ("GET", "/v1/workflows/deployments/d")),
        (["deployments", "workers", "d"], ("GET", "/v1/workflows/deployments/d/workers")),
    ],
)
def test_commands_when_the_api_refuses_then_one_line_says_why(api: Api, command: list[str], path: tuple[str, str]) -> None:
    """Whichever it is."""
    api.on(*path, (403, {"detail": "it takes one with: client", "code": "FORBIDDEN"}))
    assert_one_line(run(api, *command), "it takes one with: client (403 FORBIDDEN)")


# --- filters ----------------------------------------------------------------------------------------------------------

PAGES = {"limit", "page_size", "cursor", "next_page_token"}
"""Parameters of a listing that the commands deal with."""
ELSEWHERE = {"include_shared", "available_in_chat_assistant", "is_hardened", "workspace_id", "log_type"}
"""Filters of what only the vendor has, which tell nothing apart here."""


def parameters(command: click.Command) -> set[str]:
    """Name the options of a command as the API has them, without those that all have."""
    names = {parameter.name or "" for parameter in command.params if isinstance(parameter, click.Option)}
    return names - {"as_json", "server_url", "api_key", "limit"}


@pytest.mark.parametrize(
    ("group", "verb", "query", "apart"),
    [
        (executions, "list", RunsQuery, {"is_blocked", "include_blockers", "stuck"}),
        (batch, "preview", RunCriteria, {"is_blocked", "stuck"}),
        (batch, "list", BatchJobsQuery, set()),
        (workflows, "list", WorkflowsQuery, {"active_only", "sort_by", "internal"}),
        (workflows, "metrics", MetricsQuery, set()),
        (registrations, "list", RegistrationsQuery, {"with_workflow"}),
        (deployments, "list", DeploymentsQuery, set()),
        (deployments, "get", DeploymentQuery, set()),
        (deployments, "workers", WorkersQuery, set()),
        (schedules, "list", SchedulesQuery, set()),
        (executions, "logs", ExecutionLogsQuery, {"follow"}),
        (deployments, "logs", DeploymentLogsQuery, {"follow"}),
    ],
)
def test_lists_when_compared_with_the_api_then_each_of_its_filters_is_an_option(
    group: click.Group, verb: str, query: type[BaseModel], apart: set[str]
) -> None:
    """The command line is complete. apart: what has one value here, a second name, or is no filter."""
    filters = set(query.model_fields) - PAGES - ELSEWHERE
    assert parameters(group.commands[verb]) ^ filters == apart


def test_events_when_compared_with_the_api_then_each_of_its_filters_is_an_option() -> None:
    """Whose events, and from where on, have shorter names here; event_source is --follow; metadata has its own options."""
    whose = {"workflow_exec_id", "parent_workflow_exec_id", "root_workflow_exec_id"}
    of = {*whose, "start_seq", "event_source", "metadata_filters"}
    assert parameters(executions.commands["events"]) - {"of", "first", "follow"} == set(EventStreamQuery.model_fields) - of
    chosen = {"view", "internal", "merged"}
    assert (parameters(executions.commands["trace"]), len(TraceEventsQuery.model_fields)) == (chosen, len(chosen) - 1)


def test_filters_when_given_then_booleans_are_written_as_the_api_reads_them(api: Api) -> None:
    """A flag that is not given says nothing."""
    api.on("GET", "/v1/workflows", (200, {"workflows": [], "next_cursor": None}))
    api.on("GET", "/v1/workflows/runs", (200, {"executions": [], "next_page_token": None}))
    run(api, "workflows", "list", "--archived", "--tag", "a", "--tag", "b", "--status", "active")
    run(api, "workflows", "list", "--not-archived")
    run(api, "executions", "list", "--no-internal", "--search-key", "order==:7", "--started-after", "T")
    assert [asked[1].partition("?")[2] for asked in api.asked] == [
        "limit=50&archived=true&tags=a&tags=b&deployment_status=active",
        "limit=50&archived=false",
        "page_size=50&include_internal=false&search_key=order%3D%3D%3A7&start_time_after=T&include_blockers=true",
    ]


# --- completion -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_when_asked_for_then_the_script_is_for_that_shell(shell: str) -> None:
    """It calls the command that it completes, by the variable that click listens to."""
    result = CliRunner().invoke(main, ["completion", shell])
    assert (result.exit_code, f"_LEVANTE_COMPLETE={shell}_complete" in result.stdout) == (0, True)
    assert CliRunner().invoke(main, ["completion", "tcsh"]).exit_code == Exit.USAGE


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("levante exec", "executions"),
        ("levante executions termi", "terminate"),
        ("levante executions list --deploy", "--deployment-name"),
        ("levante executions list --status RUN", "running"),
        ("levante dev --da", "--data"),
    ],
)
def test_completion_when_a_word_is_begun_then_the_rest_is_known(words: str, completed: str) -> None:
    """Nouns, verbs, options and their values, those of other packages too; without a key or a server."""
    environment = {
        "_LEVANTE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "LEVANTE_API_KEY": None,
        "LEVANTE_SERVER_URL": "no address",
    }
    result = CliRunner().invoke(main, [], env=environment, prog_name="levante")
    assert result.stdout == f"plain,{completed}\n"
