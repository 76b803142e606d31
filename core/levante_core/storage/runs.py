"""Executions, history batches, facts and attempts as items, and what a change of such an item means."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil

from pydantic import TypeAdapter

from levante_core.domain.dispatch.tasks import Fact
from levante_core.domain.executions.execution import Ending, Execution, Parent, RunKey, RunStart, Tracing
from levante_core.domain.executions.failure import Failure
from levante_core.domain.executions.search_keys import SearchKeys
from levante_core.domain.frozen import Frozen, Json, wire_time
from levante_core.domain.history.events import ChildStarted, Outcome
from levante_core.domain.history.run_messages import RunMessage, message_key
from levante_core.domain.history.state import HistoryBatch
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, RunId, WorkflowName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.item_store import EXPIRES_AT, Item, Key, Matches, Scalar
from levante_core.storage import keys
from levante_core.storage.decoding import flag, moment, moment_if_any, number, reader, text, text_if_any


class _EndingDocument(Frozen):
    result: Json = None
    failure: Failure | None = None


_SEARCH_KEYS: TypeAdapter[SearchKeys] = TypeAdapter(SearchKeys)
MAIL_HELD_UNTIL = "mail_held_until"
ASKS_FOR_WORK = "asks_for_work"
"""Attribute of items whose changes concern the dispatcher; what lacks it, or has it false, is filtered out on the way."""
LEAVES_MORE = "leaves_more"
"""Attribute of items whose deletion concerns the dispatcher, as it leaves something behind that belonged to them."""
SEARCH_KEYS = "search_keys"
HAS_FAMILY = "has_family"
"""Attribute of runs with a parent, children or a schedule, which concern the dispatcher when they end too."""
HAS_CHILDREN = "has_children"
PAUSED_AT = "paused_at"
"""Attribute of open runs that are paused."""
HAS_PARKED = "has_parked"
"""Attribute of executions of which something was parked, at whatever time."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What the attributes of a run's item tell: everything but its input and result.

    What follows search_keys is missing where it comes from an index; the deadline also where an older version wrote it.
    """

    key: RunKey
    workflow_name: WorkflowName
    workflow_id: str
    pool: WorkerPool
    root_execution_id: ExecutionId
    parent_execution_id: ExecutionId | None
    user_id: str | None
    status: ExecutionStatus
    started_at: datetime
    ended_at: datetime | None
    search_keys: SearchKeys
    parent: Parent | None = None
    deadline_at: datetime | None = None
    mail_count: int = 0
    is_cancel_requested: bool = False
    mail_held_until: datetime | None = None
    has_parked: bool = False
    paused_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the run goes on."""
        return self.status is ExecutionStatus.RUNNING


# --- executions -------------------------------------------------------------------------------------------------------


def execution_item(execution: Execution) -> Item:
    """Write an execution's latest run as the execution item."""
    run, start = execution.key, execution.start
    key = keys.execution(run.workspace, run.execution_id)
    return _run_item(key, execution, open_run_entry(run, start))


def as_earlier_run(item: Item) -> Item:
    """Return the item of a closed run as an earlier one, just as it is: what cannot be read is kept like the rest."""
    partition, run_id = item.key.partition, run_id_of(item)
    return replace(item, key=Key(partition, f"{keys.EARLIER_RUN}{run_id}"))


def earlier_run_item(execution: Execution) -> Item:
    """Write a closed run as an earlier run, beside the execution item that a new run takes."""
    return _run_item(keys.earlier_run(execution.key), execution)


