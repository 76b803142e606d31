"""Every method of the client's `workflows`, in both its forms: once with success, once with a documented error."""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mistralai.client import Mistral
from mistralai.client.errors import HTTPValidationError, SDKError

from tests.compat.scenarios.server import ATTEMPTS, DEPLOYMENT, POLL, Server, fresh, raised

ONLY_IN_3 = {"add_workflow_tags", "deployments.get_deployment_archive", "deployments.unharden_deployment"}
NOT_CALLS = {"do_request", "dynamic_import"}
NOBODY = "nobody-at-all"
Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """How a method is called. given: arguments of a call that succeeds; None if none does. refused: of one that does not.

    error: status and code of that; without a code it is a 422 of the client's own kind.
    """

    given: Callable[[Server], Arguments] | None
    refused: Arguments
    error: tuple[int, str | None] = (404, "WF_1100")


def _execution(server: Server) -> Arguments:
    execution_id = server.start("greet", {"name": "Ada"})
    server.completed(execution_id)
    return {"execution_id": execution_id}


def _open(server: Server, **more: Any) -> Arguments:
    """Start something that goes on until it is ended."""
    return {"execution_id": server.start("counter"), **more}


def _run(server: Server) -> Arguments:
    execution: Any = server.client.workflows.executions.get_workflow_execution(**_execution(server))
    return {"run_id": execution.run_id}


def _registration(server: Server) -> Any:
    found: Any = server.client.workflows.get_workflow_registrations(workflow_search="greet")
    return found.workflow_registrations[0].id


def _schedule(server: Server, **more: Any) -> Arguments:
    made = server.client.workflows.schedules.schedule_workflow(workflow_identifier="greet", schedule=_definition())
    return {"schedule_id": made.schedule_id, **more}


def _definition() -> Any:
    return {"input": {"name": "Ada"}, "cron_expressions": ["0 0 29 2 *"], "schedule_id": fresh("yearly")}


def _anything(**arguments: Any) -> Callable[[Server], Arguments]:
    return lambda _: arguments


GREET = {"workflow_identifier": "greet"}
NO_WORKFLOW = {"workflow_identifier": NOBODY}
NO_EXECUTION = {"execution_id": NOBODY}
NO_DEPLOYMENT = {"name": NOBODY}
NO_SCHEDULE = {"schedule_id": NOBODY}
INPUT = {"input": {"name": "Ada"}}
INVALID = (422, None)
GONE = (404, "WF_1201")
NOT_HERE = (404, "NOT_SELF_HOSTED")
SPEC = {"github_url": "https://example.invalid/code"}
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"

