"""The errors of the SDK, and how an exception becomes a recorded failure and an error again.

What workflow code sees of a failed activity is built from the recorded failure alone, live and on replay alike.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Any

from pydantic_core import from_json, to_json

from levante_core.protocol import ChildFailed, Failure, FailureKind, Json

MESSAGE_BYTES = 8 * 1024
STACK_BYTES = 16 * 1024
DETAILS_BYTES = 64 * 1024
CAUSE_DEPTH = 8
MEMBERS_SHOWN = 5
"""What is kept of an exception, so that a failure is never too large to be recorded."""

_CUT = "…[cut]"


class ErrorCode(StrEnum):
    """What went wrong, for programs. Source: SDK contract §4 (read 2026-11-23)."""

    EXECUTION_ERROR = "execution_error"
    TEMPORAL_ERROR = "temporal_error"
    TEMPORAL_SERVICE_ERROR = "temporal_service_error"
    TEMPORAL_CONNECTION_ERROR = "temporal_connection_error"
    ACTIVITY_DEFINITION_ERROR = "activity_definition_error"
    ACTIVITY_NOT_FOUND_ERROR = "activity_not_found_error"
    INVALID_ARGUMENTS_ERROR = "invalid_arguments_error"
    ACTIVITY_NOT_MODULE_LEVEL = "activity_not_module_level"
    ACTIVITY_RESERVED_NAME = "activity_reserved_name"
    TOOL_ARGUMENT_ERROR = "tool_argument_error"
    RATE_LIMIT_ERROR = "rate_limit_error"
    STICKY_WORKER_SESSION_MISSING = "sticky_worker_session_missing"
    WORKFLOW_DEFINITION_ERROR = "workflow_definition_error"
    WORKFLOW_DESCRIPTION_ERROR = "workflow_description_error"
    WORKFLOW_ALREADY_STARTED = "workflow_already_started"
    WORKFLOW_NOT_FOUND = "workflow_not_found"
    INVALID_PARAMS_ERROR = "invalid_params_error"
    WORKFLOW_TIMEOUT_ERROR = "workflow_timeout_error"
    WORKFLOW_SIGNAL_DEFINITION_ERROR = "workflow_signal_definition_error"
    WORKFLOW_UPDATE_DEFINITION_ERROR = "workflow_update_definition_error"
    WORKFLOW_QUERY_ERROR = "workflow_query_error"
    WORKER_REGISTRATION_ERROR = "worker_registration_error"
    WORKER_RUNTIME_CONFIG_ERROR = "worker_runtime_config_error"
    AGENT_EXECUTION_ERROR = "agent_execution_error"
    IN_MEMORY_CACHE_ERROR = "in_memory_cache_error"
    REJECTED_QUERY_ERROR = "rejected_query_error"
    UNSERIALIZABLE_PAYLOAD_ERROR = "unserializable_payload_error"
    BLOB_STORAGE_CONFIG_ERROR = "blob_storage_config_error"
    INPUT_SIZE_EXCEEDED_ERROR = "input_size_exceeded_error"


class WorkflowsException(Exception):
    """A definition, an argument or a call of the service is wrong. If it leaves workflow code, it counts as a bug."""

    def __init__(
        self,
        message: str,
        status: int = 500,
        code: ErrorCode | str = ErrorCode.EXECUTION_ERROR,
        type: str = "invalid_request_error",  # noqa: A002 - the name is part of the programming model
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.type = type

    def to_dict(self) -> dict[str, Json]:
        """Return the error as the API writes errors."""
        return {"object": "Error", "message": self.message, "type": self.type, "code": str(self.code)}


class InvalidArguments(WorkflowsException):
    """Arguments or an input do not fit the annotations; the same call can never succeed.

    misfits: one text for each, such as "parameter 'order': items.0: Field required"; none where that is not known.
    """

    def __init__(self, message: str, misfits: Iterable[str] = ()) -> None:
        super().__init__(message, status=422, code=ErrorCode.INVALID_ARGUMENTS_ERROR)
        self.misfits = tuple(misfits)


class WorkflowError(Exception):
    """Raise it on purpose: in a workflow it fails the execution, in an activity the attempt.

    non_retryable: the activity is not retried. details: JSON that is stored with the failure.
    """

    def __init__(self, message: str, *, non_retryable: bool = False, details: Json = None) -> None:
        super().__init__(message)
        self.message = message
        self.non_retryable = non_retryable
        self.details = details


class RecordedError(WorkflowError):
    """An exception from another process or run, as recorded. `failure.type` names its class."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, non_retryable=failure.non_retryable, details=failure.details)
        self.failure = failure


