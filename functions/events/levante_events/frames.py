"""Server-sent events as bytes. Format: HTML standard, Server-sent events (read 2026-11-23)."""

from levante_core.domain.names import Workspace
from levante_core.protocol.logs import LogRecord
from levante_core.protocol.stream_messages import StreamPayload, StreamProblem, WorkflowContext
from levante_core.services.streams.publish import Sequenced

KEEP_ALIVE = b": keep-alive\n\n"


def retry_frame(seconds: float) -> bytes:
    """Ask readers to wait so long before they come again."""
    return f"retry: {round(seconds * 1000)}\n\n".encode()


def event_frame(workspace: Workspace, sequenced: Sequenced) -> bytes:
    """Write an event. Its id is its sequence number, which is where a reader goes on that comes again."""
    update = sequenced.update
    payload = StreamPayload(
        stream=update.stream,
        data=update.event,
        workflow_context=WorkflowContext(
            namespace=workspace,
            workflow_name=update.event.workflow_name,
            workflow_exec_id=update.event.workflow_exec_id,
            parent_workflow_exec_id=update.event.parent_workflow_exec_id,
            root_workflow_exec_id=update.event.root_workflow_exec_id,
        ),
        broker_sequence=sequenced.sequence,
        timestamp=update.at,
        metadata=update.metadata,
    )
    return f"id: {sequenced.sequence}\ndata: {payload.model_dump_json()}\n\n".encode()


def log_frame(cursor: str, record: LogRecord) -> bytes:
    """Write a line of a log. Its id is where a reader goes on that comes again."""
    return f"event: log\nid: {cursor}\ndata: {record.model_dump_json()}\n\n".encode()


def error_frame(problem: StreamProblem) -> bytes:
    """Write why a stream ends before its time."""
    return f"event: error\ndata: {problem.model_dump_json()}\n\n".encode()
