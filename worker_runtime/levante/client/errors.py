"""What a call of the API can end with, classed by what the caller does next."""

from __future__ import annotations

from dataclasses import dataclass

from levante.errors import ErrorCode, InvalidArguments, WorkflowsException, recorded_error
from levante_core.protocol import Failure, Json


class ClientError(WorkflowsException):
    """Base of all errors of the client. is_temporary: the same call may succeed later."""

    is_temporary = False

    def __init__(self, message: str, status: int = 500, code: ErrorCode | str = ErrorCode.EXECUTION_ERROR) -> None:
        super().__init__(message, status=status, code=code)


class ClientMisconfigured(ClientError):
    """The address or the API key is missing or invalid; no request was made."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=422)


class InvalidServerUrl(ClientMisconfigured):
    """The address of the server is invalid."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input. path: where, such as `body.input.cents`."""

    path: str
    message: str


class InvalidInput(ClientError, InvalidArguments):
    """The input does not fit the workflow or its handler; the same input can never succeed.

    If the workflow's class is known, the client finds it before any request, otherwise the API does.
    """

    def __init__(
        self, message: str, problems: tuple[Problem, ...] = (), code: ErrorCode | str = ErrorCode.INVALID_ARGUMENTS_ERROR
    ) -> None:
        WorkflowsException.__init__(self, message, status=422, code=code)
        self.problems = problems
        self.misfits = tuple(f"{problem.path}: {problem.message}" for problem in problems)


class Unauthorized(ClientError):
    """The API knows no such key. The message names where the key was read from."""


class Forbidden(ClientError):
    """The role of the key does not allow the call."""


class NotFound(ClientError):
    """Nothing has this id or name in the workspace of the key."""


class Conflict(ClientError):
    """The call does not fit the state that the execution, or the workflow, is in."""


class AlreadyStarted(Conflict):
    """An open execution has this id."""


class ExecutionClosed(Conflict):
    """The execution has ended, so it takes no more requests."""


class AmbiguousDeployment(Conflict):
    """Several deployments serve the workflow: name one of `deployments`."""

    def __init__(self, message: str, status: int, code: str, deployments: tuple[str, ...]) -> None:
        super().__init__(message, status, code)
        self.deployments = deployments


class _WithFailure(ClientError):
    """Carries what user code raised; its causes follow by `__cause__`."""

    failure: Failure | None

    def _carry(self, failure: Failure | None) -> None:
        self.failure = failure
        if failure is not None:
            self.__cause__ = recorded_error(failure)

    @property
    def failure_type(self) -> str | None:
        """Name of the class of what was raised."""
        return self.failure.type if self.failure else None

    @property
    def details(self) -> Json:
        """What the raiser added for programs."""
        return self.failure.details if self.failure else None

    @property
    def cause(self) -> BaseException | None:
        """What was raised, as it was recorded."""
        return self.__cause__


class HandlerFailed(_WithFailure, Conflict):
    """A query or an update reached its handler, which raised."""

    def __init__(self, message: str, status: int, code: str, failure: Failure | None) -> None:
        super().__init__(message, status, code)
        self._carry(failure)


class WorkflowExecutionFailed(_WithFailure):
    """The execution ended without a result. execution_status: FAILED, CANCELED, TERMINATED or TIMED_OUT."""

    def __init__(self, execution_id: str, execution_status: str, failure: Failure | None = None) -> None:
        why = f": {failure.type}: {failure.message}" if failure else ""
        super().__init__(f"execution {execution_id} ended as {execution_status}{why}", status=409)
        self.execution_id = execution_id
        self.execution_status = execution_status
        self._carry(failure)


class NotReady(ClientError, TimeoutError):
    """The result, or the answer to a message, did not arrive in time. The execution goes on."""

    def __init__(self, message: str, status: int = 504, code: ErrorCode | str = ErrorCode.WORKFLOW_TIMEOUT_ERROR) -> None:
        super().__init__(message, status, code)


class Unavailable(ClientError):
    """The API is unavailable at present. retry_after: the seconds to wait, if the API says so."""

    is_temporary = True

    def __init__(self, message: str, status: int, code: str, retry_after: float | None = None) -> None:
        super().__init__(message, status, code)
        self.retry_after = retry_after


class Unreachable(ClientError):
    """Nothing answers at the address. was_sent: whether the request may have arrived all the same."""

    def __init__(self, message: str, *, was_sent: bool, is_temporary: bool = True) -> None:
        super().__init__(message, status=503, code=ErrorCode.TEMPORAL_CONNECTION_ERROR)
        self.was_sent = was_sent
        self.is_temporary = is_temporary


class TimedOut(Unreachable):
    """The request was sent, and the answer did not arrive in time."""


class StreamBroken(ClientError):
    """The server ended a stream before its time, and said why."""

    def __init__(self, message: str, *, is_temporary: bool) -> None:
        super().__init__(message, status=503)
        self.is_temporary = is_temporary


class UnexpectedAnswer(ClientError):
    """The answer is not from the API: most likely another server is at the address."""

    SHOWN_CHARACTERS = 500

    def __init__(self, problem: str) -> None:
        shown = problem[: self.SHOWN_CHARACTERS]
        super().__init__(f"not what the API answers here (is it Levante at LEVANTE_SERVER_URL?): {shown}", status=502)
