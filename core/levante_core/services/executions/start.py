"""Starting executions, waiting for them, and reading what became of them."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from pydantic_core import to_json

from levante_core.domain import names
from levante_core.domain.catalogue.routing import choose
from levante_core.domain.dispatch.plan import RunStarted
from levante_core.domain.executions.execution import NO_TRACING, Ending, Execution, Parent, RunKey, RunStart, Tracing
from levante_core.domain.executions.run_ids import new_run_id
from levante_core.domain.frozen import Json, wire_time
from levante_core.domain.history.events import ChildScheduled
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import DeploymentName, ExecutionId, WorkflowName, Workspace
from levante_core.domain.payloads import is_encoded, problem_with
from levante_core.errors import AlreadyRunning, InvalidInput, NotApplicable, NotFound, ResultNotReady
from levante_core.ports.item_store import AFTER_ALL, Absent, ConditionFailed, Item, ItemStore, Page, Put, Query
from levante_core.ports.surroundings import ChangeWatch, Clock, Ids
from levante_core.protocol.specs import JsonSchema
from levante_core.services.catalogue.register import CatalogueService, Entry
from levante_core.services.dispatch.sender import Dispatch
from levante_core.services.executions.lookup import execution_of_run, find_execution, find_run_item, run_item_if_any
from levante_core.services.executions.run_filter import RunFilter
from levante_core.services.history.loading import read_all
from levante_core.services.messages.input_validation import InputChecks
from levante_core.services.paging import Budget, scan
from levante_core.storage import keys
from levante_core.storage.catalogue import Registration
from levante_core.storage.decoding import readable
from levante_core.storage.runs import (
    RunSummary,
    as_earlier_run,
    closed_run,
    ending_of,
    execution_item,
    execution_of,
    is_open,
    run_id_of,
    summary_of,
)

RUNS_AT_ONCE = 500
MOST_TRACING_BYTES = 16 * 1024
"""Of what a caller gives for tracing, as JSON."""
NEWEST_RUNS = 1_000
"""Of a workflow, where it is asked whether one has a certain status."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What a caller asks to be started. user_id: of its API key. is_id_new: whether the id may not have been used before."""

    input: Json = None
    execution_id: str | None = None
    deployment_name: str | None = None
    tracing: Tracing = NO_TRACING
    user_id: str | None = None
    is_id_new: bool = False


@dataclass(frozen=True, slots=True)
class RunsPage:
    """Runs in order; next_token is None after the last one."""

    runs: tuple[RunSummary, ...]
    next_token: str | None


