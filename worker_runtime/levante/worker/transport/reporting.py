"""Reporting how attempts ended, so that their runs hear of it in any case."""

from __future__ import annotations

import logging
from http import HTTPStatus

from levante.worker.activities.attempt import Attempt
from levante.worker.transport.api import UNAVAILABLE, ApiError, ApiUnreachable, KeyRefused
from levante.worker.transport.batcher import Batcher
from levante_core.protocol import Failure
from levante_core.protocol.activities import ActivityReport, ActivityReportResult

logger = logging.getLogger("levante.worker")

MESSAGE_CHARACTERS = 4000
"""Of what the API said, in a failure that is recorded."""


async def report_end(reports: Batcher[ActivityReportResult], attempt: Attempt, report: ActivityReport) -> None:
    """Report how an attempt ended. An outcome that the API cannot record is a failed attempt, which says why.

    Raises: ApiError if the API cannot record that either, or is away.
    """
    try:
        await reports.submit(report.model_dump_json().encode())
    except (KeyRefused, ApiUnreachable):
        raise
    except Exception as error:
        logger.exception("the outcome of activity %d of execution %s is not recorded", attempt.seq, attempt.execution_id)
        is_refused = isinstance(error, ApiError) and error.status not in {*UNAVAILABLE, HTTPStatus.INTERNAL_SERVER_ERROR}
        message = f"the outcome of the attempt could not be recorded: {error}"[:MESSAGE_CHARACTERS]
        failure = Failure(type="OutcomeNotRecorded", message=message, non_retryable=is_refused)
        failed = report.model_copy(update={"result": None, "failure": failure})
        await reports.submit(failed.model_dump_json().encode())
