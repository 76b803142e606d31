"""Looking at executions."""

from typing import Any

from tests.compat.scenarios.server import DEPLOYMENT, NEVER_SECONDS, Server, fresh, refused


def history_of(server: Server, execution_id: str, **options: Any) -> Any:
    """Return the history: arbitrary JSON to the client."""
    return server.client.workflows.executions.get_workflow_execution_history(execution_id=execution_id, **options)


def kinds(history: Any) -> list[str]:
    """Return what happened, in order."""
    return [event["kind"] for event in history["events"]]


def test_get_workflow_execution_when_completed_then_all_fields_tell(server: Server) -> None:
    """A closed execution has an end, a result, and says where it ran."""
    workflow_id = server.client.workflows.get_workflow(workflow_identifier="greet").workflow.id
    chosen = fresh("fields")
    server.completed(server.start("greet", {"name": "Ada"}, execution_id=chosen))
    execution: Any = server.client.workflows.executions.get_workflow_execution(execution_id=chosen)
    assert (execution.execution_id, execution.root_execution_id) == (chosen, chosen)
    assert (execution.workflow_name, execution.workflow_id) == ("greet", workflow_id)
    assert (execution.status, execution.result) == ("COMPLETED", {"result": "hello Ada"})
    assert (execution.deployment_name, execution.parent_execution_id) == (DEPLOYMENT, None)
    assert execution.run_id
    assert execution.start_time.utcoffset().total_seconds() == 0
    assert execution.end_time >= execution.start_time
    assert execution.total_duration_ms >= 0


def test_get_workflow_execution_when_running_then_it_has_neither_end_nor_result(server: Server) -> None:
    """What has not happened is null."""
    execution_id = server.start("nap", {"seconds": NEVER_SECONDS})
    try:
        execution: Any = server.client.workflows.executions.get_workflow_execution(execution_id=execution_id)
        assert (execution.status, execution.end_time, execution.result) == ("RUNNING", None, None)
        assert execution.total_duration_ms is None
    finally:
        server.terminate(execution_id)


def test_get_workflow_execution_when_failed_then_it_has_an_end_and_no_result(server: Server) -> None:
    """A failure is an end without a result."""
    for workflow in ("refuse", "stumble"):
        execution_id = server.start(workflow, {"reason": "no stock"})
        assert server.failed(execution_id) == "Workflow failed with status: FAILED"
        execution: Any = server.client.workflows.executions.get_workflow_execution(execution_id=execution_id)
        assert (execution.status, execution.result) == ("FAILED", None)
        assert execution.end_time


def test_get_workflow_execution_when_search_keys_are_asked_for_then_they_are_an_object(server: Server) -> None:
    """include_search_keys: an object, empty where none is set; else nothing."""
    execution_id = server.start("nothing")
    get = server.client.workflows.executions.get_workflow_execution
    assert get(execution_id=execution_id, include_search_keys=True).search_keys == {}
    assert not get(execution_id=execution_id, include_search_keys=False).search_keys


def test_history_when_completed_then_it_goes_from_the_start_to_the_result(server: Server) -> None:
    """The whole course of a run, numbered from 1: start, activity, result."""
    execution = server.completed(server.start("greet", {"name": "Ada"}))
    history = history_of(server, execution.execution_id)
    assert (history["execution_id"], history["run_id"]) == (execution.execution_id, execution.run_id)
    assert history["status"] == "COMPLETED"
    assert kinds(history) == ["execution_started", "activity_scheduled", "activity_completed", "execution_completed"]
    assert [event["event_id"] for event in history["events"]] == [1, 2, 3, 4]
    assert history["events"][0]["input"] == {"name": "Ada"}
    assert history["events"][-1]["result"] == {"result": "hello Ada"}


def test_history_when_payloads_are_not_to_be_decoded_then_it_is_the_same(server: Server) -> None:
    """decode_payloads changes nothing where nothing is encoded."""
    execution_id = server.completed(server.start("greet", {"name": "Ada"})).execution_id
    assert history_of(server, execution_id, decode_payloads=False) == history_of(server, execution_id)


def test_history_when_running_then_it_has_no_end_yet(server: Server) -> None:
    """A history may be read at any time; it ends where the run stands."""
    execution_id = server.start("nap", {"seconds": NEVER_SECONDS})
    try:
        history = history_of(server, execution_id)
        assert history["status"] == "RUNNING"
        assert kinds(history)[0] == "execution_started"
        assert not [kind for kind in kinds(history)[1:] if kind.startswith("execution_")]
    finally:
        server.terminate(execution_id)
    assert kinds(history_of(server, execution_id))[-1] == "execution_terminated"


def test_history_when_failed_then_it_ends_with_the_reason(server: Server) -> None:
    """Why an execution failed is part of its history."""
    execution_id = server.start("refuse", {"reason": "no stock"})
    server.failed(execution_id)
    last = history_of(server, execution_id)["events"][-1]
    assert (last["kind"], last["failure"]["message"]) == ("execution_failed", "no stock")


def test_execution_when_its_id_is_unknown_then_every_call_answers_404(server: Server) -> None:
    """Nothing has this id: WF_1100, whatever was asked, and the detail names the id."""
    unknown = fresh("unknown")
    executions = server.client.workflows.executions
    for call in (
        executions.get_workflow_execution,
        executions.get_workflow_execution_history,
        executions.terminate_workflow_execution,
        server.client.workflows.wait_for_workflow_completion,
    ):
        assert unknown in refused(404, "WF_1100", call, execution_id=unknown)["detail"]


def test_execution_when_its_id_could_not_exist_then_it_is_just_unknown(server: Server) -> None:
    """Ids that no execution can have are asked for as well: blanks, dots, other alphabets, too long."""
    for impossible in ("a b", "a.b", "ключ", "x" * 300, "*"):
        refused(404, "WF_1100", server.client.workflows.executions.get_workflow_execution, execution_id=impossible)
