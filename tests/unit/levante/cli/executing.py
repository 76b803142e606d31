"""Answers about executions."""

import json
from typing import Any

from tests.support.cli import Stream

ONE = "/v1/workflows/executions/e1"
EVENTS = "/v1/workflows/events/stream"
RUNNING = {"execution_id": "e1", "workflow_name": "w", "status": "RUNNING", "result": None}
COMPLETED = {**RUNNING, "status": "COMPLETED", "result": {"result": 5}}


def stream_events(sequence: int, event_type: str, of: str = "e1", **attributes: Any) -> dict[str, Any]:
    """An event as the stream has it."""
    return {
        "stream": "workflow",
        "data": {"event_type": event_type, "workflow_exec_id": of, "attributes": attributes},
        "broker_sequence": sequence,
        "timestamp": "2026-11-23T00:00:00.123Z",
    }


def streamed(*events: dict[str, Any]) -> Stream:
    """Write events as a stream."""
    frames = [f"id: {event['broker_sequence']}\ndata: {json.dumps(event)}\n\n" for event in events]
    return Stream("retry: 5\n\n: keep-alive\n\n" + "".join(frames))


STARTED = stream_events(1, "WORKFLOW_EXECUTION_STARTED", workflow_name="w", input={"type": "json", "value": [{"x": 1}]})
FAILED = stream_events(2, "ACTIVITY_TASK_FAILED", activity_name="charge", failure={"message": "declined"})
OF_A_CHILD = stream_events(3, "CUSTOM_TASK_CANCELED", of="e2", custom_task_type="token", reason="too late")
ENDED = stream_events(4, "WORKFLOW_EXECUTION_COMPLETED", result={"type": "json", "value": {"result": 5}})