def _run_item(key: Key, execution: Execution, open_entry: Key | None = None) -> Item:
    run, start, ending, parent = execution.key, execution.start, execution.ending, execution.parent
    held_until, paused_at = execution.mail_held_until, execution.paused_at
    attributes: dict[str, Scalar] = {
        "workspace": run.workspace,
        "execution_id": run.execution_id,
        "run_id": run.run_id,
        "workflow_name": start.workflow_name,
        "workflow_id": execution.workflow_id,
        "deployment_name": str(execution.pool),
        "root_execution_id": execution.root_execution_id,
        "parent_execution_id": execution.parent_execution_id,
        "user_id": execution.user_id,
        "parent_run_id": parent.run_id if parent else None,
        "parent_deployment_name": str(parent.pool) if parent else None,
        "parent_seq": parent.seq if parent else None,
        HAS_CHILDREN: execution.has_children,
        HAS_FAMILY: execution.concerns_others,
        HAS_PARKED: execution.has_parked,
        "status": execution.status.value,
        "is_open": execution.is_open,
        ASKS_FOR_WORK: execution.is_open,
        "mail_count": execution.mail_count,
        "is_cancel_requested": execution.is_cancel_requested,
        SEARCH_KEYS: search_keys_text(execution.search_keys),
        MAIL_HELD_UNTIL: wire_time(held_until) if held_until else None,
        **({PAUSED_AT: wire_time(paused_at)} if paused_at else {}),
        "started_at": wire_time(start.started_at),
        "deadline_at": wire_time(start.deadline_at),
        "ended_at": None,
        **(closing_attributes(execution.status, ending) if ending else {}),
    }
    tracing, ended = execution.tracing.model_dump_json(exclude_defaults=True), ending and ending_document(ending)
    documents = {"start": start.model_dump_json(), "tracing": tracing, **({"ending": ended} if ended else {})}
    place = keys.listed_run(start.started_at, run.run_id)
    by_workflow = Key(f"{run.workspace}#{start.workflow_name}", place)
    due = closed_run_entry(run, ending.ended_at) if ending else open_entry
    indexes = {keys.RUNS: Key(run.workspace, place), keys.RUNS_BY_WORKFLOW: by_workflow, keys.DUE: due}
    return Item(key, attributes, documents, {name: entry for name, entry in indexes.items() if entry})


def open_run_entry(run: RunKey, start: RunStart) -> Key:
    """Return the place of an open run in the index DUE."""
    return Key(keys.open_runs(keys.shard(run.run_id)), f"{wire_time(start.deadline_at)}#{run.run_id}")


def closed_run_entry(run: RunKey, ended_at: datetime) -> Key:
    """Return the place of a closed run in the index DUE."""
    return Key(keys.closed_runs(keys.shard(run.run_id)), f"{wire_time(ended_at)}#{run.run_id}")


def run_pointer_item(run: RunKey) -> Item:
    """Write what leads from a run to its execution, for runs whose id does not say when they started."""
    return Item(keys.execution_of_run(run), {"execution_id": run.execution_id})


def open_run(run: RunKey, **unchanged: Scalar) -> Matches:
    """Require of an execution item that this run is the latest and open. unchanged: what else has to be as it was read."""
    return Matches({"run_id": run.run_id, "is_open": True, **unchanged})


def is_open_run(item: Item | None, run_id: RunId) -> bool:
    """Whether this run is the latest of an execution item, and open."""
    return item is not None and run_id_of(item) == run_id and is_open(item)


def open_run_as_read(item: Item) -> Matches:
    """Require of an execution item that its latest run is what it was read with, damaged or not, and open."""
    return Matches({"run_id": item.attributes.get("run_id"), "is_open": True})


def closed_run(run_id: RunId) -> Matches:
    """Require of an execution item that this run is the latest and closed."""
    return Matches({"run_id": run_id, "is_open": False})


def unchanged_run(execution: Execution) -> Matches:
    """Require that the run is the latest still, as open or closed as it was, and has had no message since."""
    run_id, mail_count = execution.key.run_id, execution.mail_count
    return Matches({"run_id": run_id, "is_open": execution.is_open, "mail_count": mail_count})


@reader
def run_id_of(item: Item) -> RunId:
    """Read of an execution item which run is the latest."""
    return RunId(text(item.attributes, "run_id"))


