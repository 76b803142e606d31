"""Events of custom tasks that come from outside of activities: taken for open executions, each once by its id."""

from collections.abc import Sequence
from dataclasses import dataclass

from levante_core.domain.executions.execution import Execution, RunKey
from levante_core.domain.names import ExecutionId, Workspace
from levante_core.domain.streams.events import OutsideTask, update_from_outside
from levante_core.errors import InvalidInput, NotFound, Unavailable
from levante_core.ports.item_store import Absent, Check, ConditionFailed, Item, ItemStore, Put
from levante_core.services.conflicts import Conflicts
from levante_core.services.executions.lookup import find_open_execution
from levante_core.services.streams.publish import StreamService
from levante_core.storage import keys, streams
from levante_core.storage.runs import open_run

EVENTS_AT_ONCE = 45
"""Events of one write: each has a mark of its id, and maybe an execution of its own, and a transaction takes 100 items."""


@dataclass(frozen=True, slots=True)
class OutsideEvent:
    """What a program outside publishes of an execution's run, and what it says of it besides.

    where: its place in the request, for what is wrong with it.
    """

    where: tuple[str | int, ...]
    execution_id: str
    run_id: str
    root_execution_id: str
    parent_execution_id: str | None
    workflow_name: str
    task: OutsideTask


class OutsideEventService:
    """Adds to streams what others than activities publish."""

    def __init__(self, store: ItemStore, all_streams: StreamService, conflicts: Conflicts) -> None:
        self._store = store
        self._conflicts = conflicts
        self._streams = all_streams

    def append(self, workspace: Workspace, events: Sequence[OutsideEvent]) -> None:
        """Add events to the streams of their executions, in order, after what is recorded by now.

        Those whose ids are there already change nothing.

        What is refused is refused as a whole; only an execution that ends meanwhile leaves those before its end.
        Raises: NotFound, NotRunning, InvalidInput, Unavailable. Cost: a read for each execution; a query and a transaction
        for every EVENTS_AT_ONCE of a stream, and those of `publish` for each.
        """
        executions = {
            execution_id: self._open(workspace, execution_id)
            for execution_id in dict.fromkeys(event.execution_id for event in events)
        }
        for event in events:
            _check(event, executions[event.execution_id])
        by_root: dict[ExecutionId, dict[str, OutsideEvent]] = {}
        for event in events:
            by_root.setdefault(executions[event.execution_id].root_execution_id, {}).setdefault(event.task.event_id, event)
        for root, by_id in by_root.items():
            self._streams.publish(workspace, root)
            updates = list(by_id.values())
            for start in range(0, len(updates), EVENTS_AT_ONCE):
                self._append(workspace, root, updates[start : start + EVENTS_AT_ONCE], executions)

    def _append(
        self, workspace: Workspace, root: ExecutionId, events: Sequence[OutsideEvent], executions: dict[str, Execution]
    ) -> None:
        """Add events of one stream at its next places, but for those whose ids are marked."""
        fresh = list(events)
        for _ in self._conflicts.attempts():
            if not fresh:
                return
            place = self._streams.next(workspace, root)
            updates = [update_from_outside(executions[event.execution_id], event.task) for event in fresh]
            runs = [executions[execution_id].key for execution_id in dict.fromkeys(event.execution_id for event in fresh)]
            marks = [Put(Item(keys.stream_event_id(workspace, root, event.task.event_id), {}), Absent()) for event in fresh]
            open_runs = [_check_of(run) for run in runs]
            try:
                self._store.write(Put(streams.events_item(workspace, root, place, updates), Absent()), *open_runs, *marks)
            except ConditionFailed as refused:
                for position in refused.failed:
                    if 0 < position <= len(runs):
                        self._refuse(workspace, runs[position - 1])
                known = {position - 1 - len(runs) for position in refused.failed}
                fresh = [event for number, event in enumerate(fresh) if number not in known]
            else:
                return
        raise Unavailable(f"the events of execution {root!r} come too fast to be published: try again")

    def _open(self, workspace: Workspace, execution_id: str) -> Execution:
        return find_open_execution(self._store, workspace, execution_id)

    def _refuse(self, workspace: Workspace, run: RunKey) -> None:
        """Say why a run takes nothing any more."""
        self._open(workspace, run.execution_id)
        raise NotFound(f"execution {run.execution_id!r} has no open run {run.run_id!r}")


def _check_of(run: RunKey) -> Check:
    return Check(keys.execution(run.workspace, run.execution_id), open_run(run))


def _check(event: OutsideEvent, execution: Execution) -> None:
    """Refuse what contradicts the execution. Raises: NotFound, InvalidInput."""
    if event.run_id != execution.key.run_id:
        raise NotFound(f"execution {event.execution_id!r} has no open run {event.run_id!r}")
    fields = {
        "root_workflow_exec_id": (event.root_execution_id, execution.root_execution_id),
        "parent_workflow_exec_id": (event.parent_execution_id, execution.parent_execution_id),
        "workflow_name": (event.workflow_name, execution.start.workflow_name),
    }
    problems = [
        {"loc": [*event.where, name], "msg": f"execution {event.execution_id!r} has another one", "type": "value_error"}
        for name, (named, recorded) in fields.items()
        if named != recorded
    ]
    if problems:
        raise InvalidInput(problems)