class ExecutionService:
    """The executions of all workspaces."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        ids: Ids,
        watch: ChangeWatch,
        *,
        dispatch: Dispatch,
        catalogue: CatalogueService,
        inputs: InputChecks,
        is_traced: bool,
    ) -> None:
        """is_traced: whether the traces of runs are exported."""
        self._store = store
        self._clock = clock
        self._ids = ids
        self._watch = watch
        self._dispatch = dispatch
        self._catalogue = catalogue
        self._inputs = inputs
        self._is_traced = is_traced

    def start(self, workspace: Workspace, workflow: str, request: StartRequest) -> Execution:
        """Start an execution; it is durable on return.

        workflow: a name or an id. Raises: NotFound, AmbiguousWorkflow, InvalidInput, AlreadyRunning.
        Cost: one query, one write; one more read and a transaction where the id was used before.
        """
        return self._start(workspace, self._catalogue.get(workspace, workflow), request)

    def rerun(self, workspace: Workspace, execution_id: str, request: StartRequest) -> Execution:
        """Start an execution with the workflow, deployment, attributes and, unless another is given, the input of this one.

        The input is that of its first run, where it continued as new, as long as that is kept. Raises: NotApplicable for an
        input that is encoded for its own id alone; as `start`. Cost: as `start`, and a read or two.
        """
        if request.execution_id is not None:
            names.execution_id(request.execution_id)
        old = self.get(workspace, execution_id)
        value = request.input
        if value is None:
            value = self._first_run(old).start.input
            if is_encoded(value) and request.execution_id != execution_id:
                problem = f"the input of execution {execution_id!r} is encoded for that id alone"
                raise NotApplicable(f"{problem}: give an input, or rerun it under the same id once it has ended")
        tracing = old.tracing.model_copy(update={"traceparent": None, "is_exported": False})
        deployment = old.pool.deployment
        return self.start(
            workspace, old.workflow_name, replace(request, input=value, deployment_name=deployment, tracing=tracing)
        )

    def _first_run(self, execution: Execution) -> Execution:
        run_id = execution.start.first_run_id
        item = run_item_if_any(self._store, replace(execution.key, run_id=run_id)) if run_id else None
        return execution_of(item) if item else execution

    def start_registration(self, workspace: Workspace, registration_id: str, request: StartRequest) -> Execution:
        """Start an execution of exactly this registration. Raises: as `start`."""
        workflow, registration = self._catalogue.get_registration(workspace, registration_id)
        return self._start(workspace, Entry(workflow, (registration,)), request)

    def scheduled(
        self,
        workspace: Workspace,
        workflow: WorkflowName,
        deployment: DeploymentName | None,
        value: Json,
        *,
        execution_id: ExecutionId,
        schedule_id: str,
        user_id: str | None,
    ) -> Execution:
        """Make an execution for a schedule, which writes it. Raises: NotFound, AmbiguousWorkflow, InvalidInput."""
        request = StartRequest(input=value, execution_id=execution_id, deployment_name=deployment, user_id=user_id)
        execution = self._made(workspace, self._catalogue.get(workspace, workflow), request)
        return replace(execution, start=execution.start.model_copy(update={"schedule_id": schedule_id}))

    def check_input(self, schema: JsonSchema, value: Json, *, name: str | None = None) -> None:
        """Refuse what no execution could be started with. Raises: InvalidInput. name: tells the schema from all others."""
        _, problem = problem_with("the input", value)
        if problem:
            raise InvalidInput.at(("body", "input"), problem)
        name = name or hashlib.sha256(to_json(schema)).hexdigest()
        self._inputs.check(schema, value, name=name, at=("body", "input"))

    def start_child(self, workspace: Workspace, parent: Parent, child: ChildScheduled) -> Execution:
        """Start a child, in the parent's deployment and build if that serves the workflow. Raises: as `start`."""
        execution_id = names.execution_id(child.execution_id)
        above = self.get(workspace, parent.execution_id)
        entry = self._catalogue.get(workspace, child.workflow_name)
        owners = self._catalogue.owners(workspace, entry)
        home = parent.pool.deployment
        is_at_home = any(owner.deployment_name == home for owner in owners)
        now = self._clock.now()
        deployment = choose(entry.workflow.name, owners, home if is_at_home else None, now)
        registration = next(
            registration for registration in entry.registrations if registration.deployment_name == deployment
        )
        request = StartRequest(input=child.input, user_id=above.user_id)
        execution = self._new(workspace, execution_id, registration, request, now)
        start = execution.start
        if child.timeout_seconds:
            start = start.model_copy(update={"deadline_at": now + timedelta(seconds=child.timeout_seconds)})
        execution = replace(execution, start=start, root_execution_id=above.root_execution_id, parent=parent)
        if is_at_home:
            execution = replace(execution, pool=parent.pool)
        self._put(execution)
        self._dispatch.dispatch_now([RunStarted(execution.key, execution.pool, execution.start)])
        return execution

    def deployment_of(self, run: RunKey) -> DeploymentName | None:
        """Return the deployment of a run; None if there is no such run. Cost: one read, two for an earlier run."""
        item = run_item_if_any(self._store, run)
        return summary_of(item).pool.deployment if item else None

    def _start(self, workspace: Workspace, entry: Entry, request: StartRequest) -> Execution:
        execution = self._made(workspace, entry, request)
        self._put(execution, is_id_new=request.is_id_new)
        self._dispatch.dispatch_now([RunStarted(execution.key, execution.pool, execution.start)])
        return execution

    def _made(self, workspace: Workspace, entry: Entry, request: StartRequest) -> Execution:
        execution_id = names.execution_id(request.execution_id or self._ids.uuid().replace("-", ""))
        wanted = names.deployment_name(request.deployment_name) if request.deployment_name else None
        now = self._clock.now()
        deployment = choose(entry.workflow.name, self._catalogue.owners(workspace, entry), wanted, now)
        registration = next(
            registration for registration in entry.registrations if registration.deployment_name == deployment
        )
        return self._new(workspace, execution_id, registration, request, now)

    def get(self, workspace: Workspace, execution_id: str) -> Execution:
        """Return an execution with its latest run. Raises: NotFound."""
        return find_execution(self._store, workspace, execution_id)

    def status(self, workspace: Workspace, execution_id: str) -> tuple[RunSummary, Ending | None]:
        """Return how an execution's latest run stands, without its input. Raises: NotFound. Cost: one read."""
        item = self._store.get(keys.execution(workspace, ExecutionId(execution_id)))
        if item is None:
            raise NotFound(f"no execution has the id {execution_id!r}")
        return summary_of(item), ending_of(item)

    def wait(self, workspace: Workspace, execution_id: str, seconds: float) -> Execution:
        """Return the execution once it is closed. Raises: NotFound; ResultNotReady when the time is over."""
        deadline = self._clock.now() + timedelta(seconds=seconds)
        with self._watch.watch(keys.execution(workspace, ExecutionId(execution_id)).partition) as watched:
            execution = self.get(workspace, execution_id)
            while execution.is_open:
                left = (deadline - self._clock.now()).total_seconds()
                if left <= 0:
                    raise ResultNotReady(
                        f"execution {execution_id!r} is still running after {seconds:g} s; it goes on: ask for it again"
                    )
                watched.wait(left)
                execution = self.get(workspace, execution_id)
        return execution

    def execution_of_run(self, workspace: Workspace, run_id: str) -> ExecutionId:
        """Return the execution that a run belongs to. Raises: NotFound. Cost: two reads at most, see `finding`."""
        return execution_of_run(self._store, workspace, run_id)

    def get_run(self, workspace: Workspace, run_id: str) -> tuple[RunSummary, Ending | None]:
        """Return how one of an execution's runs stands, without its input. Raises: NotFound. Cost: as `find_run`."""
        item = find_run_item(self._store, workspace, run_id)
        return summary_of(item), ending_of(item)

    def has_run(
        self, workspace: Workspace, workflow: WorkflowName, statuses: Collection[ExecutionStatus], budget: Budget
    ) -> bool:
        """Tell whether one of the newest runs of a workflow, current or earlier, has one of these statuses.

        Cost: index queries over its runs, the newest first, until one has; over NEWEST_RUNS of them at most.
        """
        if not statuses:
            return False
        partition = f"{workspace}#{workflow}"
        at_once = min(RUNS_AT_ONCE, NEWEST_RUNS)
        items = read_all(self._store, Query(partition, index=keys.RUNS_BY_WORKFLOW, descending=True, limit=at_once))
        for run in readable(islice(items, NEWEST_RUNS), summary_of):
            budget.spend()
            if run.status in statuses:
                return True
        return False

    def list_runs(
        self,
        workspace: Workspace,
        *,
        workflow: str | None,
        wanted: RunFilter,
        descending: bool,
        page_size: int,
        after: str | None,
        budget: Budget | None = None,
    ) -> RunsPage:
        """List the runs that are wanted by start time. A page before the last one is full unless the budget is spent.

        Cost: index queries until the page is full, over the runs that have started between the times wanted: see `scan`.
        """
        index, partition = keys.RUNS, str(workspace)
        if workflow is not None:
            name = self._catalogue.get(workspace, workflow).workflow.name
            index, partition = keys.RUNS_BY_WORKFLOW, f"{workspace}#{name}"
        first = wire_time(wanted.started_after) if wanted.started_after else ""
        last = wire_time(wanted.started_before) if wanted.started_before else AFTER_ALL
        query = Query(partition, index=index, first=first, last=last, descending=descending)

        def keep(item: Item) -> RunSummary | None:
            run = summary_of(item)
            return run if wanted.matches(run) else None

        def fetch(limit: int, place: str | None) -> Page:
            return self._store.query(replace(query, limit=limit, after=place))

        runs, token = scan(fetch, keep, page_size, after, budget)
        return RunsPage(tuple(runs), token)

    def _new(
        self,
        workspace: Workspace,
        execution_id: ExecutionId,
        registration: Registration,
        request: StartRequest,
        now: datetime,
    ) -> Execution:
        spec = registration.spec
        if spec is None:
            raise NotFound(f"registration {registration.registration_id} has no definition")
        registered = f"{registration.registration_id}@{wire_time(registration.registered_at)}"
        self.check_input(spec.input_schema, request.input, name=registered)
        if len(request.tracing.model_dump_json(exclude_defaults=True).encode()) > MOST_TRACING_BYTES:
            raise InvalidInput.at(
                ("body", "extensions"),
                f"extensions, custom_tracing_attributes and traceparent have more than {MOST_TRACING_BYTES:,} bytes "
                "together: send less",
            )
        start = RunStart(
            workflow_name=registration.workflow_name,
            input=request.input,
            started_at=now,
            deadline_at=now + spec.execution_timeout,
        )
        return Execution(
            key=RunKey(workspace, execution_id, new_run_id(now, self._ids.uuid())),
            workflow_id=registration.workflow_id,
            pool=self._catalogue.route(registration),
            start=start,
            root_execution_id=execution_id,
            user_id=request.user_id,
            tracing=request.tracing.model_copy(update={"is_exported": self._is_traced}),
        )

    def _put(self, execution: Execution, *, is_id_new: bool = False) -> None:
        """Take the id: it is free or, unless it has to be new, its last run is closed and becomes an earlier run."""
        item = execution_item(execution)
        try:
            self._store.write(Put(item, Absent()))
        except ConditionFailed as refused:
            existing = refused.existing[0]
            if existing is None or is_id_new or is_open(existing):
                raise _taken(execution) from None
        else:
            return
        try:
            self._store.write(Put(item, closed_run(run_id_of(existing))), Put(as_earlier_run(existing), Absent()))
        except ConditionFailed:
            raise _taken(execution) from None


def _taken(execution: Execution) -> AlreadyRunning:
    return AlreadyRunning(
        f"execution {execution.key.execution_id!r} is already running: wait for it to close, or use another execution_id"
    )
