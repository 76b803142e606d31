"""Waiting for results."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mistralai.client.errors import SDKError

from tests.compat.scenarios.server import ATTEMPTS, NEVER_SECONDS, POLL, Server, fresh, raised, refusal, refused


def test_execute_workflow_and_wait_when_polling_then_the_result_is_returned(server: Server) -> None:
    """The default way: start, then look until it is closed."""
    result = server.client.workflows.execute_workflow_and_wait("greet", {"name": "Ada"}, polling_interval=POLL)
    assert result == {"result": "hello Ada"}


def test_execute_workflow_and_wait_when_the_api_waits_then_the_result_is_returned(server: Server) -> None:
    """use_api_sync: one request, answered when the execution is closed."""
    workflows = server.client.workflows
    result = workflows.execute_workflow_and_wait(
        "order", {"customer": "Ada", "quantity": 2}, use_api_sync=True, timeout_seconds=30
    )
    assert result == {"customer": "Ada", "total": 3.0, "city": None}
    assert workflows.execute_workflow_and_wait("nothing", use_api_sync=True) is None


def test_execute_workflow_when_waiting_for_the_result_then_the_answer_names_the_execution(server: Server) -> None:
    """wait_for_result is answered with workflow, execution and result."""
    chosen = fresh("sync")
    answer: Any = server.client.workflows.execute_workflow(
        workflow_identifier="greet", input={"name": "Ada"}, execution_id=chosen, wait_for_result=True
    )
    assert type(answer).__name__ == "WorkflowExecutionSyncResponse"
    assert (answer.workflow_name, answer.execution_id, answer.result) == ("greet", chosen, {"result": "hello Ada"})


def test_wait_for_workflow_completion_when_it_completes_then_the_execution_is_returned(server: Server) -> None:
    """Waiting works for executions that were started elsewhere, and as long as they take."""
    execution = server.client.workflows.wait_for_workflow_completion(server.start("nap", {"seconds": 0.2}), POLL, ATTEMPTS)
    assert (execution.status, execution.result) == ("COMPLETED", {"result": "rested"})
    assert execution.end_time
    assert (execution.end_time - execution.start_time).total_seconds() >= 0.2


def test_wait_for_workflow_completion_when_attempts_run_out_then_it_times_out_and_nothing_else(server: Server) -> None:
    """Waiting is the caller's affair: the execution goes on."""
    execution = server.start("nap", {"seconds": NEVER_SECONDS})
    try:
        raised(TimeoutError, server.client.workflows.wait_for_workflow_completion, execution, POLL, 3)
        assert server.status(execution) == "RUNNING"
    finally:
        server.terminate(execution)


def test_execute_workflow_and_wait_when_the_workflow_fails_then_polling_raises(server: Server) -> None:
    """The client turns every status but COMPLETED into a RuntimeError that names it."""
    for workflow in ("refuse", "stumble"):
        execute = server.client.workflows.execute_workflow_and_wait
        error = raised(RuntimeError, execute, workflow, {"reason": "no stock"}, polling_interval=POLL)
        assert str(error) == "Workflow failed with status: FAILED"


def test_execute_workflow_and_wait_when_the_workflow_fails_then_the_api_says_so(server: Server) -> None:
    """A failure that is waited for is an error whose body names status, reason and execution."""
    for workflow in ("refuse", "stumble"):
        chosen = fresh(workflow)
        body = refused(
            409,
            "EXECUTION_NOT_COMPLETED",
            server.client.workflows.execute_workflow_and_wait,
            workflow,
            {"reason": "no stock"},
            execution_id=chosen,
            use_api_sync=True,
        )
        assert (body["status"], body["execution_id"]) == ("FAILED", chosen)
        assert "no stock" in json.dumps(body["failure"])
        assert "no stock" in body["detail"]


def test_execute_workflow_and_wait_when_the_execution_times_out_then_both_ways_say_so(server: Server) -> None:
    """An execution that takes longer than its workflow allows is TIMED_OUT."""
    assert server.failed(server.start("hurry")) == "Workflow failed with status: TIMED_OUT"
    execute = server.client.workflows.execute_workflow_and_wait
    body = refused(409, "EXECUTION_NOT_COMPLETED", execute, "hurry", use_api_sync=True)
    assert body["status"] == "TIMED_OUT"


def test_execute_workflow_when_the_wait_is_shorter_than_the_workflow_then_504_and_it_goes_on(server: Server) -> None:
    """A wait that ends too early ends nothing but itself, and tells which execution to ask for."""
    chosen = fresh("impatient")
    options = {"execution_id": chosen, "wait_for_result": True, "timeout_seconds": 0.1}
    body = refused(504, "WF_1103", server.start, "nap", {"seconds": 0.8}, **options)
    assert body["execution_id"] == chosen
    assert server.status(chosen) == "RUNNING"
    assert server.completed(chosen).result == {"result": "rested"}


def test_execute_workflow_when_it_is_terminated_while_the_api_waits_then_the_waiter_hears_of_it(server: Server) -> None:
    """Whatever closes an execution ends the waits for it, at once."""
    chosen = fresh("awaited")
    options = {"execution_id": chosen, "wait_for_result": True, "timeout_seconds": 30}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.start, "nap", {"seconds": NEVER_SECONDS}, **options)
        terminate_once_there(server, chosen)
        error = waiting.exception(timeout=20)
    assert isinstance(error, SDKError)
    assert refusal(409, "EXECUTION_NOT_COMPLETED", error)["status"] == "TERMINATED"


def terminate_once_there(server: Server, execution_id: str) -> None:
    """Terminate an execution that somebody else is about to start."""
    for _ in range(ATTEMPTS):
        try:
            server.terminate(execution_id)
        except SDKError as error:
            refusal(404, "WF_1100", error)
        else:
            return
    raise AssertionError(f"{execution_id} never started")
