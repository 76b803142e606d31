"""What a worker logs about attempts that fail: a line for each, and the traceback of each distinct error once."""

from __future__ import annotations

import logging
from typing import assert_never

from levante.worker.activities.attempt import Attempt
from levante_core.protocol import Failure, FailureKind, GiveUp, RetryAfter, after_failure, describe_failure, task_retry_delay

logger = logging.getLogger("levante.worker")

MOST_REMEMBERED = 1000
"""Distinct errors. When there are more, all of them count as new again."""


class FailureLog:
    """Logs failed attempts of activities, and of workflow tasks."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str, str | None]] = set()

    def activity(self, attempt: Attempt, failure: Failure) -> None:
        """Log that an attempt failed, and what comes next. One that nobody wants any more has not failed."""
        if failure.kind is FailureKind.CANCELED:
            return
        work, retry = attempt.work, attempt.work.options.retry
        next_one = after_failure(retry, attempt.number, failure)
        match next_one:
            case RetryAfter(delay=delay):
                level, then = logging.WARNING, f"and is tried again in {delay.total_seconds():g} s"
            case GiveUp():
                level, then = logging.ERROR, "for good"
            case _:
                assert_never(next_one)
        logger.log(
            level,
            "activity %s of execution %s failed at attempt %d of %d, %s: %s",
            *(work.name, attempt.execution_id, attempt.number, retry.max_attempts, then),
            self._described(work.name, failure),
            extra={
                "execution_id": attempt.execution_id,
                "run_id": attempt.run_id,
                "activity_id": f"{attempt.run_id}:{attempt.seq}",
                "activity_name": work.name,
                "attempt": attempt.number,
            },
        )

    def code(self, execution_id: str, run_id: str, attempt: int, failure: Failure) -> None:
        """Log that the code of a run failed, which is tried again until it goes on."""
        logger.error(
            "execution %s cannot be advanced: its workflow code failed at attempt %d and is tried again in %g s; "
            "fix it and restart the worker, and it goes on: %s",
            *(execution_id, attempt, task_retry_delay(attempt).total_seconds(), self._described(run_id, failure)),
            extra={"execution_id": execution_id, "run_id": run_id},
        )

    def _described(self, of: str, failure: Failure) -> str:
        """Describe a failure: with its traceback, if it is the first one of its kind."""
        text, kind = describe_failure(failure), (of, failure.type, failure.location)
        if kind in self._seen or not (failure.stack or failure.cause):
            return text
        if len(self._seen) >= MOST_REMEMBERED:
            self._seen.clear()
        self._seen.add(kind)
        return f"{text}\n{traceback_of(failure)}"


def traceback_of(failure: Failure) -> str:
    """Write a failure and its causes as Python writes an exception and its own."""
    before = f"{traceback_of(failure.cause)}\n\nwhich led to\n\n" if failure.cause else ""
    stack = f"Traceback (most recent call last):\n{failure.stack}" if failure.stack else ""
    return f"{before}{stack}{failure.type}: {failure.message}"
