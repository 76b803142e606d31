"""What is kept of an exception, and what is made of it again."""

import asyncio
from typing import Any

import pytest

from levante.errors import (
    CAUSE_DEPTH,
    DETAILS_BYTES,
    MESSAGE_BYTES,
    STACK_BYTES,
    ActivityError,
    ErrorCode,
    InvalidArguments,
    NonDeterminismError,
    RecordedError,
    WorkflowError,
    WorkflowsException,
    activity_error,
    fails_execution,
    to_failure,
)
from levante_core.protocol import Failure, FailureKind


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def raised(exc: BaseException) -> BaseException:
    try:
        raise exc  # noqa: TRY301
    except BaseException as error:  # noqa: BLE001
        return error


def chain(links: int) -> BaseException:
    error: BaseException = ValueError("innermost")
    for _ in range(links):
        outer = ValueError("outer")
        outer.__cause__ = error
        error = outer
    return error


def depth(failure: Failure) -> int:
    return 0 if failure.cause is None else 1 + depth(failure.cause)


SAMPLE = activity_error("charge", 3, Failure(message="declined", type="CardError", cause=Failure(message="no funds")))


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        pytest.param(ValueError("no"), Failure(message="no", type="ValueError"), id="an ordinary exception may be retried"),
        pytest.param(WorkflowError("no"), Failure(message="no", type="WorkflowError"), id="nothing added"),
        pytest.param(
            WorkflowError("no", non_retryable=True, details={"a": 1}),
            Failure(message="no", type="WorkflowError", non_retryable=True, details={"a": 1}),
            id="the raiser decides about retries and adds details",
        ),
        pytest.param(
            InvalidArguments("no"),
            Failure(message="no", type="InvalidArguments", non_retryable=True),
            id="wrong arguments stay wrong",
        ),
        pytest.param(WorkflowsException("no"), Failure(message="no", type="WorkflowsException"), id="may be passing"),
        pytest.param(
            asyncio.CancelledError(),
            Failure(message="CancelledError", type="CancelledError", kind=FailureKind.CANCELED),
            id="a cancellation is no error of the code",
        ),
        pytest.param(
            RecordedError(Failure(message="no", type="CardError", stack="there")),
            Failure(message="no", type="CardError", stack="there"),
            id="what was recorded stays what it was",
        ),
        pytest.param(
            activity_error("charge", 2, Failure(message="late", type="Timeout", kind=FailureKind.TIMEOUT)),
            Failure(
                message="activity 'charge' failed on attempt 2: late",
                type="ActivityError",
                kind=FailureKind.TIMEOUT,
                cause=Failure(message="late", type="Timeout", kind=FailureKind.TIMEOUT),
            ),
            id="a failed activity keeps its kind and its cause",
        ),
        pytest.param(
            ExceptionGroup("both", [ValueError("a"), ValueError("b")]),
            Failure(
                message="both: ValueError: a; ValueError: b",
                type="ExceptionGroup",
                cause=Failure(message="a", type="ValueError"),
            ),
            id="the first of a group is its cause",
        ),
        pytest.param(
            Unprintable(),
            Failure(message="<no text: rendering it raised an exception>", type="Unprintable"),
            id="an exception whose text raises",
        ),
        pytest.param(ValueError("\ud800"), Failure(message="?", type="ValueError"), id="text that JSON cannot carry"),
        pytest.param(
            WorkflowError("no", details=float("nan")), Failure(message="no", type="WorkflowError"), id="NaN is no JSON"
        ),
    ],
)
def test_failure_when_made_from_an_exception_then_it_says_the_same(exc: BaseException, expected: Failure) -> None:
    """A failure can always be recorded, and keeps what retries and readers need."""
    failure = to_failure(exc)
    assert failure == expected
    assert Failure.model_validate_json(failure.model_dump_json()) == expected


def test_failure_when_raised_then_its_stack_names_the_place() -> None:
    """Whoever reads a failure finds the line."""
    assert "in raised" in str(to_failure(raised(ValueError("no"))).stack)


@pytest.mark.parametrize(
    ("explicit", "suppressed", "expected"),
    [
        pytest.param(KeyError("why"), False, "KeyError", id="raise ... from why"),
        pytest.param(None, False, "TypeError", id="raised while another was handled"),
        pytest.param(None, True, None, id="raise ... from None"),
    ],
)
def test_failure_when_an_exception_has_a_cause_then_the_one_python_shows_is_kept(
    explicit: BaseException | None,
    suppressed: bool,  # noqa: FBT001
    expected: str | None,
) -> None:
    """The chain is the one of a traceback."""
    exc = ValueError("no")
    exc.__context__ = TypeError("before")
    exc.__cause__ = explicit
    exc.__suppress_context__ = suppressed
    cause = to_failure(exc).cause
    assert (cause.type if cause else None) == expected