@reader
def is_open(item: Item) -> bool:
    """Read whether a run goes on."""
    return flag(item.attributes, "is_open")


def search_keys_text(found_by: SearchKeys) -> str | None:
    """Write search keys as the attribute that listings read."""
    return _SEARCH_KEYS.dump_json(found_by).decode() if found_by else None


def closing_attributes(status: ExecutionStatus, ending: Ending) -> dict[str, Scalar]:
    """Write as attributes that a run is closed, and when it is deleted unless it is kept for ever."""
    closed = {"status": status.value, "is_open": False, ASKS_FOR_WORK: False, "ended_at": wire_time(ending.ended_at)}
    expiry = {EXPIRES_AT: ceil(ending.expires_at.timestamp()), LEAVES_MORE: True} if ending.expires_at else {}
    return {**closed, **expiry}


def ending_document(ending: Ending) -> str:
    """Write the result or failure of a run."""
    return _EndingDocument(result=ending.result, failure=ending.failure).model_dump_json()


@reader
def execution_of(item: Item) -> Execution:
    """Read an execution item or the item of an earlier run."""
    summary = summary_of(item)
    return Execution(
        key=summary.key,
        workflow_id=summary.workflow_id,
        pool=summary.pool,
        start=RunStart.model_validate_json(item.documents["start"]),
        root_execution_id=summary.root_execution_id,
        status=summary.status,
        parent=summary.parent,
        user_id=summary.user_id,
        has_children=flag(item.attributes, HAS_CHILDREN),
        mail_count=summary.mail_count,
        is_cancel_requested=summary.is_cancel_requested,
        mail_held_until=summary.mail_held_until,
        search_keys=summary.search_keys,
        tracing=Tracing.model_validate_json(item.documents["tracing"]),
        ending=ending_of(item),
        has_parked=summary.has_parked,
        paused_at=summary.paused_at,
    )


@reader
def ending_of(item: Item) -> Ending | None:
    """Read how a run ended; None while it goes on."""
    ended_at = _ended_at(item)
    if ended_at is None:
        return None
    document = _EndingDocument.model_validate_json(item.documents["ending"])
    has_expiry = item.attributes.get(EXPIRES_AT) is not None
    expires = datetime.fromtimestamp(number(item.attributes, EXPIRES_AT), UTC) if has_expiry else None
    return Ending(ended_at, document.result, document.failure, expires)


@reader
def deadline_of(item: Item) -> datetime:
    """Read when a run is to have ended. An older version wrote that into its start alone."""
    known = moment_if_any(item.attributes, "deadline_at")
    return known or RunStart.model_validate_json(item.documents["start"]).deadline_at


def _ended_at(item: Item) -> datetime | None:
    """Read when a run ended. It is written of open runs too, so that a run that has lost it does not pass for open."""
    return None if item.attributes["ended_at"] is None else moment(item.attributes, "ended_at")


@reader
def _parent_of(item: Item) -> Parent | None:
    attributes = item.attributes
    if attributes.get("parent_run_id") is None:  # nor does an index have it
        return None
    return Parent(
        ExecutionId(text(attributes, "parent_execution_id")),
        RunId(text(attributes, "parent_run_id")),
        WorkerPool.parse(text(attributes, "parent_deployment_name")),
        number(attributes, "parent_seq"),
    )


