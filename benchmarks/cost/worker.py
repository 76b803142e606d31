"""The real worker, whose way to the API is the gateway of this process."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from benchmarks.cost.installation import KEY, Installation
from pydantic import SecretStr

from levante.definition.definitions import get_activity_definition, get_workflow_definition
from levante.worker.activities.runner import ActivityRunner
from levante.worker.context import WorkerContext
from levante.worker.payloads import PLAIN
from levante.worker.service import Worker
from levante.worker.settings import WorkerSettings
from levante.worker.tasks.queue_source import QueueTasks
from levante.worker.tasks.source import ApiTasks, TaskSource
from levante.worker.transport.api import Api, ApiError
from levante.worker.transport.batcher import Batcher
from levante.worker.transport.sending import send_commits, send_reports
from levante_core.adapters.sqs.lent_queues import connect
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol.queue_access import QueueAccess, QueueAccessRequest

DEPLOYMENT = "orders"


class GatewayApi(Api):
    """The worker's API without HTTP: requests go to the gateway. One that is refused ends the measurement."""

    def __init__(self, place: Installation) -> None:
        self._place = place

    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        status, _, content = await self._place.gateway.request(method, path, KEY, body or b"")
        if status != 200:
            raise ApiError(status, content.decode())
        return content


@asynccontextmanager
async def worker(place: Installation, workflows: Sequence[type], activities: Sequence[Any]) -> AsyncIterator[ActivityRunner]:
    """Run a worker inside the block, as `levante.worker` composes it, on the queues themselves. Yields its runner."""
    settings = WorkerSettings(api_key=SecretStr(KEY), deployment_name=DEPLOYMENT, worker_name="worker-1")
    api = GatewayApi(place)
    pool = WorkerPool.parse(DEPLOYMENT)

    async def ask() -> QueueAccess:
        access = (await api.queue_access(QueueAccessRequest(deployment_name=pool))).access
        if access is None:
            raise AssertionError("the API lends no access to the queues")
        return access

    async def no_session(pool: WorkerPool) -> TaskSource:
        raise AssertionError(f"no workload has a sticky session: {pool}")

    definitions = {one.name: one for one in map(get_activity_definition, activities)}
    runner = ActivityRunner(definitions, settings.max_concurrent_activities, api, place.clock.now, PLAIN)
    world = WorkerContext(
        settings=settings,
        worker_id="worker-1-0",
        api=api,
        tasks=QueueTasks(ApiTasks(api, pool, "worker-1-0"), ask, partial(connect, with_credentials=True), place.clock.now),
        commits=Batcher(send_commits(api)),
        reports=Batcher(send_reports(api)),
        runner=runner,
        payloads=PLAIN,
        workflows={one.name: one for one in map(get_workflow_definition, workflows)},
        now=place.clock.now,
        tasks_of=no_session,
    )
    stop = asyncio.Event()
    working = asyncio.create_task(Worker(world).run(stop))
    try:
        yield runner
        if working.done():
            working.result()
    finally:
        stop.set()
        await working


class Client:
    """A client of the API: each call is a request."""

    def __init__(self, place: Installation) -> None:
        self._place = place

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that is answered with success, and return the answer."""
        content = b"" if body is None else json.dumps(body).encode()
        status, _, answer = await self._place.gateway.request(method, path, KEY, content)
        if status not in {200, 202}:
            raise ApiError(status, answer.decode())
        return json.loads(answer)
