"""The client: start executions, talk to them, and wait for results that arrive as they were returned.

    with Client() as client:
        payment = client.execute(Checkout, {"order": "kite", "cents": 1200})

`AsyncClient` is the same with `await`. The HTTP library is imported when one of them is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from levante.client.errors import (
    AlreadyStarted,
    AmbiguousDeployment,
    ClientError,
    ClientMisconfigured,
    Conflict,
    ExecutionClosed,
    Forbidden,
    HandlerFailed,
    InvalidInput,
    InvalidServerUrl,
    NotFound,
    NotReady,
    Problem,
    StreamBroken,
    TimedOut,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    WorkflowExecutionFailed,
)

if TYPE_CHECKING:
    from levante.client.async_client import AsyncClient, AsyncHandle
    from levante.client.models import ExecutionDescription, ExecutionEvent, Explanation, Wait
    from levante.client.sync_client import Client, Handle

__all__ = [
    "AlreadyStarted",
    "AmbiguousDeployment",
    "AsyncClient",
    "AsyncHandle",
    "Client",
    "ClientError",
    "ClientMisconfigured",
    "Conflict",
    "ExecutionClosed",
    "ExecutionDescription",
    "ExecutionEvent",
    "Explanation",
    "Forbidden",
    "Handle",
    "HandlerFailed",
    "InvalidInput",
    "InvalidServerUrl",
    "NotFound",
    "NotReady",
    "Problem",
    "StreamBroken",
    "TimedOut",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "Unreachable",
    "Wait",
    "WorkflowExecutionFailed",
]

_LATE = {
    "AsyncClient": "levante.client.async_client",
    "AsyncHandle": "levante.client.async_client",
    "Client": "levante.client.sync_client",
    "ExecutionDescription": "levante.client.models",
    "ExecutionEvent": "levante.client.models",
    "Explanation": "levante.client.models",
    "Handle": "levante.client.sync_client",
    "Wait": "levante.client.models",
}


def __getattr__(name: str) -> Any:
    """Import what takes long, such as the HTTP library, only where it is asked for."""
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