@reader
def summary_of(item: Item) -> RunSummary:
    """Read what the attributes of a run's item tell, as index queries return them."""
    attributes = item.attributes
    parent = text_if_any(attributes, "parent_execution_id")
    found_by = text_if_any(attributes, SEARCH_KEYS)
    return RunSummary(
        key=_run_key(item),
        workflow_name=WorkflowName(text(attributes, "workflow_name")),
        workflow_id=text(attributes, "workflow_id"),
        pool=WorkerPool.parse(text(attributes, "deployment_name")),
        root_execution_id=ExecutionId(text(attributes, "root_execution_id")),
        parent_execution_id=None if parent is None else ExecutionId(parent),
        user_id=text_if_any(attributes, "user_id"),
        status=ExecutionStatus(text(attributes, "status")),
        started_at=moment(attributes, "started_at"),
        ended_at=_ended_at(item),
        search_keys=_SEARCH_KEYS.validate_json(found_by) if found_by else {},
        parent=_parent_of(item),
        deadline_at=moment_if_any(attributes, "deadline_at"),
        mail_count=number(attributes, "mail_count") if "mail_count" in attributes else 0,
        is_cancel_requested=bool(attributes.get("is_cancel_requested")),
        mail_held_until=moment_if_any(attributes, MAIL_HELD_UNTIL),
        has_parked=bool(attributes.get(HAS_PARKED)),
        paused_at=moment_if_any(attributes, PAUSED_AT),
    )


# --- history ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where and when something of a run's history was recorded."""

    run: RunKey
    pool: WorkerPool
    at: datetime

    def attributes(self) -> dict[str, Scalar]:
        """Write them as attributes."""
        return {
            "workspace": self.run.workspace,
            "execution_id": self.run.execution_id,
            "run_id": self.run.run_id,
            "deployment_name": str(self.pool),
            "recorded_at": wire_time(self.at),
        }


@reader
def recorded_of(item: Item) -> Recorded:
    """Read where and when a history item was recorded."""
    attributes = item.attributes
    return Recorded(
        run=_run_key(item),
        pool=WorkerPool.parse(text(attributes, "deployment_name")),
        at=moment(attributes, "recorded_at"),
    )


def batch_item(recorded: Recorded, batch: HistoryBatch, *, asks_for_work: bool) -> Item:
    """Write a history batch. asks_for_work: whether the change feed has to carry out what `plan` makes of it."""
    attributes = {**recorded.attributes(), "commit_id": batch.commit_id, ASKS_FOR_WORK: asks_for_work}
    return Item(keys.batch(recorded.run, batch.index), attributes, {"batch": batch.model_dump_json()})


@reader
def batch_of(item: Item) -> HistoryBatch:
    """Read a history batch."""
    return HistoryBatch.model_validate_json(item.documents["batch"])


def fact_item(recorded: Recorded, fact: Fact, *, is_void: bool = False) -> Item:
    """Write a fact. is_void: nobody waits for it, so it asks for no work."""
    attributes = {**recorded.attributes(), ASKS_FOR_WORK: not is_void}
    return Item(keys.fact(recorded.run, fact.key), attributes, {"fact": fact.model_dump_json()})


def outcome_fact(outcome: Outcome) -> Fact:
    """Make the fact that brings this outcome."""
    return Fact(key=keys.outcome_fact(outcome.seq), input=outcome)


def started_fact(started: ChildStarted) -> Fact:
    """Make the fact that says that a child has started."""
    return Fact(key=keys.started_fact(started.seq), input=started)


def message_fact(message: RunMessage) -> Fact:
    """Make the fact that brings this message."""
    return Fact(key=message_key(message.number), input=message)


@reader
def fact_of(item: Item) -> Fact:
    """Read a fact."""
    return Fact.model_validate_json(item.documents["fact"])


@reader
def commit_id_of(item: Item) -> str:
    """Read which commit a history batch comes from."""
    return text(item.attributes, "commit_id")


@reader
def execution_id_of(item: Item) -> ExecutionId:
    """Read which execution an item is of."""
    return ExecutionId(text(item.attributes, "execution_id"))


@reader
def message_number_of(item: Item) -> int:
    """Read under which number a message was accepted."""
    return number(item.attributes, "number")


@reader
def _run_key(item: Item) -> RunKey:
    attributes = item.attributes
    return RunKey(
        Workspace(text(attributes, "workspace")),
        ExecutionId(text(attributes, "execution_id")),
        RunId(text(attributes, "run_id")),
    )
