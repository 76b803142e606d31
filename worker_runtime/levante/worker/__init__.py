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
from types import TracebackType
from typing import Self
from uuid import uuid4

from levante.definition.definitions import WorkflowDefinition, discover_activities, get_workflow_definition
from levante.definition.discovery import is_for_workflows_alone
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
from levante.worker.service import Worker as WorkerService
from levante.worker.settings import WorkerSettings, read_settings
from levante.worker.tasks.queue_source import QueueTasks
from levante.worker.tasks.source import ApiTasks, TaskSource
from levante.worker.transport.api import Api, HttpApi
from levante.worker.transport.batcher import Batcher
from levante.worker.transport.sending import send_commits, send_reports
from levante_core.protocol import WorkerPool
from levante_core.protocol.queue_access import QueueAccess, QueueAccessRequest

__all__ = ["Worker", "run_worker"]

logger = logging.getLogger("levante.worker")

TECHNICAL_WORKFLOWS = (ParallelExecution,)
"""What every worker serves besides."""


async def run_worker(
    workflows: Sequence[type],
    *,
    detach: bool = False,
    signals: bool = True,
    api_key: str | None = None,
    server_url: str | None = None,
    deployment_name: str | None = None,
    worker_name: str | None = None,
) -> asyncio.Task[None] | None:
    """Serve these workflow classes, and all activities imported so far, until SIGTERM or SIGINT.

    When stopped, it gives running activities DRAIN_SECONDS to end. The process ends within two seconds after that, whatever
    its threads and exit hooks do; with `detach`, or without `signals`, it keeps running. Arguments that you leave out come
    from the environment, or else from `.env`: LEVANTE_SERVER_URL, LEVANTE_API_KEY, DEPLOYMENT_NAME, WORKER_NAME, ...
    At the end of a script that `levante worker` or `levante dev` imports, it does nothing, because they serve the script.

    Args:
        detach: Return at once with the serving task. Another call replaces the worker of the same deployment, as when a
            notebook cell runs again.
        signals: Whether SIGTERM and SIGINT stop it. If not, cancel the task, or use `Worker`.

    Raises:
        WorkflowsException: For wrong settings or definitions, or when a provider of dependencies fails, or the API refuses
            the worker.
    """
    if is_for_workflows_alone():
        return None
    settings = _settings(api_key, server_url, deployment_name, worker_name)
    served = _served(workflows)
    if detach:
        return _detached(settings, served, signals=signals)
    end = ProcessEnd(settings.drain_seconds + EXTRA_SECONDS) if signals else None
    await _serve(settings, served, _Control(end, signals=signals))
    return None


class Worker:
    """A worker inside another program, such as a web application. It runs inside the block, and drains at its end.

        async with workflows.Worker([Checkout], deployment_name="shop"):
            await server.serve()

    Its arguments are those of `run_worker`. Signals stay with the program. Entering raises what `run_worker` raises; when
    the worker ends by itself, as when its key is revoked, leaving does.
    """

    def __init__(
        self,
        workflows: Sequence[type],
        *,
        api_key: str | None = None,
        server_url: str | None = None,
        deployment_name: str | None = None,
        worker_name: str | None = None,
    ) -> None:
        self._settings = _settings(api_key, server_url, deployment_name, worker_name)
        self._served = _served(workflows)
        self._control = _Control(None, signals=False)
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._serving = asyncio.create_task(_serve(self._settings, self._served, self._control))
        ready = asyncio.create_task(self._control.ready.wait())
        try:
            await asyncio.wait([self._serving, ready], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._control.stop.set()
            raise
        finally:
            ready.cancel()
        if self._serving.done():
            await self._serving
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._control.stop.set()
        if self._serving:
            await self._serving


class _Control:
    """How a worker is told to stop, and tells that it serves. end: of the process; None leaves that to its owner."""

    def __init__(self, end: ProcessEnd | None, *, signals: bool) -> None:
        self.end = end
        self.signals = signals
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()


_DETACHED: dict[tuple[str, str], tuple[asyncio.Task[None], _Control]] = {}
"""The last detached worker of each deployment, by server and name."""


def _detached(settings: WorkerSettings, served: dict[str, WorkflowDefinition], *, signals: bool) -> asyncio.Task[None]:
    """Serve in a task, once the worker before it of the same deployment has ended."""
    key, control = (settings.server_url, settings.deployment_name), _Control(None, signals=signals)
    before = _DETACHED.get(key)

    async def serve() -> None:
        if before and not before[0].done() and before[0].get_loop() is asyncio.get_running_loop():
            before[1].stop.set()
            await asyncio.wait([before[0]])
        await _serve(settings, served, control)

    task = asyncio.create_task(serve())
    _DETACHED[key] = task, control
    return task


def _settings(
    api_key: str | None, server_url: str | None, deployment_name: str | None, worker_name: str | None
) -> WorkerSettings:
    return read_settings(
        {"api_key": api_key, "server_url": server_url, "deployment_name": deployment_name, "worker_name": worker_name}
    )


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


async def _serve(settings: WorkerSettings, served: dict[str, WorkflowDefinition], control: _Control) -> None:
    stop, end = control.stop, control.end
    slots = settings.max_concurrent_activities
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(slots, thread_name_prefix="activity"))
    with own_lines(settings), stopping_on_signals(stop, end) if control.signals else nullcontext():
        async with HttpApi(settings.server_url, settings.api_key.get_secret_value()) as api:
            try:
                async with given_up_on(stop):
                    context = await _context(settings, served, api)
            except StoppedEarly:
                logger.info("stopping: the API could not be reached so far")
            else:
                health = health_server(settings.health_server_host, settings.health_server_port, settings.worker_name)
                async with health, _shipping_logs(settings, api, end):
                    await WorkerService(context).run(stop, control.ready)
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