TABLE: Mapping[str, Row] = {
    "get_workflows": Row(_anything(limit=5), {"limit": 0}, INVALID),
    "get_workflow": Row(_anything(**GREET), NO_WORKFLOW),
    "get_workflow_registrations": Row(_anything(limit=5), {"limit": 0}, INVALID),
    "get_workflow_registration": Row(
        lambda server: {"workflow_registration_id": _registration(server)}, {"workflow_registration_id": UNKNOWN_ID}
    ),
    "update_workflow": Row(_anything(workflow_identifier="nothing", description="x"), {**NO_WORKFLOW, "description": "x"}),
    "add_workflow_tags": Row(_anything(workflow_identifier="nothing", tags=["a"]), {**NO_WORKFLOW, "tags": ["a"]}),
    "archive_workflow": Row(_anything(workflow_identifier="nothing"), NO_WORKFLOW),
    "unarchive_workflow": Row(_anything(workflow_identifier="nothing"), NO_WORKFLOW),
    "bulk_archive_workflows": Row(_anything(workflow_ids=[NOBODY]), {"workflow_ids": []}, INVALID),
    "bulk_unarchive_workflows": Row(_anything(workflow_ids=["nothing"]), {"workflow_ids": []}, INVALID),
    "execute_workflow": Row(_anything(**GREET, **INPUT), {**NO_WORKFLOW, **INPUT}),
    "execute_workflow_registration": Row(
        lambda server: {"workflow_registration_id": _registration(server), **INPUT}, {"workflow_registration_id": UNKNOWN_ID}
    ),
    "execute_workflow_and_wait": Row(
        _anything(**GREET, **INPUT, polling_interval=POLL, max_attempts=ATTEMPTS), {**NO_WORKFLOW, **INPUT}
    ),
    "wait_for_workflow_completion": Row(
        lambda server: {**_execution(server), "polling_interval": POLL, "max_attempts": ATTEMPTS}, NO_EXECUTION
    ),
    "executions.get_workflow_execution": Row(_execution, NO_EXECUTION),
    "executions.get_workflow_execution_history": Row(_execution, NO_EXECUTION),
    "executions.get_workflow_execution_logs": Row(_execution, NO_EXECUTION),
    "executions.stream_workflow_execution_logs": Row(_execution, NO_EXECUTION),
    "executions.get_workflow_execution_trace_info": Row(_execution, NO_EXECUTION),
    "executions.get_workflow_execution_trace_otel": Row(_execution, NO_EXECUTION),
    "executions.get_workflow_execution_trace_summary": Row(_execution, NO_EXECUTION),
    "executions.get_workflow_execution_trace_events": Row(_execution, NO_EXECUTION),
    "executions.stream": Row(_execution, NO_EXECUTION),
    "executions.signal_workflow_execution": Row(
        lambda server: _open(server, name="add", input={"number": 2}), {**NO_EXECUTION, "name": "add"}
    ),
    "executions.query_workflow_execution": Row(
        lambda server: _open(server, name="current"), {**NO_EXECUTION, "name": "current"}
    ),
    "executions.update_workflow_execution": Row(
        lambda server: _open(server, name="double", input={}), {**NO_EXECUTION, "name": "double"}
    ),
    "executions.cancel_workflow_execution": Row(_open, NO_EXECUTION),
    "executions.terminate_workflow_execution": Row(_open, NO_EXECUTION),
    "executions.batch_cancel_workflow_executions": Row(
        lambda server: {"execution_ids": [_open(server)["execution_id"], NOBODY]}, {"execution_ids": []}, INVALID
    ),
    "executions.batch_terminate_workflow_executions": Row(
        lambda server: {"execution_ids": [_open(server)["execution_id"], NOBODY]}, {"execution_ids": []}, INVALID
    ),
    "executions.reset_workflow": Row(lambda server: {**_execution(server), "event_id": 1}, {**NO_EXECUTION, "event_id": 1}),
    "runs.list_runs": Row(_anything(page_size=5), {"page_size": 0}, INVALID),
    "runs.get_run": Row(_run, {"run_id": UNKNOWN_ID}),
    "runs.get_run_history": Row(_run, {"run_id": UNKNOWN_ID}),
    "events.get_workflow_events": Row(
        lambda server: {"workflow_exec_id": _execution(server)["execution_id"]}, {"workflow_exec_id": NOBODY}
    ),
    "events.get_stream_events": Row(
        lambda server: {"workflow_exec_id": _execution(server)["execution_id"]}, {"workflow_exec_id": "*"}, (400, "WF_1001")
    ),
    "schedules.get_schedules": Row(_anything(page_size=5), {"page_size": 0}, INVALID),
    "schedules.schedule_workflow": Row(
        lambda _: {**GREET, "schedule": _definition()}, {**NO_WORKFLOW, "schedule": {"input": {}}}
    ),
    "schedules.get_schedule": Row(_schedule, NO_SCHEDULE, GONE),
    "schedules.unschedule_workflow": Row(_schedule, NO_SCHEDULE, GONE),
    "schedules.update_schedule": Row(
        lambda server: _schedule(server, schedule={"jitter": "PT1S"}), {**NO_SCHEDULE, "schedule": {"jitter": "PT1S"}}, GONE
    ),
    "schedules.pause_schedule": Row(_schedule, NO_SCHEDULE, GONE),
    "schedules.resume_schedule": Row(_schedule, NO_SCHEDULE, GONE),
    "schedules.trigger_schedule": Row(_schedule, NO_SCHEDULE, GONE),
    "deployments.list_deployments": Row(_anything(limit=5), {"limit": 0}, INVALID),
    "deployments.get_deployment": Row(_anything(name=DEPLOYMENT), NO_DEPLOYMENT),
    "deployments.list_deployment_workers": Row(_anything(name=DEPLOYMENT), NO_DEPLOYMENT),
    "deployments.get_deployment_logs": Row(_anything(name=DEPLOYMENT), NO_DEPLOYMENT),
    "deployments.stream_deployment_logs": Row(_anything(name=DEPLOYMENT), NO_DEPLOYMENT),
    "deployments.create_deployment": Row(None, {"name": NOBODY, "spec": SPEC}, NOT_HERE),
    "deployments.update_deployment": Row(None, NO_DEPLOYMENT, NOT_HERE),
    "deployments.delete_deployment": Row(None, NO_DEPLOYMENT, NOT_HERE),
    "deployments.start_deployment": Row(None, NO_DEPLOYMENT, NOT_HERE),
    "deployments.stop_deployment": Row(None, NO_DEPLOYMENT, NOT_HERE),
    "deployments.restart_deployment": Row(None, NO_DEPLOYMENT, NOT_HERE),
    "deployments.get_deployment_archive": Row(None, NO_DEPLOYMENT, NOT_HERE),
    "deployments.unharden_deployment": Row(None, {"deployment_id": UNKNOWN_ID}, NOT_HERE),
    "metrics.get_workflow_metrics": Row(_anything(workflow_name="greet"), {"workflow_name": NOBODY}),
}


