"""Executions that go on from an earlier event."""

from tests.compat.scenarios.server import Server, invalid


def test_reset_when_the_event_is_valid_then_the_execution_goes_on_from_there(server: Server) -> None:
    """204; signals that came after it are there again, unless they are excluded."""
    executions, execution_id = server.client.workflows.executions, server.start("counter", {"start": 1})
    executions.signal_workflow_execution(execution_id=execution_id, name="add", input={"number": 2})
    executions.signal_workflow_execution(execution_id=execution_id, name="stop")
    assert server.completed(execution_id).result == {"result": 3}
    executions.reset_workflow(execution_id=execution_id, event_id=1, reason="again")
    assert server.completed(execution_id).result == {"result": 3}
    executions.reset_workflow(execution_id=execution_id, event_id=1, exclude_signals=True)
    executions.signal_workflow_execution(execution_id=execution_id, name="stop")
    assert server.completed(execution_id).result == {"result": 1}


def test_reset_when_the_event_is_not_valid_then_the_answer_lists_those_that_are(server: Server) -> None:
    """In words that name them, too."""
    executions, execution_id = server.client.workflows.executions, server.start("counter", {"start": 1})
    problems = invalid(executions.reset_workflow, execution_id=execution_id, event_id=999)
    assert "event 999: take the last event of a step, such as 1" in problems["body", "event_id"]
    server.terminate(execution_id)