def test_failure_when_everything_is_huge_then_its_size_is_bounded() -> None:
    """A failure is never too large to be recorded."""

    def even(levels: int) -> None:
        odd(levels)

    def odd(levels: int) -> None:
        if levels == 0:
            raise WorkflowError("é" * MESSAGE_BYTES, details="x" * DETAILS_BYTES)
        even(levels - 1)

    with pytest.raises(WorkflowError) as caught:
        even(200)
    failure = to_failure(caught.value)
    assert len(failure.message.encode()) <= MESSAGE_BYTES
    assert failure.message.endswith("…[cut]")
    assert failure.stack is not None
    assert len(failure.stack.encode()) <= STACK_BYTES
    assert failure.stack.startswith("…[cut]")
    assert "raise WorkflowError" in failure.stack
    assert len(str(failure.details).encode()) <= DETAILS_BYTES
    assert depth(to_failure(chain(3 * CAUSE_DEPTH))) == CAUSE_DEPTH


def test_failure_when_a_recorded_chain_is_long_then_it_is_cut_too() -> None:
    """A failure that passes from execution to execution does not grow without end."""
    recorded = Failure(message="innermost")
    for _ in range(3 * CAUSE_DEPTH):
        recorded = Failure(message="outer", cause=recorded)
    assert depth(to_failure(activity_error("a", 1, recorded))) == CAUSE_DEPTH


def test_failure_when_details_are_no_json_then_a_text_of_them_is_kept() -> None:
    """Details that cannot be recorded do not hide the error that they belong to."""
    assert to_failure(WorkflowError("no", details={"pattern": iter})).details == "{'pattern': <built-in function iter>}"


def test_failure_when_details_are_too_large_then_a_cut_text_of_them_is_kept() -> None:
    """A payload does not travel as the details of an error."""
    details = to_failure(WorkflowError("no", details=["x" * DETAILS_BYTES])).details
    assert details.startswith('["xxx')
    assert len(details.encode()) <= DETAILS_BYTES


def test_activity_error_when_rebuilt_from_what_is_recorded_then_it_is_the_same() -> None:
    """Workflow code sees the same classes, texts and causes live and on replay."""
    error = SAMPLE
    assert (error.activity_name, error.attempt, error.failure_kind) == ("charge", 3, FailureKind.APPLICATION)
    assert error.message == str(error) == "activity 'charge' failed on attempt 3: declined"
    cause = error.cause
    assert isinstance(cause, RecordedError)
    assert (cause.message, cause.failure.type) == ("declined", "CardError")
    assert isinstance(cause.__cause__, RecordedError)
    assert cause.__cause__.message == "no funds"
    assert cause.__cause__.__cause__ is None


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        pytest.param(WorkflowError("no"), True, id="raised on purpose"),
        pytest.param(SAMPLE, True, id="a failed activity that nobody handled"),
        pytest.param(SAMPLE.cause, True, id="its cause, raised again"),
        pytest.param(ExceptionGroup("g", [WorkflowError("no"), SAMPLE]), True, id="a TaskGroup of them"),
        pytest.param(ExceptionGroup("g", [WorkflowError("no"), KeyError("a")]), False, id="a bug among them"),
        pytest.param(KeyError("a"), False, id="a bug"),
        pytest.param(InvalidArguments("no"), False, id="a wrong call is a bug of the workflow"),
        pytest.param(NonDeterminismError("no"), False, id="changed code"),
        pytest.param(TimeoutError(), True, id="a time limit that nobody handled"),
    ],
)
def test_fails_execution_when_code_raises_then_only_deliberate_errors_end_it(exc: Any, expected: bool) -> None:  # noqa: FBT001
    """A bug leaves the execution open, so that fixed code can carry on. Source: SDK contract §4."""
    assert fails_execution(exc) is expected


def test_workflows_exception_when_written_then_it_has_the_shape_of_the_contract() -> None:
    """Source: SDK contract §4."""
    error = WorkflowsException("no", code=ErrorCode.WORKFLOW_NOT_FOUND)
    assert error.status == 500
    assert error.to_dict() == {
        "object": "Error",
        "message": "no",
        "type": "invalid_request_error",
        "code": "workflow_not_found",
    }


def test_activity_error_when_raised_by_user_code_then_it_has_no_cause() -> None:
    """A test may build one by hand."""
    assert ActivityError("no", activity_name="a", attempt=1, failure_kind=FailureKind.TIMEOUT).cause is None
