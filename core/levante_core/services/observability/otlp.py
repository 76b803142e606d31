"""Spans in the JSON of OTLP. Source: OpenTelemetry protocol 1.9, JSON Protobuf encoding (read 2026-11-24)."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from levante_core.domain.executions.execution import Execution
from levante_core.domain.frozen import Json
from levante_core.domain.observability.spans import Span, SpanKind, Value
from levante_core.domain.streams.events import nanoseconds

_KINDS: Mapping[SpanKind, int] = {SpanKind.INTERNAL: 1, SpanKind.SERVER: 2, SpanKind.CLIENT: 3}
_ERROR = 2


def resource_of(execution: Execution) -> dict[str, Json]:
    """Say where spans come from: the deployment is the service."""
    named: dict[str, Value] = {
        "service.name": execution.pool.deployment,
        "service.namespace": execution.key.workspace,
    }
    return {"attributes": attributes_of(named)}


def span_of(trace_id: str, span: Span, now: datetime) -> dict[str, Json]:
    """Write a span, with the name of its kind. now: when one ends that lasts, and is called open."""
    attributes = {**span.attributes, **({} if span.ended_at else {"wf.open": True})}
    failed: dict[str, Json] = {
        "name": "exception",
        "timeUnixNano": str(nanoseconds(span.ended_at or now)),
        "attributes": attributes_of({"exception.message": span.failure or ""}),
    }
    return {
        "traceId": trace_id,
        "spanId": span.span_id,
        **({"parentSpanId": span.parent_id} if span.parent_id else {}),
        "name": span.name,
        "kind": span.kind.value,
        "startTimeUnixNano": str(nanoseconds(span.began_at)),
        "endTimeUnixNano": str(nanoseconds(span.ended_at or max(now, span.began_at))),
        "attributes": attributes_of(attributes),
        "events": [failed] if span.failure else [],
    }


def resource_spans(execution: Execution, trace_id: str, spans: Sequence[Span], now: datetime) -> dict[str, Json]:
    """Write an element of `resourceSpans` in what collectors are sent, where kinds and statuses are numbers."""
    written = [
        {
            **span_of(trace_id, span, now),
            "kind": _KINDS[span.kind],
            "status": {"code": _ERROR, "message": span.failure} if span.failure else {},
        }
        for span in spans
    ]
    scope: dict[str, Json] = {"scope": {"name": "levante"}, "spans": written}
    return {"resource": resource_of(execution), "scopeSpans": [scope]}


def attributes_of(attributes: Mapping[str, Value]) -> list[Json]:
    """Write attributes: each value under the name of its type."""
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Value) -> dict[str, Json]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case _:
            return {"stringValue": value}
