"""Finding executions, runs and deployments."""

from dataclasses import replace

from levante_core.domain.execution import Execution
from levante_core.domain.names import DeploymentName, ExecutionId, RunId, Workspace
from levante_core.domain.transitions import ExecutionStatus
from levante_core.errors import NotFound, NotRunning
from levante_core.ports.item_store import ItemStore
from levante_core.records import keys
from levante_core.records.catalogue import Deployment, deployment_of
from levante_core.records.runs import RunSummary, execution_of, summary_of
from levante_core.services.reading import read_index


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
    execution = find_execution(store, workspace, execution_of_run(store, workspace, run_id))
    if execution.key.run_id == run_id:
        return execution
    item = store.get(keys.earlier_run(replace(execution.key, run_id=RunId(run_id))))
    if item is None:
        raise NotFound(f"no run has the id {run_id!r}")
    return execution_of(item)
