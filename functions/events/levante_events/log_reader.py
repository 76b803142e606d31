"""Who reads a log as it grows: of an execution until that has ended, or of a deployment."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from levante_core.domain.names import Workspace
from levante_core.protocol.logs import log_stream_in
from levante_core.protocol.stream_messages import DeploymentLogStreamQuery, ExecutionLogStreamQuery
from levante_core.services.observability.logs import LogService, LogTail, Window, of_code
from levante_events.selection import read


@dataclass(frozen=True, slots=True)
class LogReader:
    """A reader. is_open: whether lines may still come. traces: ids by execution, as far as they were looked up."""

    tail: LogTail
    is_open: Callable[[], bool]
    traces: dict[str, str] = field(default_factory=dict)


def open_log(logs: LogService, workspace: Workspace, path: str, query: str, last_event_id: str | None) -> LogReader:
    """Begin to read what a path names. last_event_id: of the header, which wins. Raises: NotFound, InvalidInput."""
    execution_id, deployment = log_stream_in(path)
    if execution_id:
        asked = read(ExecutionLogStreamQuery, query)
        window = logs.of_execution(workspace, execution_id, of_code(run_id=asked.run_id, activity_id=asked.activity_id))
        window = replace(window, after=max(asked.after or window.after, window.after))
        tail = logs.follow(workspace, window, last_event_id or asked.last_event_id)
        return LogReader(tail, partial(logs.is_open, workspace, execution_id))
    named = read(DeploymentLogStreamQuery, query)
    window = Window(
        logs.deployment(workspace, deployment or ""),
        of_code(workflow_name=named.workflow_name),
        named.worker_name,
        after=named.after or logs.now(),
    )
    return LogReader(logs.follow(workspace, window, last_event_id or named.last_event_id), lambda: True)
