"""A place to run workflows in tests: the engine of production in memory, with a clock that skips what nobody waits for."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel

from levante.definition.definitions import (
    ActivityDefinition,
    WorkflowDefinition,
    activities_by_name,
    ambiguous,
    discover_activities,
    get_activity_definition,
    get_workflow_definition,
)
from levante.definition.handlers import HandlerDefinition
from levante.definition.mapping import activity_input
from levante.definition.schemas import Owner
from levante.errors import ErrorCode
from levante.testing.history import History
from levante.testing.installation import WORKSPACE, InProcessApi, Installation
from levante.testing.other_process import replay_elsewhere
from levante.testing.virtual_time import LoopClock
from levante.worker import TECHNICAL_WORKFLOWS
from levante_core.domain.executions.failure import Failure
from levante_core.domain.executions.search_keys import SearchKeys
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId
from levante_core.ports.item_store import Change
from levante_core.protocol import did_you_mean
from levante_core.services.access.capabilities import AttemptGrant
from levante_core.services.activities.reports import GrantedReport
from levante_core.services.engine import Engine
from levante_core.services.executions.reset import ResetRequest
from levante_local.greenlets import call

YEARS_SECONDS = 10 * 365 * 86400.0
"""As long as anybody may wait, in virtual time."""
CACHED = 1000
LOOKS = 4
"""Sweeps after the death of a worker; after three, everything that it had is taken up or has failed."""


class ExecutionNotCompleted(Exception):
    """The execution ended without completing. failure: its recorded failure, if any."""

    def __init__(self, execution_id: str, status: ExecutionStatus, failure: Failure | None) -> None:
        super().__init__(f"execution {execution_id} is {status}" + (f": {failure.message}" if failure else ""))
        self.status = status
        self.failure = failure


class Execution:
    """An execution in an environment."""

    def __init__(self, place: Installation, definition: WorkflowDefinition, execution_id: str) -> None:
        self.id = execution_id
        self._place = place
        self._definition = definition

    async def result(self) -> Any:
        """Wait for the end, and return the result with the workflow's own type.

        Raises:
            ExecutionNotCompleted: When it ended in another way.
        """
        execution = await self._place.result(self.id, YEARS_SECONDS)
        if execution.status is not ExecutionStatus.COMPLETED or execution.ending is None:
            raise ExecutionNotCompleted(self.id, execution.status, execution.ending.failure if execution.ending else None)
        return self._definition.load_result(execution.ending.result)

    async def status(self) -> ExecutionStatus:
        """Return the status of the execution."""
        return (await call(self._place.engine.executions.get, WORKSPACE, self.id)).status

    async def search_keys(self) -> SearchKeys:
        """Return the search keys of the execution."""
        return (await call(self._place.engine.executions.get, WORKSPACE, self.id)).search_keys

    async def signal(self, name: str, **arguments: object) -> None:
        """Send a signal. Raises: what the API answers with, as an error of `levante_core.errors`."""
        await call(
            self._place.engine.messages.signal, WORKSPACE, self.id, name, _input(self._definition.signals, name, arguments)
        )

    async def update(self, name: str, **arguments: object) -> Any:
        """Send an update, and return its answer as JSON.

        Raises:
            HandlerFailed: When it is refused or fails.
        """
        value = _input(self._definition.updates, name, arguments)
        return await call(self._place.engine.messages.update, WORKSPACE, self.id, name, value, YEARS_SECONDS)

    async def query(self, name: str, **arguments: object) -> Any:
        """Send a query, and return its answer as JSON.

        Raises:
            HandlerFailed: When its handler does.
        """
        value = _input(self._definition.queries, name, arguments)
        return await call(self._place.engine.queries.ask, WORKSPACE, self.id, name, value, YEARS_SECONDS)

    async def cancel(self) -> None:
        """Cancel the execution."""
        await call(self._place.engine.messages.cancel, WORKSPACE, self.id)

    async def terminate(self) -> None:
        """End the execution at once."""
        await call(self._place.engine.closing.terminate, WORKSPACE, ExecutionId(self.id))

    async def reset(
        self, event_id: int, *, reason: str | None = None, exclude_signals: bool = False, exclude_updates: bool = False
    ) -> None:
        """Continue from an earlier event with a new run.

        Raises:
            InvalidResetPoint: When a run cannot continue from that event.
        """
        request = ResetRequest(event_id, reason, exclude_signals, exclude_updates)
        await call(self._place.engine.resets.reset, WORKSPACE, self.id, request)

    async def history(self) -> History:
        """Return the history of the latest run so far."""
        return History(await self._place.history(self.id))


class WorkflowEnvironment:
    """Runs workflows with the engine of production: the same handlers, services, worker and replay.

        async with WorkflowEnvironment([Order], mocks={charge: lambda order: "paid"}) as environment:
            order = await environment.start(Order, OrderInput(item="tea"))
            assert await order.result() == "paid"

    activities: those that the worker serves; by default all imported ones. If several have the same name, the one in a
    workflow's module counts. mocks: replacements of activities, by activity or name; async or not.
    A provider is called when an activity that is not mocked first needs it.
    always_replay: no run is kept between two tasks, so each task replays the whole history.
    crashes: numbers of commits, from 1 on, right after each of which the worker dies and another one takes over.
    schedules: whether to create the schedules that the workflows declare; skipped time then starts executions.
    hash_seeds: at the end of the block, one process per seed replays everything started in it, with another order of sets; a
    difference raises NonDeterminismError.
    With `run_in_virtual_time`, or the pytest plugin's mark, hours of timers and timeouts pass at once.
    """

    def __init__(
        self,
        workflows: Sequence[type],
        *,
        activities: Iterable[Callable[..., Any]] | None = None,
        mocks: Mapping[Callable[..., Any] | str, Callable[..., Any]] | None = None,
        always_replay: bool = False,
        crashes: Collection[int] = (),
        schedules: bool = False,
        hash_seeds: Collection[int] = (),
    ) -> None:
        definitions = [get_workflow_definition(cls) for cls in dict.fromkeys([*workflows, *TECHNICAL_WORKFLOWS])]
        self._workflows = definitions if schedules else [dataclasses.replace(one, schedules=()) for one in definitions]
        self._activities = _with_mocks(_served(workflows, activities), mocks or {})
        self._serving: dict[str, Any] = {
            "asks_providers_first": False,
            "max_cached_workflows": 0 if always_replay else CACHED,
        }
        self._crashes = crashes
        self._hash_seeds = hash_seeds
        self._started: list[tuple[Execution, type]] = []
        self._commits = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        directory = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="levante-"))
        place = self._place = Installation(Path(directory), LoopClock(), patience=YEARS_SECONDS)
        await self._stack.enter_async_context(place.running())
        registered = asyncio.Event()
        workers, registration = asyncio.create_task(self._keep_a_worker(registered)), asyncio.create_task(registered.wait())
        for task in (asyncio.create_task(self._sweep_when_due()), workers, registration):
            self._stack.push_async_callback(_end, task)
        await asyncio.wait([workers, registration], return_when=asyncio.FIRST_COMPLETED)
        if workers.done():
            await self._stack.aclose()  # raises what ended the worker
        return self

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if kind is None and self._hash_seeds:
                await self._replay_elsewhere()
        finally:
            await self._stack.aclose()

    @property
    def commits(self) -> int:
        """Number of commits so far, as `crashes` counts them."""
        return self._commits

    async def start(
        self,
        workflow: type,
        params: BaseModel | Mapping[str, Any] | None = None,
        *,
        execution_id: str | None = None,
    ) -> Execution:
        """Start an execution. params: its input, a model or the arguments by name.

        Raises: what the API answers with, as an error of `levante_core.errors`; ValueError for a workflow that is not served
        here.
        """
        definition = get_workflow_definition(workflow)
        if all(one.name != definition.name for one in self._workflows):
            raise ValueError(f"workflow {definition.name!r} is not served here: WorkflowEnvironment([{workflow.__name__}])")
        value = definition.entrypoint.input.write(params or {})
        started = await self._place.start(definition.name, value, execution_id=execution_id)
        execution = Execution(self._place, definition, started)
        self._started.append((execution, workflow))
        return execution

    async def execute(self, workflow: type, params: BaseModel | Mapping[str, Any] | None = None, **given: Any) -> Any:
        """Start an execution, and return its result. As `start` and `Execution.result`."""
        return await (await self.start(workflow, params, **given)).result()

    def execution(self, workflow: type, execution_id: str) -> Execution:
        """Return an execution by its id, such as a child's. Whether it exists shows at the first call."""
        return Execution(self._place, get_workflow_definition(workflow), execution_id)

    async def scheduled(self) -> list[Execution]:
        """Return the last ten executions that each schedule has started, in the order of their times."""
        schedules = await call(lambda: list(self._place.engine.schedules.all(WORKSPACE)))
        fired = [(one.scheduled_at, of.workflow_name, one.execution_id) for of in schedules for one in of.state.recent]
        known = {one.name: one for one in self._workflows}
        return [Execution(self._place, known[workflow], execution_id) for _, workflow, execution_id in sorted(fired)]

    async def complete_activity(self, task_token: str, result: Any = None) -> bool:
        """Complete an attempt from outside. result: JSON. Returns whether the attempt was still waited for."""
        return await self._end(GrantedReport(self._attempt(task_token), result))

    async def fail_activity(self, task_token: str, message: str, *, non_retryable: bool = False) -> bool:
        """Fail an attempt from outside. Returns whether the attempt was still waited for."""
        failure = Failure(message=message, type="ApplicationError", non_retryable=non_retryable)
        return await self._end(GrantedReport(self._attempt(task_token), failure=failure))

    async def heartbeat_activity(self, task_token: str, *details: Any) -> bool:
        """Send a heartbeat for an attempt from outside. Returns whether the attempt is still waited for."""
        return await call(self._place.engine.activities.heartbeat, self._attempt(task_token), details)

    def _attempt(self, task_token: str) -> AttemptGrant:
        return self._place.engine.capabilities.attempt(WORKSPACE, task_token)

    async def _end(self, report: GrantedReport) -> bool:
        return await call(self._place.engine.activities.end, report)

    # --- inside -------------------------------------------------------------------------------------------------------

    async def _replay_elsewhere(self) -> None:
        histories = [((await execution.history()).document, workflow) for execution, workflow in self._started]
        for seed in self._hash_seeds:
            await asyncio.to_thread(replay_elsewhere, histories, seed)

    async def _keep_a_worker(self, registered: asyncio.Event) -> None:
        """Run a worker, and another one whenever one dies. Raises: what ended one otherwise."""
        looks: list[asyncio.Task[None]] = []
        try:
            while True:
                await self._run_a_worker(registered)
                looks.append(asyncio.create_task(self._look_round()))
        finally:
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)

    async def _run_a_worker(self, registered: asyncio.Event) -> None:
        """Run a worker until it dies. Raises: what ended it otherwise."""
        api = self._place.api = _MortalApi(self._place.engine, self._crashes, self._number_commit, registered)
        async with self._place.serving(self._workflows, self._activities, **self._serving) as worker:
            worker.add_done_callback(api.note_end)
            await api.has_died.wait()
            self._place.kill(worker)

    async def _look_round(self) -> None:
        """Let the sweep look, as it does each minute elsewhere, at what a worker that has died may have left undone."""
        for _ in range(LOOKS):
            await asyncio.sleep(60)
            await call(self._place.handlers.sweep, {}, None)

    def _number_commit(self) -> int:
        self._commits += 1
        return self._commits

    async def _sweep_when_due(self) -> None:
        """Let the sweep run when it has something to do, and not each minute of a year in which nothing happens."""
        changed = asyncio.Event()

        def listen(changes: Sequence[Change]) -> None:
            if any(change.key.partition.startswith(("C#", "T#", "X#")) for change in changes):
                changed.set()

        self._place.store.listen(listen)
        while True:
            changed.clear()
            at = await call(self._place.engine.due.next_sweep_at)
            wait = None if at is None else max(1.0, (at - self._place.clock.now()).total_seconds())
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), wait)
            if at and self._place.clock.now() >= at:
                await call(self._place.handlers.sweep, {}, None)


