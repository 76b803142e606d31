"""A whole installation in one process without HTTP: the real handlers and services on local adapters, and real workers."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

from pydantic import BaseModel

from levante.definition.definitions import ActivityDefinition, WorkflowDefinition
from levante.worker.activities.runner import ActivityRunner
from levante.worker.activities.sticky_session import StickySession
from levante.worker.context import WorkerContext
from levante.worker.payloads import PLAIN, Payloads
from levante.worker.service import Worker
from levante.worker.settings import WorkerSettings
from levante.worker.tasks.source import ApiTasks, TaskSource
from levante.worker.transport.api import Api, ApiError
from levante.worker.transport.batcher import Batcher
from levante.worker.transport.sending import send_commits, send_reports
from levante_api.dispatch.workers import WorkerEndpoints
from levante_api.http.endpoints import API_KEY
from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.answers import answer_to
from levante_core.domain.executions.execution import Execution
from levante_core.domain.names import Workspace
from levante_core.errors import LevanteError, NotFound, Unavailable
from levante_core.ports.surroundings import Clock
from levante_core.protocol import WorkerPool
from levante_core.protocol.workers import DeliveredTask, PollRequest, TaskQueue
from levante_core.services.dispatch.tasks import consumer_name
from levante_core.services.engine import Engine, build_engine
from levante_core.services.executions.start import StartRequest
from levante_core.storage.catalogue import ApiKey, Role
from levante_core.storage.changes import concerns_dispatcher
from levante_dispatcher.handlers import build_handlers
from levante_local.change_watch import LocalChangeWatch
from levante_local.greenlets import call
from levante_local.payload_files import PayloadFiles
from levante_local.pumps import TIMERS_WAIT_SECONDS, ChangePump, TimersPump
from levante_local.queues.queues import InProcessQueues
from levante_local.sqlite.store import SqliteItemStore
from levante_local.supervision import Supervisor

WORKSPACE = Workspace("test")
KEY_ID = "worker"
"""Of the key that its workers are said to have."""
_BASE = "/v1/workflows"


class InProcessApi(Api):
    """Calls the handlers of the worker endpoints instead of an address. calls: how often each path was called.

    Raises: ApiError as over HTTP; Unavailable where a call over HTTP would be made again.
    """

    def __init__(self, engine: Engine, calls: Counter[str] | None = None) -> None:
        self.engine = engine
        self.calls: Counter[str] = Counter() if calls is None else calls
        key = ApiKey(KEY_ID, "", WORKSPACE, Role.WORKER, "worker", engine.clock.now())
        self._request = SimpleNamespace(context={API_KEY: key})
        endpoints = WorkerEndpoints(engine, features={})
        self._handlers = {one.path.removeprefix(_BASE): one.handler for one in endpoints.table()}

    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:  # noqa: ARG002 - paths have one method each
        self.calls[path] += 1
        handler = self._handlers[path]
        given = [] if body is None else [get_type_hints(handler)["body"].model_validate_json(body)]
        try:
            answer: BaseModel = await call(handler, self._request, *given)
        except Unavailable:
            raise
        except LevanteError as error:
            refusal = answer_to(error)
            raise ApiError(refusal.status, json.dumps(refusal.body)) from error
        return answer.model_dump_json().encode()


class _PatientTasks(ApiTasks):
    """Tasks for a worker that looks again after a longer time than an address would keep it waiting."""

    def __init__(self, place: Installation, pool: WorkerPool, worker_id: str, patience: float) -> None:
        super().__init__(place.api, pool, worker_id)
        self._service = place.engine.tasks
        self._patience = patience

    async def poll(self, queue: TaskQueue, limit: int) -> Sequence[DeliveredTask]:
        request = PollRequest(deployment_name=self._pool, worker_id=self._worker_id, queue=queue, limit=limit)
        patient = request.model_copy(update={"wait_seconds": self._patience})
        return await call(partial(self._service.poll, key_id=KEY_ID), WORKSPACE, patient)


class Installation:
    """An engine on local adapters in a directory, its pumps, and workers.

    patience: the longest that its parts wait for something to do before they look again; None as in production.
    """

    def __init__(self, data: Path, clock: Clock, *, fast_path: bool = False, patience: float | None = None) -> None:
        self._patience = patience
        self.clock = clock
        self._ids = RandomIds()
        self.store = SqliteItemStore(data / "levante.sqlite", "NORMAL", feeds=concerns_dispatcher, on_loop=True)
        self.queues = InProcessQueues(clock)
        watch = LocalChangeWatch()
        self.store.listen(watch.notify)
        items = OffloadingStore(self.store, PayloadFiles(data / "payloads"))
        self.engine = build_engine(items, self.queues, clock, self._ids, watch, fast_path=fast_path)
        self.api: Api = InProcessApi(self.engine)
        self.handlers = build_handlers(self.engine, items.resolved)
        self.runners: list[ActivityRunner] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the pumps inside the block."""
        pump = ChangePump(self.store, self.handlers)
        await call(self.engine.capabilities.ensure_key)
        await call(self.engine.redrive.redrive)
        timers = TimersPump(self.queues, self.handlers, self._patience or TIMERS_WAIT_SECONDS)
        supervisor = Supervisor(self.clock)
        steps = {"change feed": pump.step, "timers": timers.step}
        tasks = [asyncio.create_task(supervisor.keep(part, step)) for part, step in steps.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.store.close()

    @asynccontextmanager
    async def serving(
        self,
        workflows: Iterable[WorkflowDefinition],
        activities: Mapping[str, ActivityDefinition],
        *,
        asks_providers_first: bool = True,
        payloads: Payloads = PLAIN,
        **settings: Any,
    ) -> AsyncIterator[asyncio.Task[None]]:
        """Run a worker inside the block. Cancel the task it yields to kill it without a farewell."""
        given = {"api_key": "x" * 20, "deployment_name": "d", "worker_name": "w", **settings}
        chosen = WorkerSettings(**given)
        worker_id = self._ids.uuid()
        context = WorkerContext(
            settings=chosen,
            worker_id=worker_id,
            api=self.api,
            tasks=self._tasks(chosen.serves, worker_id),
            tasks_of=partial(self._tasks_of, worker_id),
            commits=Batcher(send_commits(self.api)),
            reports=Batcher(send_reports(self.api)),
            runner=ActivityRunner(
                activities,
                chosen.max_concurrent_activities,
                self.api,
                self.clock.now,
                payloads,
                session=StickySession.of(chosen.serves, worker_id),
                asks_providers_first=asks_providers_first,
            ),
            payloads=payloads,
            workflows={definition.name: definition for definition in workflows},
            now=self.clock.now,
            heartbeat_seconds=self._patience or 10.0,
        )
        self.runners.append(context.runner)
        stop = asyncio.Event()
        task = asyncio.create_task(Worker(context).run(stop), name=worker_id)
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait([task])  # unlike `await task`, it tells whether this or the worker was cancelled
            if not task.cancelled():
                task.result()

    async def _tasks_of(self, worker_id: str, pool: WorkerPool) -> TaskSource:
        return self._tasks(pool, worker_id)

    def _tasks(self, pool: WorkerPool, worker_id: str) -> TaskSource:
        if self._patience is None:
            return ApiTasks(self.api, pool, worker_id)
        return _PatientTasks(self, pool, worker_id, self._patience)

    def kill(self, worker: asyncio.Task[None]) -> None:
        """End a worker without a farewell, as a host does that sees its connection close."""
        worker.cancel()
        self.queues.release_consumer(consumer_name(WORKSPACE, KEY_ID, worker.get_name()))

    async def start(self, workflow: str, input_: Any = None, **given: Any) -> str:
        """Start an execution, once a worker serves its workflow. Returns its id."""
        while True:
            with suppress(NotFound):
                await call(self.engine.catalogue.get, WORKSPACE, workflow)
                break
            await asyncio.sleep(0)
        execution = await call(self.engine.executions.start, WORKSPACE, workflow, StartRequest(input=input_, **given))
        return str(execution.key.execution_id)

    async def result(self, execution_id: str, seconds: float = 20) -> Execution:
        """Wait until the execution is closed; return it."""
        return await call(self.engine.executions.wait, WORKSPACE, execution_id, seconds)

    async def history(self, execution_id: str) -> dict[str, Any]:
        """Return the history as the API gives it."""
        shown = await call(self.engine.histories.show, WORKSPACE, execution_id)
        found: dict[str, Any] = json.loads(json.dumps(shown.whole()))
        return found
