"""What a worker logs about attempts that fail."""

import logging
from typing import Any

import pytest

from levante.worker.activities.attempt import Attempt
from levante.worker.logs import failures
from levante.worker.logs.failures import FailureLog, traceback_of
from levante_core.protocol import ActivityOptions, ActivityWork, Failure, FailureKind, RetryPolicy, WorkerPool

STACK = '  File "/home/ann/shop.py", line 3, in charge\n    raise ValueError\n'
FAILURE = Failure(type="ValueError", message="no money", stack=STACK)


def attempt(number: int, **policy: Any) -> Attempt:
    """Return an attempt of an activity that has three."""
    options = ActivityOptions(retry=RetryPolicy(max_attempts=3, **policy))
    return Attempt(
        "e", "r", WorkerPool.parse("d"), 7, number, "token", ActivityWork(name="charge", input={}, options=options)
    )


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged."""
    caplog.set_level(logging.INFO, "levante.worker")
    return caplog


def test_activity_when_its_attempts_fail_then_each_is_a_line_and_the_traceback_is_there_once(
    logged: pytest.LogCaptureFixture,
) -> None:
    """With what comes next, and for whoever looks at the execution's own log."""
    log = FailureLog()
    for number in (1, 2, 3):
        log.activity(attempt(number), FAILURE)
    start = "activity charge of execution e failed at attempt"
    error = "ValueError: no money (/home/ann/shop.py:3 in charge)"
    assert [record.getMessage().partition("\n")[0] for record in logged.records] == [
        f"{start} 1 of 3, and is tried again in 1 s: {error}",
        f"{start} 2 of 3, and is tried again in 2 s: {error}",
        f"{start} 3 of 3, for good: {error}",
    ]
    assert [record.levelname for record in logged.records] == ["WARNING", "WARNING", "ERROR"]
    assert logged.text.count("Traceback") == 1
    first: Any = logged.records[0]
    assert (first.execution_id, first.run_id, first.activity_id, first.activity_name, first.attempt) == (
        "e", "r", "r:7", "charge", 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        FAILURE.model_copy(update={"type": "KeyError"}),
        FAILURE.model_copy(update={"stack": STACK.replace("3", "4")}),
    ],
)
def test_activity_when_it_fails_in_another_way_then_that_has_its_traceback_too(
    logged: pytest.LogCaptureFixture, other: Failure
) -> None:
    """Another error, or another line; not another text, which may have an id in it."""
    log = FailureLog()
    for failure in (FAILURE, FAILURE.model_copy(update={"message": "none"}), other, other):
        log.activity(attempt(1), failure)
    assert logged.text.count("Traceback") == 2


def test_activity_when_nobody_wants_it_any_more_then_nothing_is_logged(logged: pytest.LogCaptureFixture) -> None:
    """It was ended on purpose."""
    FailureLog().activity(attempt(1), Failure(kind=FailureKind.CANCELED, message="nobody waits for it any more"))
    assert logged.records == []


def test_code_when_it_fails_then_the_line_says_what_to_do(logged: pytest.LogCaptureFixture) -> None:
    """Again and again, but with one traceback for a run."""
    log = FailureLog()
    for number in (1, 2, 9):
        log.code("e", "r", number, FAILURE)
    log.code("other", "r2", 1, FAILURE)
    assert [record.getMessage().partition("; ")[0] for record in logged.records] == [
        "execution e cannot be advanced: its workflow code failed at attempt 1 and is tried again in 1 s",
        "execution e cannot be advanced: its workflow code failed at attempt 2 and is tried again in 2 s",
        "execution e cannot be advanced: its workflow code failed at attempt 9 and is tried again in 60 s",
        "execution other cannot be advanced: its workflow code failed at attempt 1 and is tried again in 1 s",
    ]
    assert "; fix it and restart the worker, and it goes on: ValueError: no money" in logged.messages[0]
    assert logged.text.count("Traceback") == 2


def test_errors_when_there_are_too_many_to_remember_then_they_count_as_new(
    logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that has run for a year holds no more than that."""
    monkeypatch.setattr(failures, "MOST_REMEMBERED", 2)
    log = FailureLog()
    for run in ("r1", "r2", "r3", "r1"):
        log.code("e", run, 1, FAILURE)
    assert logged.text.count("Traceback") == 4


def test_traceback_when_a_failure_has_a_cause_then_both_are_there() -> None:
    """In the order in which they happened."""
    text = traceback_of(FAILURE.model_copy(update={"cause": Failure(type="OSError", message="gone")}))
    assert text == f"OSError: gone\n\nwhich led to\n\nTraceback (most recent call last):\n{STACK}ValueError: no money"