class ActivityError(Exception):
    """An activity failed for good. attempt: number of the last attempt; 0 if unknown. `cause` holds its exception."""

    def __init__(self, message: str, *, activity_name: str, attempt: int, failure_kind: FailureKind) -> None:
        super().__init__(message)
        self.message = message
        self.activity_name = activity_name
        self.attempt = attempt
        self.failure_kind = failure_kind

    @property
    def cause(self) -> BaseException | None:
        """The activity's exception; its own causes follow as `__cause__`."""
        return self.__cause__


class ChildWorkflowError(Exception):
    """A child workflow did not complete. status: how its execution ended; None if it could not be started.

    `cause` holds what it raised.
    """

    def __init__(self, message: str, *, workflow_name: str, execution_id: str, status: str | None) -> None:
        super().__init__(message)
        self.message = message
        self.workflow_name = workflow_name
        self.execution_id = execution_id
        self.status = status

    @property
    def cause(self) -> BaseException | None:
        """The child's exception; its own causes follow as `__cause__`."""
        return self.__cause__


class NonDeterminismError(Exception):
    """The commands of workflow code differ from the history. The execution stays open for fixed code.

    event_id: the first event that differs, from 1 on; recorded, asked: the event and the command there.
    """

    def __init__(self, message: str, *, event_id: int = 0, recorded: str = "", asked: str = "") -> None:
        super().__init__(message)
        self.event_id = event_id
        self.recorded = recorded
        self.asked = asked


def activity_error(name: str, attempt: int, failure: Failure) -> ActivityError:
    """Build what workflow code sees of an activity that failed for good."""
    message = f"activity {name!r} failed on attempt {attempt}: {failure.message}"
    error = ActivityError(message, activity_name=name, attempt=attempt, failure_kind=failure.kind)
    error.__cause__ = recorded_error(failure)
    return error


def overdue_activity(name: str, seconds: float | None) -> ActivityError:
    """Build what workflow code sees of an activity that has no outcome when its schedule-to-close timeout has passed."""
    message = f"activity {name!r} has no outcome after {seconds:g} s, its schedule_to_close_timeout"
    return ActivityError(message, activity_name=name, attempt=0, failure_kind=FailureKind.TIMEOUT)


def child_error(workflow_name: str, execution_id: str, outcome: ChildFailed) -> ChildWorkflowError:
    """Build what workflow code sees of a child that did not complete."""
    how = outcome.status.value if outcome.status else "not started"
    message = f"child {execution_id!r} of workflow {workflow_name!r} is {how}: {outcome.failure.message}"
    error = ChildWorkflowError(
        message,
        workflow_name=workflow_name,
        execution_id=execution_id,
        status=outcome.status.value if outcome.status else None,
    )
    error.__cause__ = recorded_error(outcome.failure)
    return error


def fails_execution(exc: BaseException) -> bool:
    """Tell an error that ends the execution from a bug, which leaves it open for fixed code to carry on.

    Errors that are raised on purpose end it, and so does a TimeoutError that nobody catches.
    """
    if isinstance(exc, BaseExceptionGroup):
        return all(fails_execution(member) for member in exc.exceptions)
    return isinstance(exc, WorkflowError | ActivityError | ChildWorkflowError | TimeoutError)


def to_failure(exc: BaseException) -> Failure:
    """Write an exception and its causes as a failure of bounded size. Never raises, whatever the exception's class does."""
    return _failure(exc, CAUSE_DEPTH)


def _failure(exc: BaseException, depth: int) -> Failure:
    if isinstance(exc, RecordedError) and isinstance(recorded := _attribute(exc, "failure"), Failure):
        return _shortened(recorded, depth)
    cause = _cause(exc) if depth > 0 else None
    return Failure(
        kind=_kind(exc),
        message=_head(text_of(exc) or type(exc).__name__, MESSAGE_BYTES),
        type=_head(type(exc).__name__, MESSAGE_BYTES),
        non_retryable=_is_final(exc),
        details=_details(_attribute(exc, "details")) if isinstance(exc, WorkflowError) else None,
        stack=_tail(_text(lambda: "".join(traceback.format_tb(exc.__traceback__))), STACK_BYTES) or None,
        cause=_failure(cause, depth - 1) if cause is not None else None,
    )