class _MortalApi(InProcessApi):
    """One worker's way to the API. Some commits are not answered: the worker is to die, and reaches nothing any more.

    number: numbers the commits of all workers. registered: set once a worker is.
    """

    def __init__(
        self, engine: Engine, crashes: Collection[int], number: Callable[[], int], registered: asyncio.Event
    ) -> None:
        super().__init__(engine)
        self._registered = registered
        self.has_died = asyncio.Event()
        self._crashes = crashes
        self._number = number

    def note_end(self, worker: asyncio.Task[None]) -> None:  # noqa: ARG002 - a task tells it
        """The worker has ended, for whatever reason."""
        self.has_died.set()

    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        if self.has_died.is_set():
            raise asyncio.CancelledError
        is_last = path == "/workers/commits" and self._number() in self._crashes
        answer = await super()._call(method, path, body)
        if path == "/register":
            self._registered.set()
        if is_last:
            self.has_died.set()
            await asyncio.Event().wait()
        return answer


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _served(workflows: Iterable[type], activities: Iterable[Callable[..., Any]] | None) -> dict[str, ActivityDefinition]:
    if activities is not None:
        return {definition.name: definition for definition in map(get_activity_definition, activities)}
    own = discover_activities([sys.modules.get(workflow.__module__) for workflow in workflows])
    imported = activities_by_name(list(sys.modules.values()))
    return {name: own.get(name) or _only(same_name) for name, same_name in imported.items()} | own


