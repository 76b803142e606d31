"""Finding executions, runs and deployments."""

from itertools import islice

from levante_core.domain.executions.execution import Execution, RunKey
from levante_core.domain.executions.run_ids import started_at_of
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import DeploymentName, ExecutionId, RunId, Workspace
from levante_core.errors import NotFound, NotRunning
from levante_core.ports.item_store import Item, ItemStore, Query
from levante_core.services.history.loading import read_all
from levante_core.storage import keys
from levante_core.storage.catalogue import Deployment, Worker, deployment_of, worker_of
from levante_core.storage.decoding import readable
from levante_core.storage.runs import RunSummary, execution_id_of, execution_of, run_id_of, summary_of

OPEN_RUNS_LOOKED_AT = 1_000
WORKERS_AT_ONCE = 500
MOST_WORKERS = 5_000
"""Workers of a deployment that are read at once; those beyond are not shown, and not counted."""


def find_summary(store: ItemStore, workspace: Workspace, execution_id: str) -> RunSummary:
    """Return what is known of an execution's latest run but for its input and result. Raises: NotFound. Cost: one read."""
    summary = summary_if_any(store, workspace, execution_id)
    if summary is None:
        raise NotFound(f"no execution has the id {execution_id!r}")
    return summary


def summary_if_any(store: ItemStore, workspace: Workspace, execution_id: str) -> RunSummary | None:
    """Return what is known of an execution's latest run but for its input and result, if there is one. Cost: one read."""
    item = store.get(keys.execution(workspace, ExecutionId(execution_id)))
    return summary_of(item) if item else None


def find_execution(store: ItemStore, workspace: Workspace, execution_id: str) -> Execution:
    """Return an execution with its latest run. Raises: NotFound. Cost: one read."""
    execution = execution_if_any(store, workspace, execution_id)
    if execution is None:
        raise NotFound(f"no execution has the id {execution_id!r}")
    return execution


def find_open_execution(store: ItemStore, workspace: Workspace, execution_id: str) -> Execution:
    """Return an execution whose latest run goes on. Raises: NotFound, NotRunning. Cost: one read."""
    execution = find_execution(store, workspace, execution_id)
    if not execution.is_open:
        raise _not_running(execution_id, execution.status)
    return execution


def find_open_run(store: ItemStore, workspace: Workspace, execution_id: str) -> RunSummary:
    """Return an execution's latest run, which goes on. Raises: NotFound, NotRunning. Cost: one read."""
    run = find_summary(store, workspace, execution_id)
    if not run.is_open:
        raise _not_running(execution_id, run.status)
    return run


def _not_running(execution_id: str, status: ExecutionStatus) -> NotRunning:
    return NotRunning(f"execution {execution_id!r} is not running: it is {status.value}", status.value)


def execution_if_any(store: ItemStore, workspace: Workspace, execution_id: str) -> Execution | None:
    """Return an execution with its latest run, if there is one. Cost: one read."""
    item = store.get(keys.execution(workspace, ExecutionId(execution_id)))
    return execution_of(item) if item else None


def find_deployment(store: ItemStore, workspace: Workspace, name: DeploymentName) -> Deployment:
    """Return a deployment. Raises: NotFound. Cost: one read."""
    item = store.get(keys.deployment(workspace, name))
    if item is None:
        raise NotFound(f"no deployment has the name {name!r}")
    return deployment_of(item)


def execution_of_run(store: ItemStore, workspace: Workspace, run_id: str) -> ExecutionId:
    """Return the execution that a run belongs to. Raises: NotFound.

    Cost: two queries at most, however many runs there are. The id of a run that starts an execution says where it is
    listed; any other run has a pointer in its history, or a batch. A run from before there were such ids and pointers,
    of which nothing is recorded, is looked for among so many open runs as one query returns.
    """
    execution_id = _listed_under(store, workspace, RunId(run_id)) or _recorded_of(store, workspace, RunId(run_id))
    if execution_id is None:
        raise NotFound(f"no run has the id {run_id!r}")
    return execution_id


def _listed_under(store: ItemStore, workspace: Workspace, run_id: RunId) -> ExecutionId | None:
    """Return the execution of a run whose id says when it started, once the index has it."""
    started_at = started_at_of(run_id)
    if started_at is None:
        return None
    place = keys.listed_run(started_at, run_id)
    page = store.query(Query(workspace, index=keys.RUNS, first=place, last=place, limit=1))
    return execution_id_of(page.items[0]) if page.items else None


def _recorded_of(store: ItemStore, workspace: Workspace, run_id: RunId) -> ExecutionId | None:
    """Return the execution that the history of a run names, or for ids without a time the open run itself."""
    last = keys.prefixed(keys.BATCH)[1]
    page = store.query(Query(keys.history(workspace, run_id), first=keys.EXECUTION_OF_RUN, last=last, limit=1))
    if page.items:
        return execution_id_of(page.items[0])
    if started_at_of(run_id):
        return None
    page = store.query(Query(keys.open_runs(keys.shard(run_id)), index=keys.DUE, limit=OPEN_RUNS_LOOKED_AT))
    runs = readable(page.items, summary_of)
    return next((run.key.execution_id for run in runs if (run.key.workspace, run.key.run_id) == (workspace, run_id)), None)


def find_run(store: ItemStore, workspace: Workspace, run_id: str) -> Execution:
    """Return an execution as one of its runs stands. Raises: NotFound.

    Cost: as `execution_of_run`, and a read; two where it is an earlier run.
    """
    return execution_of(find_run_item(store, workspace, run_id))


def find_run_item(store: ItemStore, workspace: Workspace, run_id: str) -> Item:
    """Return the item of a run. Raises: NotFound. Cost: as `find_run`."""
    execution_id = execution_of_run(store, workspace, run_id)
    item = run_item_if_any(store, RunKey(workspace, execution_id, RunId(run_id)))
    if item is None:
        raise NotFound(f"no run has the id {run_id!r}")
    return item


def run_item_if_any(store: ItemStore, run: RunKey) -> Item | None:
    """Return the item of a run, if there is one. Cost: one read, two for an earlier run."""
    item = store.get(keys.execution(run.workspace, run.execution_id))
    if item and run_id_of(item) != run.run_id:
        item = store.get(keys.earlier_run(run))
    return item


def find_workers(store: ItemStore, workspace: Workspace, deployment: DeploymentName) -> list[Worker]:
    """Return a deployment's workers, those too that are gone for a while: MOST_WORKERS of them. Cost: a query per 500."""
    first, last = keys.prefixed(keys.WORKER)
    items = read_all(
        store, Query(keys.deployment(workspace, deployment).partition, first=first, last=last, limit=WORKERS_AT_ONCE)
    )
    return list(readable(islice(items, MOST_WORKERS), worker_of))
