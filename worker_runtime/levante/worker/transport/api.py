"""The worker's way to the API: one HTTP session, typed calls, retries within bounds. Every call may be repeated."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from pydantic import BaseModel

from levante.errors import ErrorCode, WorkflowsException
from levante.worker.tasks.decoding import readable_tasks
from levante.worker.transport.retrying import ENDLESS, SHARED, SHORT, WORK, Patience, Retries, Trouble, seconds_of
from levante_core.protocol.activities import (
    ActivityHeartbeatRequest,
    ActivityHeartbeatResponse,
    CheckRequest,
    CheckResponse,
    DeferRequest,
    DeferResponse,
    PermitRequest,
    PermitResponse,
    PublicationResult,
    TaskEventsResponse,
)
from levante_core.protocol.logs import LogsRequest, LogsResponse
from levante_core.protocol.queue_access import QueueAccessRequest, QueueAccessResponse
from levante_core.protocol.workers import (
    HeartbeatRequest,
    HeartbeatResponse,
    LeasesRequest,
    LeasesResponse,
    LeaveRequest,
    LeaveResponse,
    LoadRequest,
    LoadResponse,
    PollRequest,
    PollResponse,
    QueryAnswersRequest,
    QueryAnswersResponse,
    RegisterRequest,
    RegisterResponse,
    WhoAmI,
    WorkflowTaskFailedRequest,
    WorkflowTaskFailedResponse,
)

Response = TypeVar("Response", bound=BaseModel)

logger = logging.getLogger("levante.worker.transport.api")
"""Not shipped: what is wrong with the API cannot be told to it (see `logs/shipping.py`)."""

CONNECTION_IDLE_SECONDS = 75.0
DAMAGED_HISTORY = b'"WF_1105"'
"""Code of an internal error that will not go away."""
WRONG_ROLE = b'"FORBIDDEN"'
"""Code of a refusal that every call of the key would meet."""
UNAVAILABLE = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_PATIENCE: Mapping[str, Patience] = {
    "/register": ENDLESS,
    "/workers/whoami": ENDLESS,
    "/workers/queue-access": ENDLESS,
    "/workers/heartbeat": ENDLESS,
    "/workers/poll": ENDLESS,
    "/workers/leases": SHORT,
    "/workers/activity-heartbeats": SHORT,
    "/workers/query-answers": SHORT,
    "/workers/rate-permits": SHORT,
    "/workers/task-events": SHORT,
    "/workers/logs": SHORT,
    "/workers/workflow-task-failures": SHORT,
}
"""By path; other calls carry work."""


class ApiError(WorkflowsException):
    """The API refused a call, or could not take it for longer than its patience."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"the API answered {status}: {detail}", status=status, code=ErrorCode.EXECUTION_ERROR)


class ApiUnreachable(ApiError):
    """Nobody answered for longer than the patience of the call."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, reason)
        self.args = (f"the API could not be reached for {path}: {reason}",)


class KeyRefused(ApiError):
    """The API does not take the key, or takes it no longer: nothing that this worker does can be recorded."""


class Api(ABC):
    """The worker endpoints, however they are reached. Calls raise: ApiError."""

    async def until_refused(self) -> None:
        """Wait until the API refuses the key, for ever if it does not. Raises: KeyRefused."""
        await asyncio.Event().wait()

    async def whoami(self) -> WhoAmI:
        """Return what the service says of itself and of the key."""
        return WhoAmI.model_validate_json(await self._call("GET", "/workers/whoami", None))

    async def register(self, request: RegisterRequest) -> RegisterResponse:
        """Register what the worker serves."""
        return await self._post("/register", request, RegisterResponse)

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatResponse:
        """Say that the worker is alive."""
        return await self._post("/workers/heartbeat", request, HeartbeatResponse)

    async def leave(self, request: LeaveRequest) -> LeaveResponse:
        """Say that the worker stops."""
        return await self._post("/workers/leave", request, LeaveResponse)

    async def queue_access(self, request: QueueAccessRequest) -> QueueAccessResponse:
        """Ask how to reach the queues themselves."""
        return await self._post("/workers/queue-access", request, QueueAccessResponse)

    async def poll(self, request: PollRequest) -> PollResponse:
        """Wait for tasks. One that cannot be read is left out: its lease ends by itself."""
        return PollResponse(tasks=readable_tasks(await self._call("POST", "/workers/poll", _json(request))))

    async def load(self, request: LoadRequest) -> LoadResponse:
        """Read history."""
        return await self._post("/workers/load", request, LoadResponse)

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Ask whether an activity task is wanted."""
        return await self._post("/workers/activity-checks", request, CheckResponse)

    async def answer_queries(self, request: QueryAnswersRequest) -> QueryAnswersResponse:
        """Answer queries."""
        answer = await self._post_some("/workers/query-answers", _json(request), len(request.answers))
        return QueryAnswersResponse.model_validate_json(answer)

    async def activity_heartbeat(self, request: ActivityHeartbeatRequest) -> ActivityHeartbeatResponse:
        """Say that an attempt is at work."""
        return await self._post("/workers/activity-heartbeats", request, ActivityHeartbeatResponse)

    async def defer_activity(self, request: DeferRequest) -> DeferResponse:
        """Say that an attempt goes on elsewhere."""
        return await self._post("/workers/activity-deferrals", request, DeferResponse)

    async def rate_permit(self, request: PermitRequest) -> PermitResponse:
        """Ask for a place under a rate limit."""
        return await self._post("/workers/rate-permits", request, PermitResponse)

    async def publish_task_events(self, publications: list[bytes]) -> list[PublicationResult]:
        """Publish events of custom tasks. publications: the JSON of each."""
        answer = await self.post_items("/workers/task-events", b'{"publications":[%b]}', publications)
        return list(TaskEventsResponse.model_validate_json(answer).results)

    async def ship_logs(self, request: LogsRequest) -> LogsResponse:
        """Hand log lines over."""
        return await self._post("/workers/logs", request, LogsResponse)

    async def leases(self, request: LeasesRequest) -> LeasesResponse:
        """Extend, end or hand back leases."""
        count = len(request.extend) + len(request.done) + len(request.hand_back)
        return LeasesResponse.model_validate_json(await self._post_some("/workers/leases", _json(request), count))

    async def workflow_task_failed(self, request: WorkflowTaskFailedRequest) -> WorkflowTaskFailedResponse:
        """Report that workflow code could not be advanced."""
        return await self._post("/workers/workflow-task-failures", request, WorkflowTaskFailedResponse)

    async def post_items(self, path: str, form: bytes, items: list[bytes]) -> bytes:
        """Post items that are written as JSON already. form: of the body, with a place for them. Raises: ApiError.

        Several items are given up soon, so that the caller can find the one that is to blame; a single one is repeated.
        """
        return await self._post_some(path, form % b",".join(items), len(items))

    async def _post_some(self, path: str, body: bytes, count: int) -> bytes:  # noqa: ARG002 - by those who repeat calls
        """Post a body that is about so many items."""
        return await self._call("POST", path, body)

    async def hold_presence(self, worker_id: str, connected: Callable[[], Awaitable[None]]) -> None:  # noqa: ARG002 - by those who reach one
        """Keep a request open for as long as the worker lives; the host hands its tasks back when the request ends.

        connected: called when the request is answered.
        """
        await asyncio.Event().wait()

    async def _post(self, path: str, request: BaseModel, kind: type[Response]) -> Response:
        return kind.model_validate_json(await self._call("POST", path, _json(request)))

    @abstractmethod
    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        """Return the body of the answer."""


