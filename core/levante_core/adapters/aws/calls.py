"""Requests to SQS, S3 and STS that are repeated while that may help, and what their errors mean.

Source: API references of SQS, S3 and STS, Common errors (read 2026-11-23).
"""

import secrets
from collections.abc import Callable
from typing import TypeVar

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from levante_core.adapters.dynamodb.calls import Patience
from levante_core.errors import LevanteError, Unavailable

T = TypeVar("T")

_PASSING = frozenset(
    {
        "BandwidthLimitExceeded",
        "ConditionalRequestConflict",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "KmsThrottled",
        "OperationAborted",
        "OverLimit",
        "QueueDeletedRecently",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttled",
        "Throttling",
        "TooManyRequests",
    }
)
"""Codes of errors that pass, in the form of `bare`. OverLimit: too many messages of a queue are in flight."""

_NO_ANSWER = (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError)

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 1.0


class ServiceRefused(LevanteError):
    """AWS refuses a request for a reason that does not pass: permissions, something missing, its configuration."""


class Repeats:
    """The repeats of one piece of work, however many requests it takes.

    what: names it in errors. allowance: seconds that the service may take on purpose, as in a long poll.
    """

    def __init__(self, what: str, patience: Patience, *, allowance: float = 0.0) -> None:
        self._what = what
        self._patience = patience
        self._until = patience.monotonic() + patience.seconds + allowance
        self._next_pause = _FIRST_PAUSE_SECONDS

    def call(self, request: Callable[[], T]) -> T:
        """Send a request, again and again while it fails in a way that passes.

        Raises: ClientError for an answer that repeating would not change; Unavailable; ServiceRefused.
        """
        while True:
            try:
                return request()
            except ClientError as error:
                if not _passes(error):
                    raise
                self.pause(error)
            except _NO_ANSWER as error:
                self.pause(error)
            except BotoCoreError as error:
                raise ServiceRefused(f"{self._what} could not be sent: {error}") from error

    def pause(self, failure: object) -> None:
        """Wait before the next repeat, longer each time. Raises: Unavailable when patience is at its end."""
        wait = secrets.SystemRandom().uniform(self._next_pause / 2, self._next_pause)
        if self._patience.monotonic() + wait > self._until:
            cause = failure if isinstance(failure, Exception) else None
            raise Unavailable(f"{self._what} still fails after {self._patience.seconds:g} s: {failure}") from cause
        self._patience.sleep(wait)
        self._next_pause = min(2 * self._next_pause, _LONGEST_PAUSE_SECONDS)


def code_of(error: ClientError) -> str:
    """Return the code of an error in its bare form."""
    return bare(str(error.response["Error"].get("Code", "")))


def bare(code: str) -> str:
    """Strip a code of what differs between protocols: `AWS.SimpleQueueService.` before it, `Exception` behind it."""
    return code.rpartition(".")[2].removesuffix("Exception")


def is_passing(code: str) -> bool:
    """Tell whether a bare code means that the same request may succeed later."""
    return code in _PASSING


def _passes(error: ClientError) -> bool:
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return status >= 500 or is_passing(code_of(error))  # noqa: PLR2004 - from there on, the fault is the server's