def _is_final(exc: BaseException) -> bool:
    """Tell whether another attempt would be in vain: for a group, whether it would be for any of its members."""
    match exc:
        case BaseExceptionGroup():
            return any(_is_final(member) for member in exc.exceptions)
        case InvalidArguments():
            return True
        case WorkflowsException():
            return bool(_attribute(exc, "code") == ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR)
        case WorkflowError():
            return _attribute(exc, "non_retryable") is True
        case _:
            return False


def _attribute(exc: BaseException, name: str) -> Any:
    """Return an attribute that a subclass may have left out, or whose code may raise; None then."""
    try:
        return getattr(exc, name, None)
    except BaseException:  # noqa: BLE001 - recording a failure must not fail
        return None


def _shortened(failure: Failure, depth: int) -> Failure:
    """Keep a recorded chain within the depth too: it grows with each execution that it passes through."""
    cause = _shortened(failure.cause, depth - 1) if failure.cause is not None and depth > 0 else None
    return failure.model_copy(update={"cause": cause})


def _kind(exc: BaseException) -> FailureKind:
    match exc:
        case ActivityError() if isinstance(kind := _attribute(exc, "failure_kind"), FailureKind):
            return kind
        case asyncio.CancelledError():
            return FailureKind.CANCELED
        case _:
            return FailureKind.APPLICATION


def recorded_error(failure: Failure) -> RecordedError:
    """Build what is left of an exception, and by `__cause__` of its causes."""
    error = RecordedError(failure)
    error.__cause__ = recorded_error(failure.cause) if failure.cause is not None else None
    return error


def _cause(exc: BaseException) -> BaseException | None:
    if exc.__cause__ is not None:
        return exc.__cause__
    if isinstance(exc, BaseExceptionGroup):
        return next(filter(_is_final, exc.exceptions), exc.exceptions[0])
    return None if exc.__suppress_context__ else exc.__context__


def _details(details: Json) -> Json:
    """Keep what is JSON and small enough; keep a text of anything else."""
    if details is None:
        return None
    try:
        text = to_json(details, inf_nan_mode="null")
    except Exception:  # noqa: BLE001 - no JSON, or code of the user's that raises
        return _head(_text(lambda: repr(details)), DETAILS_BYTES)
    return from_json(text) if len(text) <= DETAILS_BYTES else _head(text.decode(), DETAILS_BYTES)


def text_of(exc: BaseException) -> str:
    """Return what an exception says of itself; of a group, what its members say. Never raises."""
    if not isinstance(exc, BaseExceptionGroup):
        return _text(lambda: str(exc))
    members = list(_members(exc))
    shown = [f"{type(each).__name__}: {text_of(each)}".removesuffix(": ") for each in members[:MEMBERS_SHOWN]]
    more = [f"and {len(members) - MEMBERS_SHOWN} more"] if len(members) > MEMBERS_SHOWN else []
    return f"{_text(lambda: exc.message)}: {'; '.join([*shown, *more])}"


def _members(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the exceptions in a group, those of groups within it among them."""
    for member in group.exceptions:
        if isinstance(member, BaseExceptionGroup):
            yield from _members(member)
        else:
            yield member


def _text(render: Callable[[], str]) -> str:
    """Render a user's object, whose code may itself raise."""
    try:
        return render()
    except BaseException:  # noqa: BLE001 - recording a failure must not fail
        return "<no text: rendering it raised an exception>"


def _head(text: str, limit_bytes: int) -> str:
    """Keep the beginning; lone surrogates, which JSON cannot carry, become '?'."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit_bytes:
        return data.decode()
    return data[: limit_bytes - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT


def _tail(text: str, limit_bytes: int) -> str:
    """Keep the end, where a stack says what was running."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit_bytes:
        return data.decode()
    return _CUT + data[-(limit_bytes - len(_CUT.encode())) :].decode("utf-8", "ignore")
