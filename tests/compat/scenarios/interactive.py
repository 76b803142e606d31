"""People who answer what interactive workflows ask: plain queries and updates."""

import time
from typing import Any

from tests.compat.scenarios.server import ATTEMPTS, POLL, Server, invalid, refused


def _pending(server: Server, execution_id: str, label: str) -> dict[str, Any]:
    """Wait until an execution waits for the input with this label. Returns what the query says of it."""
    for _ in range(ATTEMPTS):
        answer = server.client.workflows.executions.query_workflow_execution(
            execution_id=execution_id, name="__get_pending_inputs"
        )
        result: Any = answer.result
        found: list[dict[str, Any]] = [one for one in result["pending_inputs"] if one["label"] == label]
        if found:
            return found[0]
        time.sleep(POLL)
    raise AssertionError(f"nobody is asked for {label!r}")


def _submit(server: Server, execution_id: str, task_id: str, value: Any) -> Any:
    return server.client.workflows.executions.update_workflow_execution(
        execution_id=execution_id, name="__submit_input", input={"task_id": task_id, "input": value}
    )


def test_input_when_submitted_then_the_workflow_goes_on(server: Server) -> None:
    """Pending inputs are listed with schema and label; a valid answer is taken with an empty object."""
    execution_id = server.start("approval", {"requester": "ann"})
    first = _pending(server, execution_id, "First approval for ann")
    assert set(first["input_schema"]["properties"]) == {"approved", "amount"}
    answer = _submit(server, execution_id, first["task_id"], {"approved": True, "amount": 2})
    assert (answer.update_name, answer.result) == ("__submit_input", {})
    second = _pending(server, execution_id, "Second approval")
    _submit(server, execution_id, second["task_id"], {"approved": True, "amount": 5})
    assert server.completed(execution_id).result == {"result": ["hello ann", "hello ann, hello ann"]}


def test_input_when_it_is_wrong_then_it_is_refused_and_stays_pending(server: Server) -> None:
    """409 with the reason for an unknown task and an input that does not fit; 422 for what is no submission at all."""
    executions, execution_id = server.client.workflows.executions, server.start("approval", {"requester": "bob"})
    label = "First approval for bob"
    task_id = _pending(server, execution_id, label)["task_id"]
    for submission, why in (
        ({"task_id": "nobody", "input": {}}, "no input with task_id 'nobody' is pending"),
        ({"task_id": task_id, "input": {"approved": True, "amount": -1}}, "amount"),
    ):
        body = refused(
            409,
            "HANDLER_FAILED",
            executions.update_workflow_execution,
            execution_id=execution_id,
            name="__submit_input",
            input=submission,
        )
        assert why in body["detail"]
        assert body["failure"]["non_retryable"] is True
    wrong = invalid(
        executions.update_workflow_execution, execution_id=execution_id, name="__submit_input", input={"input": 1}
    )
    assert any("task_id" in message for message in wrong.values()) or any("task_id" in place for place in wrong)
    assert _pending(server, execution_id, label)["task_id"] == task_id
    server.terminate(execution_id)


def test_technical_workflow_when_looked_up_then_it_is_marked_as_such(server: Server) -> None:
    """What the SDK brings along is in the catalogue, for whoever wants to hide it."""
    found = server.client.workflows.get_workflow(workflow_identifier="__parallel_execution__")
    assert found.workflow.is_technical is True