def _methods(client: Mistral) -> dict[str, Any]:
    """Return every call of the client's `workflows` and what is below it, by name."""
    groups: dict[str, Any] = {"": client.workflows}
    for name in dir(client.workflows):
        group = getattr(client.workflows, name) if not name.startswith("_") else None
        if type(group).__module__.startswith(type(client).__module__.partition(".")[0]) and hasattr(group, "do_request"):
            groups[f"{name}."] = group
    found = {prefix + name: getattr(group, name) for prefix, group in groups.items() for name in dir(group)}
    return {
        name: method
        for name, method in found.items()
        if inspect.ismethod(method)
        and not name.rpartition(".")[2].startswith("_")
        and name.rpartition(".")[2].removesuffix("_async") not in NOT_CALLS
    }


def _rows(server: Server) -> dict[str, Row]:
    """Return the rows of the methods that this client has."""
    methods = _methods(server.client)
    return {name: row for name, row in TABLE.items() if name in methods or name not in ONLY_IN_3}


def test_table_when_compared_with_the_client_then_no_method_is_missing(server: Server) -> None:
    """Each one has an asynchronous twin."""
    names = set(_rows(server))
    assert set(_methods(server.client)) ^ (names | {f"{name}_async" for name in names}) == set()


def test_methods_when_called_then_the_client_understands_the_answers(server: Server) -> None:
    """It validates each of them against its own models."""
    for name, row in _rows(server).items():
        if row.given is not None:
            _called(server, name, row.given(server))


def test_methods_when_called_asynchronously_then_it_is_the_same(server: Server) -> None:
    """With a client of its own for each."""
    for name, row in _rows(server).items():
        if row.given is not None:
            _called_in_a_loop(server, name, row.given(server))


def test_methods_when_refused_then_the_error_is_the_documented_one(server: Server) -> None:
    """Status and code, and for what is invalid the client's own kind of error."""
    for name, row in _rows(server).items():
        _check(name, row, raised(Exception, _called, server, name, row.refused))


def test_methods_when_refused_asynchronously_then_it_is_the_same(server: Server) -> None:
    """As above."""
    for name, row in _rows(server).items():
        _check(name, row, raised(Exception, _called_in_a_loop, server, name, row.refused))


def _called(server: Server, name: str, arguments: Arguments) -> Any:
    """Call a method. A stream is closed again."""
    answer = _methods(server.client)[name](**arguments)
    if hasattr(answer, "__enter__"):
        with answer:
            return answer
    return answer


def _called_in_a_loop(server: Server, name: str, arguments: Arguments) -> Any:
    async def talk(client: Mistral) -> Any:
        answer = await _methods(client)[f"{name}_async"](**arguments)
        if hasattr(answer, "__aenter__"):
            async with answer:
                return answer
        return answer

    return server.in_a_loop(talk)


def _check(name: str, row: Row, error: Exception) -> None:
    assert isinstance(error, HTTPValidationError if row.error == INVALID else SDKError), (name, error)
    status, code = row.error
    assert error.status_code == status, (name, error)
    assert code in (None, json.loads(error.body)["code"]), (name, error)