def _json(request: BaseModel) -> bytes:
    return request.model_dump_json().encode()


@dataclass(frozen=True, slots=True)
class _Setback:
    """A try that may be repeated, and what is raised if it is not."""

    trouble: Trouble
    error: ApiError
    retry_after: float | None = None


class HttpApi(Api):
    """Calls an address. A call that meets trouble is repeated for as long as its patience lasts (see `retrying`)."""

    def __init__(self, server_url: str, api_key: str) -> None:
        self._base = server_url.rstrip("/") + "/v1/workflows"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=CONNECTION_IDLE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=60, connect=10),
            headers={"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"},
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )
        self._refused = asyncio.Event()
        self._refusal: KeyRefused | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        await self._session.close()

    async def until_refused(self) -> None:
        """See Api."""
        await self._refused.wait()
        if self._refusal:
            raise self._refusal

    async def hold_presence(self, worker_id: str, connected: Callable[[], Awaitable[None]]) -> None:
        """See Api."""
        url = f"{self._base}/workers/{worker_id}/presence"
        endless = aiohttp.ClientTimeout(total=None, sock_read=None)
        async with self._session.get(url, timeout=endless) as response:
            response.raise_for_status()
            await connected()
            async for _ in response.content:
                pass

    async def _post_some(self, path: str, body: bytes, count: int) -> bytes:
        return await self._repeated("POST", path, body, SHARED if count > 1 else _PATIENCE.get(path, WORK))

    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        return await self._repeated(method, path, body, _PATIENCE.get(path, WORK))

    async def _repeated(self, method: str, path: str, body: bytes | None, patience: Patience) -> bytes:
        retries = Retries(patience, asyncio.get_running_loop().time)
        while isinstance(outcome := await self._tried(method, path, body), _Setback):
            pause = retries.pause(outcome.trouble, outcome.retry_after)
            if pause is None:
                raise outcome.error
            logger.warning("%s (%s): trying again in %.2f s", outcome.error, path, pause)
            await asyncio.sleep(pause)
        return outcome

    async def _tried(self, method: str, path: str, body: bytes | None) -> bytes | _Setback:
        """Make the call once. Raises: ApiError for what no repeat would change."""
        try:
            async with self._session.request(method, self._base + path, data=body) as response:
                content, status = await response.read(), response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            return _Setback(Trouble.UNREACHABLE, ApiUnreachable(path, str(error) or type(error).__name__))
        if status == HTTPStatus.OK:
            return content
        detail = content.decode(errors="replace")[:2000]
        if status == HTTPStatus.UNAUTHORIZED or (status == HTTPStatus.FORBIDDEN and WRONG_ROLE in content):
            self._refusal = KeyRefused(status, detail)
            self._refused.set()
            raise self._refusal
        error_of_call = ApiError(status, detail)
        if status in UNAVAILABLE:
            asked_for = seconds_of(response.headers.get("Retry-After"), datetime.now(UTC))
            return _Setback(Trouble.UNAVAILABLE, error_of_call, asked_for)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR and DAMAGED_HISTORY not in content:
            return _Setback(Trouble.FAULT, error_of_call)
        raise error_of_call
