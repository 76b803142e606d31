"""Requests of the API, as values. Source: REST contract, section 9 (read 2026-11-23)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from levante_core.protocol import Json, is_encoded

EVENTS_STREAM = "/v1/workflows/events/stream"
EVENT_STREAM_TYPE = "text/event-stream"
IDEMPOTENCY_HEADER = "Idempotency-Key"
WAIT_SECONDS = 20.0
"""How long the API is asked to wait for the end of an execution; it waits for 28 s at most behind a gateway."""
MOST_AT_ONCE = 100
"""How many executions or workflows one request may name. Source: REST contract, section 10 (read 2026-11-23)."""

ENDING_EVENTS = ("WORKFLOW_EXECUTION_COMPLETED", "WORKFLOW_EXECUTION_FAILED", "WORKFLOW_EXECUTION_CANCELED")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. path: quoted already. query: lists repeat the key. is_repeatable: a second one changes nothing more."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = False

    @property
    def target(self) -> str:
        """Path and query."""
        return self.path + (f"?{urlencode(self.query, doseq=True)}" if self.query else "")


def segment(text: str) -> str:
    """Quote a text for use as one segment of a path."""
    return quote(text, safe="")


def in_batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split names into as many as one request may hold."""
    for first in range(0, len(names), MOST_AT_ONCE):
        yield names[first : first + MOST_AT_ONCE]


def execution_path(execution_id: str) -> str:
    """Return the path of an execution."""
    return f"/v1/workflows/executions/{segment(execution_id)}"


def start(
    workflow_name: str, value: Json, execution_id: str, deployment: str | None = None, *, wait_seconds: float | None = None
) -> Request:
    """Start an execution. wait_seconds: how long the API waits for its end before it answers; None not to wait."""
    body: dict[str, Any] = {"execution_id": execution_id}
    if value is not None:
        body["encoded_input" if is_encoded(value) else "input"] = value
    if deployment is not None:
        body["deployment_name"] = deployment
    if wait_seconds is not None:
        body |= {"wait_for_result": True, "timeout_seconds": wait_seconds}
    return Request("POST", f"/v1/workflows/{segment(workflow_name)}/execute", body=body)


def describe(execution_id: str, *, with_search_keys: bool = False) -> Request:
    """Show an execution as its latest run stands."""
    query = {"include_search_keys": "true"} if with_search_keys else {}
    return Request("GET", execution_path(execution_id), query, is_repeatable=True)


def explain(execution_id: str) -> Request:
    """Say what an execution waits for."""
    return Request("GET", f"{execution_path(execution_id)}/explain", is_repeatable=True)


def repair(execution_id: str, path: str, body: Mapping[str, Any]) -> Request:
    """Repair something by hand. path: below the execution, such as `timers/3/skip`. body: what is None is left out."""
    said = {name: value for name, value in body.items() if value is not None or name == "result"}
    return Request("POST", f"{execution_path(execution_id)}/{path}", body=said, is_repeatable=True)


def send(execution_id: str, kind: str, name: str, value: Json, request_id: str | None = None) -> Request:
    """Send a message. kind: signals, queries or updates. request_id: by which a repeat of it is known."""
    body = {"name": name} if value is None else {"name": name, "input": value}
    headers = {} if request_id is None else {IDEMPOTENCY_HEADER: request_id}
    return Request("POST", f"{execution_path(execution_id)}/{kind}", body=body, headers=headers, is_repeatable=True)


def end(execution_id: str, verb: str) -> Request:
    """Cancel or terminate an execution."""
    return Request("POST", f"{execution_path(execution_id)}/{verb}", is_repeatable=True)


def whoami() -> Request:
    """Ask which workspace the key belongs to."""
    return Request("GET", "/v1/workflows/workers/whoami", is_repeatable=True)


def end_stream(execution_id: str) -> Request:
    """Read a stream that carries little, and closes when the execution has ended."""
    query = {"workflow_exec_id": execution_id, "event_source": "LIVE", "workflow_event_types": ENDING_EVENTS}
    return Request("GET", EVENTS_STREAM, query, is_repeatable=True)


def event_stream(filters: Mapping[str, Any], first: int) -> Request:
    """Read stream events that pass the filters, from a sequence number on."""
    return Request("GET", EVENTS_STREAM, {**filters, "start_seq": first}, is_repeatable=True)
