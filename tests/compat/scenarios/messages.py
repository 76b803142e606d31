"""Signals, queries, updates and requests to cancel."""

from collections.abc import Callable
from typing import Any

from mistralai.client import Mistral

from tests.compat.scenarios.server import ATTEMPTS, POLL, Server, fresh, invalid, refused


def test_signal_when_sent_then_the_workflow_takes_it_in_order(server: Server) -> None:
    """202, and nothing of what was accepted is lost."""
    executions, execution_id = server.client.workflows.executions, server.start("counter", {"start": 1})
    for number in (2, 3):
        answer = executions.signal_workflow_execution(execution_id=execution_id, name="add", input={"number": number})
        assert answer.message == "Signal accepted"
    executions.signal_workflow_execution(execution_id=execution_id, name="stop")
    assert server.completed(execution_id).result == {"result": 6}


def test_signal_when_sent_again_under_one_key_then_it_is_accepted_once(server: Server) -> None:
    """A caller that had no answer sends it again, with the header that it had; another value for it is refused."""
    executions, execution_id = server.client.workflows.executions, server.start("counter", {"start": 1})
    for key in ("first", "first", "second"):
        executions.signal_workflow_execution(
            execution_id=execution_id, name="add", input={"number": 2}, http_headers={"Idempotency-Key": key}
        )
    executions.signal_workflow_execution(execution_id=execution_id, name="stop")
    assert server.completed(execution_id).result == {"result": 5}
    problems = invalid(
        executions.signal_workflow_execution,
        execution_id=execution_id,
        name="stop",
        http_headers={"Idempotency-Key": "x" * 201},
    )
    assert "1 to 200 printable" in problems["header", "idempotency-key"]


def test_query_when_asked_then_the_answer_is_not_wrapped(server: Server) -> None:
    """Primitives come as they are."""
    executions, execution_id = server.client.workflows.executions, server.start("counter", {"start": 7})
    answer = executions.query_workflow_execution(execution_id=execution_id, name="current")
    assert (answer.query_name, answer.result) == ("current", 7)
    server.terminate(execution_id)


def test_update_when_sent_then_its_answer_is_returned(server: Server) -> None:
    """An update changes the workflow and answers, in one call."""
    executions, execution_id = server.client.workflows.executions, server.start("counter")
    executions.signal_workflow_execution(execution_id=execution_id, name="add", input={"number": 5})
    answer = executions.update_workflow_execution(execution_id=execution_id, name="double", input={"times": 2})
    assert (answer.update_name, answer.result) == ("double", {"count": 20})
    executions.signal_workflow_execution(execution_id=execution_id, name="stop")
    assert server.completed(execution_id).result == {"result": 20}


def test_update_when_its_handler_refuses_then_409_says_why(server: Server) -> None:
    """The workflow goes on."""
    executions, execution_id = server.client.workflows.executions, server.start("counter")
    body = refused(
        409,
        "HANDLER_FAILED",
        executions.update_workflow_execution,
        execution_id=execution_id,
        name="double",
        input={"times": 11},
    )
    assert "that is too much" in body["detail"]
    assert body["failure"]["message"] == "that is too much"
    assert server.status(execution_id) == "RUNNING"
    server.terminate(execution_id)


def test_cancel_when_asked_for_then_the_execution_is_canceled(server: Server) -> None:
    """204; the code is told, and ends."""
    execution_id = server.start("counter")
    server.client.workflows.executions.cancel_workflow_execution(execution_id=execution_id)
    assert server.failed(execution_id) == "Workflow failed with status: CANCELED"


def test_batch_cancel_when_some_cannot_be_then_each_has_its_own_result(server: Server) -> None:
    """200, whatever becomes of each."""
    execution_id, nobody = server.start("counter"), fresh("nobody")
    answer: Any = server.client.workflows.executions.batch_cancel_workflow_executions(execution_ids=[execution_id, nobody])
    assert answer.results[execution_id].status == "success"
    assert answer.results[nobody].status == "failure"
    assert server.failed(execution_id) == "Workflow failed with status: CANCELED"


def test_messages_when_the_handler_or_its_input_is_wrong_then_the_answer_says_where(server: Server) -> None:
    """404 for a handler that is not there, 422 for an input that does not fit."""
    executions, execution_id = server.client.workflows.executions, server.start("counter")
    calls: list[Callable[..., Any]] = [
        executions.signal_workflow_execution,
        executions.update_workflow_execution,
    ]
    for call in calls:
        assert "it has: " in refused(404, "WF_1100", call, execution_id=execution_id, name="nobody")["detail"]
        assert refused(404, "WF_1100", call, execution_id=fresh("nobody"), name="add")
    wrong = invalid(executions.signal_workflow_execution, execution_id=execution_id, name="add", input={"number": "many"})
    assert ("body", "input", "number") in wrong
    wrong = invalid(executions.update_workflow_execution, execution_id=execution_id, name="double", input={"times": None})
    assert ("body", "input", "times") in wrong
    server.terminate(execution_id)


def test_messages_when_the_execution_is_closed_then_409_with_its_status(server: Server) -> None:
    """What is closed takes nothing more."""
    executions, execution_id = server.client.workflows.executions, server.start("nothing")
    server.completed(execution_id)
    calls: list[Callable[..., Any]] = [
        executions.signal_workflow_execution,
        executions.update_workflow_execution,
    ]
    for call in calls:
        assert refused(409, "WF_1102", call, execution_id=execution_id, name="x")["status"] == "COMPLETED"
    assert refused(409, "WF_1102", executions.cancel_workflow_execution, execution_id=execution_id)


def test_messages_when_sent_asynchronously_then_they_do_the_same(server: Server) -> None:
    """Every method has an asynchronous twin."""
    execution_id = server.start("counter")

    async def talk(client: Mistral) -> Any:
        executions = client.workflows.executions
        await executions.signal_workflow_execution_async(execution_id=execution_id, name="add", input={"number": 5})
        asked = await executions.query_workflow_execution_async(execution_id=execution_id, name="current")
        doubled = await executions.update_workflow_execution_async(execution_id=execution_id, name="double")
        await executions.cancel_workflow_execution_async(execution_id=execution_id)
        try:
            await client.workflows.wait_for_workflow_completion_async(execution_id, POLL, ATTEMPTS)
        except RuntimeError as error:
            return asked.result, doubled.result, str(error)

    heard = server.in_a_loop(talk)
    assert heard == (5, {"count": 10}, "Workflow failed with status: CANCELED")
