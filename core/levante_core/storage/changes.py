"""The change feed: what a change of the table means for the work."""

from collections.abc import Callable, Iterator, Mapping

from levante_core.domain.dispatch.plan import (
    BatchAppended,
    FactRecorded,
    PayloadsExpired,
    Record,
    RunClosed,
    RunExpired,
    RunStarted,
)
from levante_core.domain.executions.execution import child_outcome
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.ports.item_store import Change, Item, Scalar
from levante_core.storage import keys
from levante_core.storage.attempts import attempt_of
from levante_core.storage.batch_jobs.jobs import advanced_of, steps_of
from levante_core.storage.decoding import readable, reader
from levante_core.storage.large_documents import has_payloads
from levante_core.storage.runs import (
    ASKS_FOR_WORK,
    HAS_FAMILY,
    LEAVES_MORE,
    batch_of,
    execution_of,
    fact_of,
    is_open,
    recorded_of,
    run_id_of,
    summary_of,
)


def records_of(change: Change) -> list[Record]:
    """Tell what a change of the table means for the work; most ask for nothing."""
    new, old = change.new, change.old
    if not concerns_dispatcher(old.attributes if old else None, new.attributes if new else None):
        return []
    partition, sort = change.key.partition, change.key.sort
    if new is None:
        return list(_expired(old)) if old else []
    if partition.startswith("X#"):
        return list(_of_run(new, old, sort))
    if keys.is_batch_job(change.key):
        record: Record | None = None if _is_as_before(steps_of, new, old) else advanced_of(new)
    else:
        record = _of_history(new, old, sort) if partition.startswith("H#") else None
    return [record] if record else []


def _of_history(new: Item, old: Item | None, sort: str) -> Record | None:
    if sort.startswith(keys.ATTEMPT):
        return None if _is_as_before(_due, new, old) else attempt_of(new)
    return _recorded(new, sort) if old is None else None


@reader
def _due(item: Item) -> tuple[object, object]:
    return item.attributes["attempt"], item.attributes["due_at"]


def _is_as_before(read: Callable[[Item], object], new: Item, old: Item | None) -> bool:
    """Tell whether a part of an item was the same before. One that could not be read then is as good as new."""
    now = read(new)
    return any(before == now for before in readable([old] if old else [], read))


def _of_run(new: Item, old: Item | None, sort: str) -> Iterator[Record]:
    is_new = not _is_as_before(run_id_of, new, old)
    if sort == keys.EXECUTION and is_open(new):
        if is_new:
            yield _started(new)
    elif new.attributes.get(HAS_FAMILY) and (is_new or not _is_as_before(is_open, new, old)):
        execution = execution_of(new)
        is_over = execution.status is not ExecutionStatus.CONTINUED_AS_NEW
        yield RunClosed(
            execution.key,
            execution.pool,
            execution.has_children,
            execution.parent,
            child_outcome(execution),
            execution.start.schedule_id if is_over else None,
        )


def concerns_dispatcher(old: Mapping[str, Scalar] | None, new: Mapping[str, Scalar] | None) -> bool:
    """Tell whether the dispatcher has to look at a change between items with these attributes.

    `template.yaml` says the same as filters of the stream.
    """
    if new is None:
        return bool(old and old.get(LEAVES_MORE))
    return bool(new.get(ASKS_FOR_WORK) or new.get(HAS_FAMILY))


def _expired(item: Item) -> Iterator[Record]:
    if item.key.partition.startswith("X#"):
        run = summary_of(item)
        yield RunExpired(run.key, run.root_execution_id, item.key.sort == keys.EXECUTION)
    if has_payloads(item):
        yield PayloadsExpired(item.key.partition, item.key.sort)


def _started(item: Item) -> RunStarted:
    execution = execution_of(item)
    return RunStarted(execution.key, execution.pool, execution.start)


def _recorded(item: Item, sort: str) -> Record | None:
    recorded = recorded_of(item)
    if sort.startswith(keys.BATCH):
        return BatchAppended(recorded.run, recorded.pool, recorded.at, batch_of(item))
    if sort.startswith(keys.FACT):
        return FactRecorded(recorded.run, recorded.pool, recorded.at, fact_of(item))
    return None
