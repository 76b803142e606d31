"""What workflows and activities log."""

import time
from typing import Any

from tests.compat.scenarios.server import ATTEMPTS, DEPLOYMENT, POLL, Server, fresh, invalid, refused

SAID = ["says 0", "heard 0", "says 1", "heard 1"]


def talked(server: Server) -> str:
    """Run something that logs, until that is kept. Returns its id."""
    execution_id = server.start("talk", {"words": 2})
    server.completed(execution_id)
    for _ in range(ATTEMPTS):
        if len(lines(server, execution_id)) >= len(SAID):
            return execution_id
        time.sleep(POLL)
    raise AssertionError("its lines do not come")


def lines(server: Server, execution_id: str, **query: Any) -> list[Any]:
    """Return the lines of an execution, all pages of them."""
    ask = server.client.workflows.executions.get_workflow_execution_logs
    page: Any = ask(execution_id=execution_id, **query)
    found = list(page.results)
    while page.next_cursor:
        page = ask(execution_id=execution_id, cursor=page.next_cursor, limit=query.get("limit", 50))
        found += page.results
    return found


def test_logs_when_code_logs_then_its_lines_are_found_by_execution(server: Server) -> None:
    """In order, each with where it comes from; what the call gave beside the text is an attribute."""
    execution_id = talked(server)
    found = lines(server, execution_id)
    assert [line.body for line in found] == SAID
    assert [line.severity_text for line in found] == ["INFO", "WARNING", "INFO", "WARNING"]
    said, heard = found[0], found[1]
    assert said.log_attributes["workflow_name"] == "talk"
    assert heard.log_attributes["activity_name"] == "speak"
    assert heard.log_attributes["volume"] == "11"
    trace = server.client.workflows.executions.get_workflow_execution_trace_otel(execution_id=execution_id)
    spans: Any = trace.otel_trace_data
    known = {span.span_id: span.name for span in spans.batches[0].scope_spans[0].spans}
    assert {line.trace_id for line in found} == {trace.otel_trace_id}
    assert (known[said.span_id], known[heard.span_id]) == ("workflow talk", "activity speak")


def test_logs_when_paged_or_filtered_then_each_line_comes_once(server: Server) -> None:
    """The cursor remembers order and times; other parameters are given again."""
    execution_id = talked(server)
    found = lines(server, execution_id)
    assert [line.body for line in lines(server, execution_id, limit=1)] == SAID
    assert [line.body for line in lines(server, execution_id, limit=3, order="desc")] == SAID[::-1]
    assert [line.body for line in lines(server, execution_id, after=found[2].timestamp)] == SAID[2:]
    assert [line.body for line in lines(server, execution_id, before=found[0].timestamp)] == SAID[:1]
    activity = found[3].log_attributes["activity_id"]
    assert [line.body for line in lines(server, execution_id, activity_id=activity)] == ["heard 1"]
    assert lines(server, execution_id, run_id=fresh("no")) == []


def test_logs_when_a_deployment_is_asked_for_then_its_workers_have_logged_them(server: Server) -> None:
    """By worker and workflow."""
    talked(server)
    ask = server.client.workflows.deployments.get_deployment_logs
    found: Any = ask(name=DEPLOYMENT, workflow_name="talk", limit=2)
    assert [line.body for line in found.results] == SAID[::2]
    assert ask(name=DEPLOYMENT, worker_name=fresh("nobody")).results == []


def test_log_stream_when_the_execution_has_ended_then_all_lines_come_and_the_stream_ends(server: Server) -> None:
    """Each frame has the place to go on from."""
    execution_id = talked(server)
    stream = server.client.workflows.executions.stream_workflow_execution_logs
    with stream(execution_id=execution_id) as opened:
        frames = [frame for frame in opened if frame.data is not None]
    assert [frame.data.body for frame in frames] == SAID
    assert {frame.event for frame in frames} == {"log"}
    with stream(execution_id=execution_id, last_event_id=frames[1].id) as opened:
        rest = [frame.data.body for frame in opened if frame.data is not None]
    assert rest == SAID[2:]


def test_log_stream_when_a_deployment_is_followed_then_new_lines_come(server: Server) -> None:
    """Until the reader leaves."""
    before = talked(server)
    after = lines(server, before)[0].timestamp
    with server.client.workflows.deployments.stream_deployment_logs(
        name=DEPLOYMENT, workflow_name="talk", after=after
    ) as opened:
        found = []
        for frame in opened:
            found += [frame.data.body] if frame.data is not None else []
            if len(found) >= 2:
                break
    assert found[:2] == SAID[::2]


def test_logs_when_there_is_no_such_thing_then_that_is_said(server: Server) -> None:
    """Unknown executions and deployments, and cursors that are none."""
    executions, deployments = server.client.workflows.executions, server.client.workflows.deployments
    refused(404, "WF_1100", executions.get_workflow_execution_logs, execution_id=fresh("nobody"))
    refused(404, "WF_1100", executions.stream_workflow_execution_logs, execution_id=fresh("nobody"))
    refused(404, "WF_1100", deployments.get_deployment_logs, name=fresh("nobody"))
    refused(404, "WF_1100", deployments.stream_deployment_logs, name=fresh("nobody"))
    for cursor in ("x", "WzFd", "e30="):
        invalid(deployments.get_deployment_logs, name=DEPLOYMENT, cursor=cursor)
