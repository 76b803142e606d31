"""Traces of executions."""

from typing import Any

from tests.compat.scenarios.server import Server, fresh, refused

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_trace_when_the_caller_is_traced_then_the_execution_joins_that_trace(server: Server) -> None:
    """The id is the caller's; the call is a child of the caller's span, the run of the call, and the activity of the run."""
    execution_id = server.start(
        "greet",
        {"name": "Ada"},
        http_headers={"traceparent": f"00-{TRACE}-{PARENT}-01"},
        custom_tracing_attributes={"team": "blue"},
    )
    server.completed(execution_id)
    executions = server.client.workflows.executions
    info = executions.get_workflow_execution_trace_info(execution_id=execution_id)
    assert (info.otel_trace_id, info.has_trace_data) == (TRACE, True)
    shown: Any = executions.get_workflow_execution_trace_otel(execution_id=execution_id)
    assert (shown.otel_trace_id, shown.data_source, shown.result) == (TRACE, "history", {"result": "hello Ada"})
    spans = {span.name: span for span in shown.otel_trace_data.batches[0].scope_spans[0].spans}
    assert list(spans) == ["execute workflow greet", "workflow greet", "activity greeting"]
    call, run, activity = spans.values()
    assert (call.parent_span_id, run.parent_span_id, activity.parent_span_id) == (PARENT, call.span_id, run.span_id)
    assert {span.trace_id for span in spans.values()} == {TRACE}
    assert int(run.start_time_unix_nano) <= int(activity.start_time_unix_nano) <= int(run.end_time_unix_nano)
    assert ("team", "blue") in [(one.key, getattr(one.value, "string_value", None)) for one in run.attributes]


def test_trace_when_it_is_summed_up_then_the_spans_are_a_tree(server: Server) -> None:
    """What failed says why."""
    execution_id = server.start("refuse", {"reason": "too late"})
    server.failed(execution_id)
    shown: Any = server.client.workflows.executions.get_workflow_execution_trace_summary(execution_id=execution_id)
    call = shown.span_tree
    (run,) = call.children
    assert (call.name, run.name) == ("execute workflow refuse", "workflow refuse")
    assert "too late" in run.events[0].attributes["exception.message"]
    assert run.attributes["wf.status"] == "FAILED"
    assert run.end_time_unix_nano >= run.start_time_unix_nano


def test_trace_events_when_merged_then_there_is_one_for_each_activity(server: Server) -> None:
    """Else each of them is told: it was started, and it completed."""
    execution_id = server.start("greet", {"name": "Ada"})
    server.completed(execution_id)
    ask = server.client.workflows.executions.get_workflow_execution_trace_events
    each: Any = ask(execution_id=execution_id).events
    assert [one.name for one in each] == ["greet", "greeting", "greeting", "greet"]
    assert [one.status for one in each[1:3]] == ["RUNNING", "COMPLETED"]
    merged: Any = ask(execution_id=execution_id, merge_same_id_events=True, include_internal_events=True).events
    assert [one.name for one in merged] == ["greet", "greeting", "greet"]
    assert merged[1].status == "COMPLETED"
    assert merged[1].end_time_unix_ms >= merged[1].start_time_unix_ms


def test_trace_when_there_is_no_such_execution_then_that_is_said(server: Server) -> None:
    """As for everything else about it."""
    executions = server.client.workflows.executions
    for ask in (
        executions.get_workflow_execution_trace_info,
        executions.get_workflow_execution_trace_otel,
        executions.get_workflow_execution_trace_summary,
        executions.get_workflow_execution_trace_events,
    ):
        refused(404, "WF_1100", ask, execution_id=fresh("nobody"))
