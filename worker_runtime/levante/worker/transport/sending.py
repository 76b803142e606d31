"""The calls that carry what many runs and attempts have to say at the same moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import TypeAdapter

from levante.worker.transport.api import Api
from levante_core.protocol.activities import ActivityReportResult, ActivityReportsResponse
from levante_core.protocol.workers import CommitResult, CommitsResponse

_COMMITS = TypeAdapter(CommitsResponse)
_REPORTS = TypeAdapter(ActivityReportsResponse)


def send_commits(api: Api) -> Callable[[list[bytes]], Awaitable[list[CommitResult]]]:
    """Make the call that carries many commits."""

    async def send(items: list[bytes]) -> list[CommitResult]:
        answer = await api.post_items("/workers/commits", b'{"commits":[%b]}', items)
        return list(_COMMITS.validate_json(answer).results)

    return send


def send_reports(api: Api) -> Callable[[list[bytes]], Awaitable[list[ActivityReportResult]]]:
    """Make the call that carries many activity reports."""

    async def send(items: list[bytes]) -> list[ActivityReportResult]:
        answer = await api.post_items("/workers/activity-reports", b'{"reports":[%b]}', items)
        return list(_REPORTS.validate_json(answer).results)

    return send
