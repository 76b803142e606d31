"""Parents and children on an engine that is driven by hand."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from levante_core.domain.dispatch.plan import ChildEffect, Record, StartChild, plan
from levante_core.domain.executions.execution import Execution, Parent, RunKey
from levante_core.domain.history.events import ChildScheduled, ParentClosePolicy
from levante_core.domain.names import DeploymentName, ExecutionId, RunId
from levante_core.ports.item_store import Query
from levante_core.protocol import HandlerSpec, WorkflowSpec
from levante_core.protocol.workers import CommitOutcome, RegisterRequest
from levante_core.services.executions.start import StartRequest
from levante_core.services.history.loading import read_all
from levante_core.storage import keys
from levante_core.storage.changes import records_of
from levante_core.storage.runs import summary_of
from tests.support.place import DEPLOYMENT, HOUR, POOL, SPACE, Place

PARENT, CHILD = ExecutionId("p"), ExecutionId("c")
OBJECT = {"type": "object"}


def child_scheduled(seq: int = 1, execution_id: str = CHILD, **more: Any) -> ChildScheduled:
    """Ask for a child, which is terminated when its parent ends first."""
    given = {"workflow_name": "child", "input": {"x": 1}, "close_policy": ParentClosePolicy.TERMINATE, **more}
    return ChildScheduled(seq=seq, execution_id=ExecutionId(execution_id), **given)


def serve_children(place: Place, deployment: str = DEPLOYMENT, name: str = "child") -> None:
    """Let a deployment serve a workflow that takes objects, and a signal and an update that do."""
    handler = HandlerSpec(name="h", input_schema=OBJECT)
    spec = WorkflowSpec(
        name=name, task_queue=deployment, input_schema=OBJECT, execution_timeout=HOUR, signals=(handler,), updates=(handler,)
    )
    request = RegisterRequest(definitions=(spec,), deployment_name=DeploymentName(deployment), worker_name="w")
    place.engine.catalogue.register(SPACE, request)


def parent_of(place: Place, *children: ChildScheduled, execution_id: str = PARENT) -> RunKey:
    """Start an execution that asks for these children, in a batch whose effects are still to be carried out."""
    run = place.start(execution_id=execution_id, user_id="somebody")
    serve_children(place)
    if children:
        assert place.commit(run, 1, *children) is CommitOutcome.RECORDED
    return run


def carry_out(place: Place, *effects: ChildEffect) -> None:
    """Carry out effects, as the change feed does."""
    place.engine.effects.carry_out(effects)


def start_child(place: Place, parent: RunKey, scheduled: ChildScheduled) -> RunKey:
    """Carry out what starts a child; return the latest run of its execution."""
    carry_out(place, StartChild(parent, POOL, scheduled))
    return latest(place, scheduled.execution_id).key


def latest(place: Place, execution_id: str = CHILD) -> Execution:
    """Return an execution with its latest run."""
    return place.engine.executions.get(SPACE, execution_id)


def strangers(place: Place, parent: RunKey) -> Iterator[str]:
    """Let executions take the id CHILD, one after the other, that are not child 1 of this run; say which each is."""
    other = parent_of(place, execution_id="p2")
    of = {
        "nobody's child": None,
        "another command's": Parent(parent.execution_id, parent.run_id, POOL, 2),
        "another run's": Parent(parent.execution_id, RunId("earlier"), POOL, 1),
        "another parent's": Parent(other.execution_id, parent.run_id, POOL, 1),
    }
    for stranger, above in of.items():
        if above is None:
            place.engine.executions.start(SPACE, "child", StartRequest(execution_id=CHILD, input={}))
        else:
            place.engine.executions.start_child(SPACE, above, child_scheduled(above.seq))
        yield stranger
        place.engine.closing.terminate(SPACE, CHILD)


def runs_of(place: Place, execution_id: str = CHILD) -> list[str]:
    """Return the ids of all runs of an execution."""
    items = read_all(place.store, Query(SPACE, index=keys.RUNS))
    return [run.key.run_id for run in map(summary_of, items) if run.key.execution_id == execution_id]


def inputs_of(place: Place, run: RunKey) -> list[Any]:
    """Return the inputs that are recorded for a run, those that it has not taken too."""
    return [fact.input for fact in place.load(run).facts]


def new_records(place: Place) -> list[Record]:
    """Take the changes that the feed has, and return what they mean."""
    records: list[Record] = []
    while changes := place.store.read_changes(None, 100):
        records += [record for change in changes for record in records_of(change)]
        place.store.acknowledge_changes(changes[-1].sequence)
    return records


def deal_with_changes(place: Place) -> None:
    """Carry out all that the feed asks for, and what comes of that."""
    while records := new_records(place):
        for record in records:
            place.engine.effects.carry_out(plan(record))


def expire(place: Place, seconds: float = timedelta(days=31).total_seconds()) -> None:
    """Let the time of all that has ended pass, and delete it."""
    place.clock.advance(seconds)
    while place.store.delete_expired(place.clock.now(), 100):
        deal_with_changes(place)
