"""The worker: `run_worker` serves workflows until the process is told to stop."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from uuid import uuid4

from levante.definition.definitions import WorkflowDefinition, discover_activities, get_workflow_definition
from levante.encoding.settings import EncodingSettings, read_encoding_settings
from levante.errors import ErrorCode, WorkflowsException
from levante.parallel.execution import ParallelExecution
from levante.worker.activities.runner import ActivityRunner
from levante.worker.activities.sticky_session import StickySession
from levante.worker.context import WorkerContext
from levante.worker.health import health_server
from levante.worker.logs.console import own_lines
from levante.worker.logs.shipping import LogShipping
from levante.worker.payloads import PLAIN, Payloads
from levante.worker.process.end import EXTRA_SECONDS, ProcessEnd, stopping_on_signals
from levante.worker.process.stopping import StoppedEarly, given_up_on
from levante.worker.service import Worker
from levante.worker.settings import WorkerSettings, read_settings
from levante.worker.tasks.queue_source import QueueTasks
from levante.worker.tasks.source import ApiTasks, TaskSource
from levante.worker.transport.api import Api, HttpApi
from levante.worker.transport.batcher import Batcher
from levante.worker.transport.sending import send_commits, send_reports
from levante_core.protocol import WorkerPool
from levante_core.protocol.queue_access import QueueAccess, QueueAccessRequest

__all__ = ["run_worker"]

logger = logging.getLogger("levante.worker")

TECHNICAL_WORKFLOWS = (ParallelExecution,)
"""What every worker serves besides."""


async def run_worker(
    workflows: Sequence[type],
    *,
    detach: bool = False,
    api_key: str | None = None,
    server_url: str | None = None,
    deployment_name: str | None = None,
    worker_name: str | None = None,
) -> asyncio.Task[None] | None:
    """Serve these workflow classes, and all activities imported so far, until SIGTERM or SIGINT.

    Told to stop, it lets running activities end for DRAIN_SECONDS. The process ends within two seconds after that, whatever
    its threads and exit hooks do; with `detach`, its end is up to the caller. What is not given comes from the environment,
    or else from `.env`: LEVANTE_SERVER_URL, LEVANTE_API_KEY, DEPLOYMENT_NAME, WORKER_NAME, ...

    Args:
        detach: Return at once with the task that serves.

    Raises:
        WorkflowsException: For wrong settings or definitions, or when a provider of dependencies fails, or the API refuses
            the worker.
    """
    given = {
        "api_key": api_key,
        "server_url": server_url,
        "deployment_name": deployment_name,
        "worker_name": worker_name,
    }
    settings = read_settings(given)
    served = _served(workflows)
    if detach:
        return asyncio.create_task(_serve(settings, served, None))
    await _serve(settings, served, ProcessEnd(settings.drain_seconds + EXTRA_SECONDS))
    return None


def _served(workflows: Sequence[type]) -> dict[str, WorkflowDefinition]:
    served: dict[str, WorkflowDefinition] = {}
    for cls in [*workflows, *TECHNICAL_WORKFLOWS]:
        definition = get_workflow_definition(cls)
        if definition.name in served:
            raise WorkflowsException(
                f"two workflows are named {definition.name!r}: {served[definition.name].cls.__qualname__} and "
                f"{cls.__qualname__}; rename one of them",
                status=422,
                code=ErrorCode.WORKFLOW_DEFINITION_ERROR,
            )
        served[definition.name] = definition
    if not workflows:
        raise WorkflowsException("a worker needs at least one workflow", 422, ErrorCode.WORKER_RUNTIME_CONFIG_ERROR)
    return served


async def _serve(settings: WorkerSettings, served: dict[str, WorkflowDefinition], end: ProcessEnd | None) -> None:
    stop = asyncio.Event()
    slots = settings.max_concurrent_activities
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(slots, thread_name_prefix="activity"))
    with own_lines(settings), stopping_on_signals(stop, end):
        async with HttpApi(settings.server_url, settings.api_key.get_secret_value()) as api:
            try:
                async with given_up_on(stop):
                    context = await _context(settings, served, api)
            except StoppedEarly:
                logger.info("stopping: the API could not be reached so far")
            else:
                health = health_server(settings.health_server_host, settings.health_server_port, settings.worker_name)
                async with health, _shipping_logs(settings, api, end):
                    await Worker(context).run(stop)
        if end:
            end.has_stopped = True


async def _context(settings: WorkerSettings, served: dict[str, WorkflowDefinition], api: HttpApi) -> WorkerContext:
    """Make what the parts of the worker share. Raises: ApiError; WorkflowsException."""
    worker_id = f"{settings.worker_name[:80]}-{uuid4().hex}"
    payloads, slots = await _payloads(api), settings.max_concurrent_activities
    session = StickySession.of(settings.serves, worker_id)
    activities = discover_activities(list(sys.modules.values()))
    return WorkerContext(
        settings=settings,
        worker_id=worker_id,
        api=api,
        tasks=await _task_source(settings, api, worker_id, settings.serves),
        tasks_of=partial(_task_source, settings, api, worker_id),
        commits=Batcher(send_commits(api)),
        reports=Batcher(send_reports(api)),
        runner=ActivityRunner(activities, slots, api, _now, payloads, session=session),
        payloads=payloads,
        workflows=served,
        now=_now,
    )


def _shipping_logs(settings: WorkerSettings, api: Api, end: ProcessEnd | None) -> AbstractAsyncContextManager[None]:
    is_encrypted = read_encoding_settings().payload_encryption is not None
    ships = not is_encrypted if settings.ship_logs is None else settings.ship_logs
    if not ships:
        return nullcontext()
    return (LogShipping(api, settings, end.seconds_left) if end else LogShipping(api, settings)).running()


async def _payloads(api: Api) -> Payloads:
    """Make what encodes payloads, as the environment says. Raises: EncodingMisconfigured."""
    settings = read_encoding_settings()
    return PLAIN if settings == EncodingSettings() else Payloads(settings, (await api.whoami()).namespace)


async def _task_source(settings: WorkerSettings, api: Api, worker_id: str, pool: WorkerPool) -> TaskSource:
    """Choose where tasks come from: as the settings say, but through the API where there is no other way.

    Access itself is asked for by the first poll: a deployment has queues once a worker has registered.
    """
    request = QueueAccessRequest(deployment_name=pool)
    through_api = ApiTasks(api, pool, worker_id)
    if settings.queue_access == "api" or not (await api.whoami()).features.get("queues"):
        return through_api
    if find_spec("boto3") is None:
        logger.warning("tasks come through the API: `pip install 'levante[aws]'` lets them come from SQS itself")
        return through_api
    from levante_core.adapters.sqs.lent_queues import connect  # noqa: PLC0415 - boto3, which only some workers have

    async def ask() -> QueueAccess:
        access = (await api.queue_access(request)).access
        if access is None:
            raise WorkflowsException("the API gives no access to queues any more: restart the worker", status=503)
        return access

    connect_as_set = partial(connect, with_credentials=settings.queue_access == "lent")
    return QueueTasks(through_api, ask, connect_as_set, _now)


def _now() -> datetime:
    return datetime.now(UTC)
