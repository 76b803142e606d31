"""Calls of DynamoDB that are repeated while that may help, and what its errors mean.

Source: DynamoDB developer guide, Error handling, and API, TransactWriteItems (read 2026-11-23).
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol, TypeAlias

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from levante_core.errors import LevanteError, Unavailable

CONDITION = "ConditionalCheckFailed"
"""Reason of a cancelled transaction; alone, the error is called the same with `Exception` behind."""

_PASSING = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingError",
        "TransactionConflict",
        "TransactionInProgress",
    }
)
"""Errors that pass, and reasons of cancelled transactions that do, without the `Exception` that some end with."""

_NO_ANSWER = (exceptions.HTTPClientError, exceptions.ConnectionError)

_IN_PROGRESS = "TransactionInProgress"

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 1.0

PARALLEL_CALLS = 16
"""How many calls one store has on their way at once, and so how many connections its client keeps."""

OnCapacity: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Called with the name of an operation and what it consumed, as the API's ConsumedCapacity, from any thread."""


class DynamoDBClient(Protocol):
    """The low-level client: parameters and answers as in the API."""

    def get_item(self, **parameters: Any) -> Mapping[str, Any]:
        """Read one item."""
        ...

    def put_item(self, **parameters: Any) -> Mapping[str, Any]:
        """Write one item."""
        ...

    def update_item(self, **parameters: Any) -> Mapping[str, Any]:
        """Change one item."""
        ...

    def delete_item(self, **parameters: Any) -> Mapping[str, Any]:
        """Delete one item."""
        ...

    def transact_write_items(self, **parameters: Any) -> Mapping[str, Any]:
        """Carry out several writes or none."""
        ...

    def query(self, **parameters: Any) -> Mapping[str, Any]:
        """Read from one partition."""
        ...


class OutcomeUnknown(LevanteError):
    """A write got no answer, and repeating it might count it twice. Never to be repeated blindly."""


class StoreRefused(LevanteError):
    """DynamoDB refuses a request for a reason that does not pass: permissions, a missing table, its configuration."""


class Rejected(Exception):
    """An answer that repeating would not change. The store says what it means for the request.

    was_repeated: an earlier request of the same call may have taken effect.
    """

    def __init__(self, error: ClientError, *, was_repeated: bool) -> None:
        self.response: Mapping[str, Any] = error.response
        self.code = _code(error)
        self.message = str(error.response["Error"].get("Message", ""))
        self.was_repeated = was_repeated
        super().__init__(str(error))


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long a call is repeated.

    seconds: no request is sent after that many. With the SDK's own repeats one may take some 15 s, and the two together stay
    within the 30 s that an HTTP API waits.
    """

    seconds: float = 10.0
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class _Verdict(Enum):
    REJECTED = auto()
    NOT_CARRIED_OUT = auto()
    MAYBE_CARRIED_OUT = auto()


@dataclass(frozen=True, slots=True)
class TableCalls:
    """Sends requests, repeats them, and reports what they cost."""

    client: DynamoDBClient
    patience: Patience = field(default_factory=Patience)
    on_capacity: OnCapacity | None = None

    def call(self, operation: str, parameters: Mapping[str, Any], *, bears_new_call: bool = True) -> Mapping[str, Any]:
        """Send a request, again and again while it fails in a way that passes.

        operation: name of the client's method. bears_new_call: whether the caller may repeat it, not knowing its outcome.
        Raises: Rejected; Unavailable; OutcomeUnknown where the caller may not repeat it; StoreRefused.
        """
        if self.on_capacity:
            parameters = {**parameters, "ReturnConsumedCapacity": "INDEXES"}
        until = self.patience.monotonic() + self.patience.seconds
        pause, was_repeated = _FIRST_PAUSE_SECONDS, False
        while True:
            try:
                answer: Mapping[str, Any] = getattr(self.client, operation)(**parameters)
            except (ClientError, *_NO_ANSWER) as error:
                verdict = _judge(error)
                if verdict is _Verdict.REJECTED and isinstance(error, ClientError):
                    raise Rejected(error, was_repeated=was_repeated or _was_repeated(error)) from error
                was_repeated = was_repeated or verdict is _Verdict.MAYBE_CARRIED_OUT
                wait = secrets.SystemRandom().uniform(pause / 2, pause)
                if self.patience.monotonic() + wait > until:
                    if was_repeated and not bears_new_call:
                        raise OutcomeUnknown(f"{operation} got no answer: it may have been carried out: {error}") from error
                    raise Unavailable(f"{operation} failed until {self.patience.seconds:g} s had passed: {error}") from error
                self.patience.sleep(wait)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            except BotoCoreError as error:
                raise StoreRefused(f"{operation} could not be sent: {error}") from error
            else:
                self._report(operation, answer)
                return answer

    def _report(self, operation: str, answer: Mapping[str, Any]) -> None:
        if self.on_capacity:
            consumed = answer.get("ConsumedCapacity", [])
            for one in consumed if isinstance(consumed, list) else [consumed]:
                self.on_capacity(operation, one)


def _judge(error: Exception) -> _Verdict:
    """Tell whether an error may pass, and if so, whether the request may have been carried out all the same."""
    if not isinstance(error, ClientError):
        return _Verdict.MAYBE_CARRIED_OUT
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    server_failed = status >= 500  # noqa: PLR2004 - from there on, the fault is the server's
    if not server_failed and not _passes(error):
        return _Verdict.REJECTED
    is_clear = not server_failed and not _was_repeated(error) and _code(error) != _IN_PROGRESS
    return _Verdict.NOT_CARRIED_OUT if is_clear else _Verdict.MAYBE_CARRIED_OUT


def _passes(error: ClientError) -> bool:
    """A transaction may be cancelled for several reasons: one that will not pass decides, but for failed conditions.

    Where a reason that passes stands beside a failed condition, the other conditions are not known yet.
    """
    reasons = cancellation_reasons(error.response)
    if not reasons:
        return _code(error) in _PASSING
    found = set(reasons) - {"None", CONDITION}
    return bool(found) and found <= _PASSING


def cancellation_reasons(response: Mapping[str, Any]) -> list[str]:
    """Return why each write of a transaction was cancelled: a code, or "None" where it was not to blame."""
    return [_bare(str(reason.get("Code", "None"))) for reason in response.get("CancellationReasons", ())]


def _code(error: ClientError) -> str:
    return _bare(str(error.response["Error"].get("Code", "")))


def _bare(code: str) -> str:
    return code.removesuffix("Exception")


def _was_repeated(error: ClientError) -> bool:
    """Tell whether the SDK sent the request more than once, for whatever reason."""
    return int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) > 0
