"""Ending executions."""

from typing import Any

from tests.compat.scenarios.server import NEVER_SECONDS, Server, fresh, invalid, refused


def napping(server: Server, **options: Any) -> str:
    """Start an execution that does not end by itself."""
    return server.start("nap", {"seconds": NEVER_SECONDS}, **options)


def test_terminate_when_running_then_it_is_closed_at_once(server: Server) -> None:
    """When the call returns, the execution is TERMINATED, with an end and without a result."""
    execution_id = napping(server)
    # 204 is the only success that the client takes, and it gives nothing back
    server.client.workflows.executions.terminate_workflow_execution(execution_id=execution_id)
    execution: Any = server.client.workflows.executions.get_workflow_execution(execution_id=execution_id)
    assert (execution.status, execution.result) == ("TERMINATED", None)
    assert execution.end_time >= execution.start_time
    assert server.failed(execution_id) == "Workflow failed with status: TERMINATED"


def test_terminate_when_closed_then_409_with_the_status(server: Server) -> None:
    """What is closed cannot be ended again, however it ended; its status is in the answer."""
    completed, failed, terminated = server.start("nothing"), server.start("refuse", {"reason": "r"}), napping(server)
    server.completed(completed)
    server.failed(failed)
    server.terminate(terminated)
    for execution_id, status in ((completed, "COMPLETED"), (failed, "FAILED"), (terminated, "TERMINATED")):
        body = refused(409, "WF_1102", server.terminate, execution_id)
        assert body["status"] == status
        assert server.status(execution_id) == status


def test_terminate_when_terminated_then_the_id_is_free_again(server: Server) -> None:
    """A terminated execution no longer holds its id."""
    chosen = fresh("ended")
    napping(server, execution_id=chosen)
    refused(409, "WF_1101", napping, server, execution_id=chosen)
    server.terminate(chosen)
    assert server.start("nothing", execution_id=chosen) == chosen
    assert server.completed(chosen).workflow_name == "nothing"


def test_batch_terminate_when_some_cannot_be_ended_then_each_has_its_own_answer(server: Server) -> None:
    """Running ones are ended; closed and unknown ones are reported, and stop nothing."""
    first, second, closed, unknown = napping(server), napping(server), server.start("nothing"), fresh("unknown")
    server.completed(closed)
    answer: Any = server.client.workflows.executions.batch_terminate_workflow_executions(
        execution_ids=[first, closed, unknown, second]
    )
    assert {id_: result.status for id_, result in answer.results.items()} == {
        first: "success",
        second: "success",
        closed: "failure",
        unknown: "failure",
    }
    assert not answer.results[first].error
    assert "COMPLETED" in answer.results[closed].error
    assert unknown in answer.results[unknown].error
    assert [server.status(one) for one in (first, second, closed)] == ["TERMINATED", "TERMINATED", "COMPLETED"]


def test_batch_terminate_when_there_are_none_or_too_many_then_it_is_invalid(server: Server) -> None:
    """From 1 to 100 executions at once; otherwise nothing is ended."""
    batch = server.client.workflows.executions.batch_terminate_workflow_executions
    running = napping(server)
    try:
        assert list(invalid(batch, execution_ids=[])) == [("body", "execution_ids")]
        many = [running, *(fresh("many") for _ in range(100))]
        assert list(invalid(batch, execution_ids=many)) == [("body", "execution_ids")]
        assert server.status(running) == "RUNNING"
    finally:
        server.terminate(running)
