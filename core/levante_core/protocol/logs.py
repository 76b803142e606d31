"""What workers and the API say of log lines to each other, and where these are streamed."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from levante_core.domain.frozen import Frozen, Time
from levante_core.domain.observability.spans import span_id
from levante_core.protocol.names import Deployment, WorkerName

EXECUTION_LOGS = "/v1/workflows/executions/<execution_id>/logs"
DEPLOYMENT_LOGS = "/v1/workflows/deployments/<name>/logs"

MOST_LINES = 1000
MOST_CHARACTERS = 16_384
"""Of one line; workers cut what is longer."""

_EXECUTION = re.compile(EXECUTION_LOGS.replace("<execution_id>", "([^/]+)") + "/stream")
_DEPLOYMENT = re.compile(DEPLOYMENT_LOGS.replace("<name>", "([^/]+)") + "/stream")


class LogLine(Frozen):
    """A line that a worker has logged."""

    at: Time
    """When it was logged."""
    level: Annotated[str, Field(max_length=32)]
    """Level of the line, such as INFO."""
    logger: Annotated[str, Field(max_length=256)]
    """Name of the logger."""
    message: Annotated[str, Field(max_length=MOST_CHARACTERS)]
    """The text of the line."""
    execution_id: str | None = None
    """Id of the execution whose code logged it, if that was a user's."""
    run_id: str | None = None
    """Id of the run whose code logged it."""
    workflow_name: str | None = None
    """Name of the workflow whose code logged it."""
    activity_id: str | None = None
    """Id of the activity whose code logged it, as in stream events."""
    activity_name: str | None = None
    """Name of the activity whose code logged it."""
    attempt: int | None = None
    """The attempt of the activity that logged it."""
    attributes: Mapping[str, str] = Field(default_factory=dict)
    """Attributes of the logging call."""


class LogsRequest(Frozen):
    """Lines of one worker, in order."""

    deployment_name: Deployment
    """Name of the deployment."""
    worker_name: WorkerName
    """Name of the worker."""
    batch_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Id of the batch: the same when its lines are sent again."""
    lines: Annotated[tuple[LogLine, ...], Field(min_length=1, max_length=MOST_LINES)]
    """The lines, in order."""


class LogsResponse(Frozen):
    """The lines are kept."""


class LogRecord(Frozen):
    """A line as clients see it."""

    timestamp: Time
    """When it was logged."""
    trace_id: str
    """Id of the trace; empty where none is known."""
    span_id: str
    """Id of the span of the run or the attempt; empty where none is known."""
    severity_text: str
    """Level of the line, such as INFO."""
    body: str
    """The text of the line."""
    log_attributes: Mapping[str, str]
    """What is known of the line, by name."""


def record_of(line: LogLine, trace_id: str) -> LogRecord:
    """Show a line. What is known of the code that logged it is in its attributes."""
    known = {
        "logger": line.logger,
        "execution_id": line.execution_id,
        "run_id": line.run_id,
        "workflow_name": line.workflow_name,
        "activity_id": line.activity_id,
        "activity_name": line.activity_name,
        "attempt": line.attempt,
    }
    return LogRecord(
        timestamp=line.at,
        trace_id=trace_id,
        span_id=_span_of(line),
        severity_text=line.level,
        body=line.message,
        log_attributes={**line.attributes, **{name: str(value) for name, value in known.items() if value is not None}},
    )


def _span_of(line: LogLine) -> str:
    if line.run_id is None:
        return ""
    seq = line.activity_id.rpartition(":")[2] if line.activity_id else None
    return span_id(line.run_id, f"activity:{seq}:{line.attempt}" if seq else "run")


def log_stream_in(path: str) -> tuple[str | None, str | None]:
    """Return the execution, or the deployment, that a path streams the log of; twice None if it streams none."""
    of_execution, of_deployment = _EXECUTION.fullmatch(path), _DEPLOYMENT.fullmatch(path)
    return of_execution and of_execution[1], of_deployment and of_deployment[1]
