"""Traces: what is recorded of executions, as spans."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from levante_core.domain.executions.execution import Execution
from levante_core.domain.names import Workspace
from levante_core.domain.observability.spans import Span, spans, trace_id
from levante_core.ports.item_store import ItemStore, Query
from levante_core.services.executions.lookup import execution_if_any, find_execution, find_run
from levante_core.services.history.loading import read_all, read_history
from levante_core.services.history.showing import shown
from levante_core.storage import keys
from levante_core.storage.attempts import failed_attempts


@dataclass(frozen=True, slots=True)
class Trace:
    """The spans of a run, the one that holds all others first. trace_id: of all executions that one call has led to."""

    execution: Execution
    trace_id: str
    spans: Sequence[Span]


class TraceService:
    """The traces of all executions."""

    def __init__(self, store: ItemStore) -> None:
        self._store = store

    def of(self, workspace: Workspace, execution_id: str) -> Trace:
        """Make the spans of an execution's latest run. Raises: NotFound. Cost: reads its history, and two items."""
        return self._of(find_execution(self._store, workspace, execution_id))

    def of_run(self, workspace: Workspace, run_id: str) -> Trace:
        """Make the spans of one run. Raises: NotFound. Cost: as `of`."""
        return self._of(find_run(self._store, workspace, run_id))

    def ids(self, workspace: Workspace, execution_ids: Iterable[str]) -> dict[str, str]:
        """Return the trace ids of those executions that there are. Cost: a read or two for each."""
        executions = (execution_if_any(self._store, workspace, execution_id) for execution_id in execution_ids)
        return {execution.key.execution_id: self.trace_id(execution) for execution in executions if execution}

    def trace_id(self, execution: Execution) -> str:
        """Return the id of the trace that an execution belongs to. Cost: a read for one with a parent."""
        if execution.parent is None:
            return trace_id(execution)
        root = execution_if_any(self._store, execution.key.workspace, execution.root_execution_id)
        return trace_id(root or execution)

    def _of(self, execution: Execution) -> Trace:
        run = execution.key
        partition = keys.history(run.workspace, run.run_id)
        first, last = keys.prefixed(keys.ATTEMPT)
        attempts = read_all(self._store, Query(partition, first=first, last=last))
        failed = [failed for item in attempts for failed in failed_attempts(item)]
        events = shown(read_history(self._store, run))
        return Trace(execution, self.trace_id(execution), spans(execution, events, failed))
