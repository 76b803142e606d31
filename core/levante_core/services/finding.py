"""Finding executions, runs and deployments."""

from levante_core.domain.execution import Execution, RunKey
from levante_core.domain.names import DeploymentName, ExecutionId, RunId, Workspace
from levante_core.errors import NotFound, NotRunning
from levante_core.ports.item_store import ItemStore
from levante_core.records import keys
from levante_core.records.catalogue import Deployment, deployment_of
from levante_core.records.runs import execution_of, summary_of
from levante_core.services.reading import read_index


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
        status = execution.status.value
        raise NotRunning(f"execution {execution_id!r} is not running: it is {status}", status)
    return execution


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

    Cost: one query; where nothing is recorded of the run yet, queries over a quarter of the open runs.
    """
    first, last = keys.prefixed(keys.BATCH)
    page = store.query(keys.history(workspace, RunId(run_id)), first=first, last=last, limit=1)
    if page.items:
        return ExecutionId(str(page.items[0].attributes["execution_id"]))
    for run in map(summary_of, read_index(store, keys.DUE, keys.open_runs(keys.shard(run_id)))):
        if (run.key.workspace, run.key.run_id) == (workspace, run_id):
            return run.key.execution_id
    raise NotFound(f"no run has the id {run_id!r}")


def find_run(store: ItemStore, workspace: Workspace, run_id: str) -> Execution:
    """Return an execution as one of its runs stands. Raises: NotFound. Cost: as `execution_of_run`, and a read or two."""
    execution_id = execution_of_run(store, workspace, run_id)
    run = run_if_any(store, RunKey(workspace, execution_id, RunId(run_id)))
    if run is None:
        raise NotFound(f"no run has the id {run_id!r}")
    return run


def run_if_any(store: ItemStore, run: RunKey) -> Execution | None:
    """Return an execution as one of its runs stands, if it has that run. Cost: one read, two for an earlier run."""
    latest = execution_if_any(store, run.workspace, run.execution_id)
    if latest is None or latest.key == run:
        return latest
    item = store.get(keys.earlier_run(run))
    return execution_of(item) if item else None
