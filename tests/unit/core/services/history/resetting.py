"""Executions on an engine that is driven by hand, and what is known of their runs, for tests of resets."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from levante_core.domain.executions.execution import Execution, RunKey
from levante_core.domain.names import ExecutionId
from levante_core.errors import ResultNotReady
from levante_core.ports.item_store import ItemStore, Query
from levante_core.protocol import HandlerSpec, WorkflowSpec
from levante_core.protocol.workers import RegisterRequest
from levante_core.services.executions.reset import ResetRequest, ResetService
from levante_core.storage import keys
from levante_core.storage.runs import execution_of
from tests.support.faults import OvertakenStore
from tests.support.place import DEPLOYMENT, HOUR, RETENTION, SPACE, Place

EXECUTION = ExecutionId("e")


def begun(place: Place) -> RunKey:
    """Start an execution that takes a signal and an update, with nothing in its queues."""
    run = place.start(execution_id=EXECUTION)
    handler = HandlerSpec(name="h", input_schema={})
    spec = WorkflowSpec(
        name="w", task_queue="d", input_schema={}, execution_timeout=HOUR, signals=(handler,), updates=(handler,)
    )
    place.engine.catalogue.register(SPACE, RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w"))
    place.lose_messages()
    return run


def signal(place: Place, value: Any) -> None:
    """Send the execution a signal."""
    place.engine.messages.signal(SPACE, EXECUTION, "h", value)


def update(place: Place, value: Any) -> None:
    """Send the execution an update that nobody answers yet."""
    with suppress(ResultNotReady):
        place.engine.messages.update(SPACE, EXECUTION, "h", value, 0)


def reset(place: Place, event_id: int, **more: Any) -> Execution:
    """Go on from an event; return the execution with the new run."""
    place.engine.resets.reset(SPACE, EXECUTION, ResetRequest(event_id, **more))
    return latest(place)


def latest(place: Place) -> Execution:
    """Return the execution with its latest run."""
    return place.engine.executions.get(SPACE, EXECUTION)


def earlier(place: Place, run: RunKey) -> Execution:
    """Return the execution as an earlier run of it stands."""
    item = place.store.get(keys.earlier_run(run))
    assert item is not None, "it is not an earlier run"
    return execution_of(item)


def earlier_runs(place: Place) -> list[str]:
    """Return the ids of the earlier runs."""
    first, last = keys.prefixed(keys.EARLIER_RUN)
    items = place.store.query(Query(keys.execution(SPACE, EXECUTION).partition, first=first, last=last)).items
    return [execution_of(item).key.run_id for item in items]


def messages_of(place: Place, run: RunKey) -> list[tuple[int, Any]]:
    """Return the numbers and values of what was sent to a run; None for a request to cancel."""
    inputs = [fact.input for fact in place.load(run).facts if fact.key.startswith("M")]
    return [
        (taken_until.number, taken_until.model_dump().get("input"))
        for taken_until in inputs
        if hasattr(taken_until, "number")
    ]


def overtaken(place: Place, act: Callable[[], object], retention: timedelta | None = RETENTION) -> ResetService:
    """Make resets between whose reading and writing somebody else acts, once."""
    return resets_on(place, OvertakenStore(place.engine.streams._store, act), retention)


def resets_on(place: Place, store: ItemStore, retention: timedelta | None = RETENTION) -> ResetService:
    """Make resets that write to another store."""
    engine = place.engine
    return ResetService(
        store,
        place.clock,
        engine.executions._ids,
        effects=engine.effects,
        builds=engine.builds,
        conflicts=place.conflicts,
        retention=retention,
    )
