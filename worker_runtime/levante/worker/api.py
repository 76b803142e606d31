"""The worker's way to the API: one HTTP session, typed calls, retries of what may be repeated."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from pydantic import BaseModel

from levante.errors import ErrorCode, WorkflowsException
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
from levante_core.protocol.workers import (
    HeartbeatRequest,
    HeartbeatResponse,
    LeasesRequest,
    LeasesResponse,
    LoadRequest,
    LoadResponse,
    PollRequest,
    PollResponse,
    QueryAnswersRequest,
    QueryAnswersResponse,
    QueueAccessRequest,
    QueueAccessResponse,
    RegisterRequest,
    RegisterResponse,
    WhoAmI,
    WorkflowTaskFailedRequest,
    WorkflowTaskFailedResponse,
)

Response = TypeVar("Response", bound=BaseModel)

logger = logging.getLogger("levante.worker")

FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 5.0
CONNECTION_IDLE_SECONDS = 75.0
HTTP_OK = 200
DAMAGED_HISTORY = b'"WF_1105"'
"""Code of an internal error that will not go away."""
REFUSALS = frozenset({401, 403})
RETRYABLE_STATUSES = frozenset({429, 500, 502, 503, 504})


class ApiError(WorkflowsException):
    """The API refused a call."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"the API answered {status}: {detail}", status=status, code=ErrorCode.EXECUTION_ERROR)


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

    async def queue_access(self, request: QueueAccessRequest) -> QueueAccessResponse:
        """Ask how to reach the queues themselves."""
        return await self._post("/workers/queue-access", request, QueueAccessResponse)

    async def poll(self, request: PollRequest) -> PollResponse:
        """Wait for tasks."""
        return await self._post("/workers/poll", request, PollResponse)

    async def load(self, request: LoadRequest) -> LoadResponse:
        """Read history."""
        return await self._post("/workers/load", request, LoadResponse)

    async def check(self, request: CheckRequest) -> CheckResponse:
        """Ask whether an activity task is wanted."""
        return await self._post("/workers/activity-checks", request, CheckResponse)

    async def answer_queries(self, request: QueryAnswersRequest) -> QueryAnswersResponse:
        """Answer queries."""
        return await self._post("/workers/query-answers", request, QueryAnswersResponse)

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
        """Tell of custom tasks. publications: the JSON of each."""
        answer = await self.post_raw("/workers/task-events", b'{"publications":[%b]}' % b",".join(publications))
        return list(TaskEventsResponse.model_validate_json(answer).results)

    async def ship_logs(self, request: LogsRequest) -> LogsResponse:
        """Hand log lines over."""
        return await self._post("/workers/logs", request, LogsResponse)

    async def leases(self, request: LeasesRequest) -> LeasesResponse:
        """Extend, end or hand back leases."""
        return await self._post("/workers/leases", request, LeasesResponse)

    async def workflow_task_failed(self, request: WorkflowTaskFailedRequest) -> WorkflowTaskFailedResponse:
        """Report that workflow code could not be advanced."""
        return await self._post("/workers/workflow-task-failures", request, WorkflowTaskFailedResponse)

    async def post_raw(self, path: str, body: bytes) -> bytes:
        """Post a JSON body that is written already. Raises: ApiError."""
        return await self._call("POST", path, body)

    async def hold_presence(self, worker_id: str, connected: Callable[[], Awaitable[None]]) -> None:  # noqa: ARG002 - by those who reach one
        """Keep a request open for as long as the worker lives; the host hands its tasks back when the request ends.

        connected: called when the request is answered.
        """
        await asyncio.Event().wait()

    async def _post(self, path: str, request: BaseModel, kind: type[Response]) -> Response:
        return kind.model_validate_json(await self._call("POST", path, request.model_dump_json().encode()))

    @abstractmethod
    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        """Return the body of the answer."""


class HttpApi(Api):
    """Calls an address. Calls wait and try again as long as the API is out of reach or says it is overloaded."""

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

    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                async with self._session.request(method, self._base + path, data=body) as response:
                    content = await response.read()
                if response.status == HTTP_OK:
                    return content
                if response.status in REFUSALS:
                    self._refusal = KeyRefused(response.status, content.decode(errors="replace")[:2000])
                    self._refused.set()
                    raise self._refusal
                if response.status not in RETRYABLE_STATUSES or DAMAGED_HISTORY in content:
                    raise ApiError(response.status, content.decode(errors="replace")[:2000])
                reason = f"it answered {response.status}"
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            logger.warning("the API cannot take %s at present (%s): trying again in %.2f s", path, reason, delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY_SECONDS)