def _only(same_name: list[ActivityDefinition]) -> ActivityDefinition:
    """Return the activity, or one that says why it is not known which: other tests import activities of that name, too."""
    if len(same_name) == 1:
        return same_name[0]
    problem = ambiguous(same_name, "say which one: WorkflowEnvironment(..., activities=[...])")

    def fail(**_: Any) -> None:
        raise problem

    owner = Owner(f"activity {same_name[0].name!r}", ErrorCode.ACTIVITY_DEFINITION_ERROR)
    return dataclasses.replace(same_name[0], function=fail, is_async=False, input=activity_input(owner, fail))


def _with_mocks(
    served: dict[str, ActivityDefinition], mocks: Mapping[Callable[..., Any] | str, Callable[..., Any]]
) -> dict[str, ActivityDefinition]:
    for activity, function in mocks.items():
        definition = served.get(activity) if isinstance(activity, str) else get_activity_definition(activity)
        name = definition.name if definition else str(activity)
        if definition is None or name not in served:
            known = ", ".join(sorted(served)) or "none"
            raise ValueError(f"there is no activity {name!r} to mock, only: {known}{did_you_mean(name, served)}")
        is_async = inspect.iscoroutinefunction(function)
        served[name] = dataclasses.replace(definition, function=function, is_async=is_async)
    return served


def _input(handlers: Mapping[str, HandlerDefinition], name: str, arguments: Mapping[str, Any]) -> Any:
    """Return the arguments as JSON; the API says what is wrong with a handler that does not exist."""
    return handlers[name].input.write(arguments) if name in handlers else dict(arguments)
