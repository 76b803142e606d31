"""The command line beside the API: there is a command for everything that a client may do."""

import re
from typing import Any

import pytest

from levante_api.openapi.document import ROLES
from tests.integration.api.harness import Api
from tests.support.cli import Api as Recorder
from tests.support.cli import api as recorder
from tests.support.cli import run

__all__ = ["recorder"]

E, W, D, S = "executions", "workflows", "deployments", "schedules"
COMMANDS = [
    "activities complete t",
    "activities fail t --message no",
    "activities heartbeat t",
    f"{D} list",
    f"{D} get d",
    f"{D} workers d",
    f"{D} builds d",
    f"{D} logs d",
    f"{D} logs d --follow",
    f"{E} start w",
    f"{E} start --registration-id r",
    f"{E} list",
    f"{E} get e1",
    f"{E} history e1",
    f"{E} signal e1 s",
    f"{E} query e1 q",
    f"{E} update e1 u",
    f"{E} cancel e1",
    f"{E} terminate e1",
    f"{E} reset e1 --event 1",
    f"{E} explain e1",
    f"{E} pause e1",
    f"{E} resume e1",
    f"{E} retry-activity e1 1",
    f"{E} complete-activity e1 1 --result 1",
    f"{E} fail-activity e1 1 --message x",
    f"{E} skip-timer e1 1",
    f"{E} complete-child e1 1 --result 1",
    f"{E} fail-child e1 1 --message x",
    f"{E} reset-points e1",
    f"{E} rerun e1",
    f"{E} fork e1 --event 1",
    f"{E} delete e1",
    f"{E} events e1",
    f"{E} logs e1",
    f"{E} logs e1 --follow",
    f"{E} trace e1 --view tree",
    f"{E} trace e1 --view events",
    f"{E} trace e1 --view otel",
    f"{E} trace e1 --view id",
    "keys create --name n --role client",
    "keys list",
    "keys revoke k",
    "audit",
    "batch preview --search x",
    "batch start cancel --search x",
    "batch list",
    "batch get b",
    "batch failures b",
    "batch abort b",
    "parked list",
    "parked retry p",
    "parked retry --all",
    "parked drop p",
    "redrive",
    "registrations list",
    "registrations get r",
    "runs get r",
    "runs history r",
    f"{S} list",
    f"{S} create w --every PT1H",
    f"{S} get s",
    f"{S} update s --every PT1H",
    f"{S} pause s",
    f"{S} resume s",
    f"{S} trigger s",
    f"{S} delete s",
    f"{W} list",
    f"{W} get w",
    f"{W} update w --no-tags",
    f"{W} tag w t",
    f"{W} archive w",
    f"{W} unarchive w",
    "stats workflows",
    "stats activities",
    "stats backlog d",
    "stats cost e1",
    f"{W} metrics w",
]
OTHERWISE = {
    "get_workflow_events": "the stream gives the same, with sequence numbers",
    "stream": "the stream of selected events gives the same",
    "cancel_workflow_execution": "one is a batch",
    "terminate_workflow_execution": "same",
    "archive_workflow": "same",
    "unarchive_workflow": "same",
    "post_workflow_event": "for keys of workers",
    "post_workflow_events": "same",
}
"""Operations that no command needs, and why."""


def operations(api: Api) -> list[tuple[str, re.Pattern[str], str]]:
    """List method, path and name of all operations for people, those with fewer parameters in their paths first."""
    document = api.call("GET", "/openapi.json", key=None).body
    return [
        (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operation["operationId"])
        for path, methods in sorted(document["paths"].items(), key=lambda item: item[0].count("{"))
        for method, operation in methods.items()
        if is_for_clients(operation)
    ]


def is_for_clients(operation: dict[str, Any]) -> bool:
    """Leave out what needs no key, what workers or machines ask, and what is refused whatever is asked."""
    succeeds = any(status < "400" for status in operation["responses"])
    return succeeds and "workers" not in operation["tags"] and ROLES in operation


@pytest.mark.slow
def test_command_line_when_compared_with_the_api_then_no_operation_is_missing(api: Api, recorder: Recorder) -> None:
    """What can be done with the API can be done in a terminal, and every command asks for something that there is."""
    known = operations(api)
    recorder.on("GET", "/v1/workflows/executions/e1", (200, {"execution_id": "e1", "status": "RUNNING"}))
    for command in COMMANDS:
        run(recorder, *command.split())
    asked = [(method, path.partition("?")[0]) for method, path, _, _ in recorder.asked]
    used = [
        next((name for method, path, name in known if method == how and path.fullmatch(where)), f"{how} {where}")
        for how, where in asked
    ]
    assert set(used) == {name for _, _, name in known} - set(OTHERWISE)
