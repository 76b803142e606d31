"""The keys of the table. Every partition has its workspace in it, but for those of timers, API keys and the sweep."""

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from zlib import crc32

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.frozen import wire_time
from levante_core.domain.names import DeploymentName, ExecutionId, RunId, WorkflowName, Workspace
from levante_core.ports.item_store import AFTER_ALL, Key

SHARDS = 4
"""Partitions that timers, and what the index DUE lists, are spread over."""

REPAIR = Key("RECHECK", "R")
"""Where the sweep goes on with its walk over the open runs."""

CAPABILITY_KEYS = Key("CAPABILITIES", "K")
"""What the installation signs capabilities with."""

COUNTING_PLACE = Key("STATISTICS", "N")
"""How far the runs that have ended are counted."""

EXECUTION = "X"
EARLIER_RUN = "R#"
ACCEPTED = "M#"
EXECUTION_OF_RUN = "L"
"""Right before the batches, so that one query finds the first of them: each says which execution the run belongs to."""
BATCH = "L#"
FACT = "F#"
ATTEMPT = "A#"
HEARTBEAT = "B#"
QUERY = "FQ#"
"""Right behind the facts, so that both are read at once."""
QUERY_ANSWER = "QA#"
TASK_FAILURE = "W"
_STREAM = "S#"
_BATCH_JOB = "J#"
STREAM_HEAD = "H"
STREAM_EVENTS = "E#"
STREAM_EVENT_ID = "I#"
WORKFLOW = "W"
REGISTRATION = "D#"
DEPLOYMENT = "D"
WORKER = "W#"
WORKER_GROUP = "G#"
BUILD = "B#"

RUNS = "runs"
RUNS_BY_WORKFLOW = "runs_by_workflow"
DUE = "due"
"""What is due by itself: open runs at their deadlines, schedules when something is to be done, parked items, batch jobs.

Closed runs are listed too, in the order in which they ended, to be counted.
"""
DUE_BATCH_JOBS = "BATCHES"
"""Partition of all running batch jobs in the index DUE, in the order in which somebody looks whether they stand still."""
WORKFLOWS = "workflows"
REGISTRATIONS = "registrations"
DEPLOYMENTS = "deployments"
API_KEYS = "api_keys"


def execution(workspace: Workspace, execution_id: ExecutionId) -> Key:
    """Key of an execution's item."""
    return Key(f"X#{workspace}#{execution_id}", EXECUTION)


def earlier_run(key: RunKey) -> Key:
    """Key of a run that was replaced."""
    return Key(execution(key.workspace, key.execution_id).partition, f"{EARLIER_RUN}{key.run_id}")


def accepted(workspace: Workspace, execution_id: ExecutionId, request_id: str) -> Key:
    """Key of what became of a message that was sent under an id."""
    return Key(execution(workspace, execution_id).partition, f"{ACCEPTED}{request_id}")


def history(workspace: Workspace, run_id: RunId) -> str:
    """Partition of a run's history. The workspace is in it, so that a guessed run id leads nowhere."""
    return f"H#{workspace}#{run_id}"


def execution_of_run(key: RunKey) -> Key:
    """Key of what leads from a run to its execution, where the id of the run does not."""
    return Key(history(key.workspace, key.run_id), EXECUTION_OF_RUN)


def listed_run(started_at: datetime, run_id: RunId) -> str:
    """Place of a run in the indexes RUNS and RUNS_BY_WORKFLOW."""
    return f"{wire_time(started_at)}#{run_id}"


def batch(key: RunKey, index: int) -> Key:
    """Key of a history batch."""
    return Key(history(key.workspace, key.run_id), f"{BATCH}{index:08d}")


def outcome_fact(seq: int) -> str:
    """Name of the fact that says how the command with this seq ended."""
    return f"{seq:08d}"


def outcomes_end() -> str:
    """Sort key behind all facts that are outcomes, before all that are messages."""
    return f"{FACT}:"


def started_fact(seq: int) -> str:
    """Name of the fact that says that the child with this seq has started; it follows on those of its outcome."""
    return f"{outcome_fact(seq)}.started"


def query(key: RunKey, query_id: str) -> Key:
    """Key of a query that waits for an answer."""
    return Key(history(key.workspace, key.run_id), f"{QUERY}{query_id}")


def query_answer(key: RunKey, query_id: str) -> Key:
    """Key of the answer to a query."""
    return Key(history(key.workspace, key.run_id), f"{QUERY_ANSWER}{query_id}")


def fact(key: RunKey, name: str) -> Key:
    """Key of a fact."""
    return Key(history(key.workspace, key.run_id), f"{FACT}{name}")


def attempt(key: RunKey, seq: int) -> Key:
    """Key of what is known of an activity's attempts."""
    return Key(history(key.workspace, key.run_id), f"{ATTEMPT}{seq:08d}")


def heartbeat(key: RunKey, seq: int) -> Key:
    """Key of the last heartbeat of an activity, and of what is to be answered to the next one."""
    return Key(history(key.workspace, key.run_id), f"{HEARTBEAT}{seq:08d}")


def rate_limit_name(shared_key: str | None, activity_name: str) -> str:
    """Name the rate limit of an activity: the one of a key that it shares with others, else its own."""
    return f"key#{shared_key}" if shared_key else f"activity#{activity_name}"


def rate_limit(workspace: Workspace, deployment: DeploymentName, name: str) -> Key:
    """Key of a rate limit."""
    return Key(f"B#{workspace}#{deployment}#{name}", "B")


def task_failure(key: RunKey) -> Key:
    """Key of the last failure of a run's workflow task."""
    return Key(history(key.workspace, key.run_id), TASK_FAILURE)


def stream(workspace: Workspace, root: ExecutionId) -> str:
    """Partition of the stream events of an execution without parent and all below it."""
    return f"{_STREAM}{workspace}#{root}"


def is_stream(key: Key) -> bool:
    """Tell whether an item is one of a stream."""
    return key.partition.startswith(_STREAM)


def stream_head(workspace: Workspace, root: ExecutionId) -> Key:
    """Key of how far a stream has come."""
    return Key(stream(workspace, root), STREAM_HEAD)


def stream_event_id(workspace: Workspace, root: ExecutionId, event_id: str) -> Key:
    """Key of the mark that an event with this id is in the stream; any text may be an id."""
    return Key(stream(workspace, root), f"{STREAM_EVENT_ID}{sha256(event_id.encode()).hexdigest()}")


def stream_events(workspace: Workspace, root: ExecutionId, first: int) -> Key:
    """Key of some stream events, by the sequence number of the first one."""
    return Key(stream(workspace, root), f"{STREAM_EVENTS}{first:012d}")


def logs(workspace: Workspace, deployment: DeploymentName, worker: str) -> str:
    """Partition of what a worker has logged."""
    return f"O#{workspace}#{deployment}#{worker}"


def log_lines(workspace: Workspace, deployment: DeploymentName, worker: str, last: str, batch_id: str) -> Key:
    """Key of a batch of log lines, by the time of the last one."""
    return Key(logs(workspace, deployment, worker), f"{last}#{batch_id}")


def ticket(digest: str) -> Key:
    """Key of a ticket, by the SHA-256 of its secret."""
    return Key(f"Q#{digest}", "Q")


def shard(name: str) -> int:
    """Shard that a run belongs to, by its id, or a schedule."""
    return crc32(name.encode()) % SHARDS


def timer(due_at: datetime, run_id: RunId, name: str) -> Key:
    """Key of something that is due beyond the reach of the timers queue."""
    return Key(timers(shard(run_id)), f"{wire_time(due_at)}#{run_id}#{name}")


def timers(number: int) -> str:
    """Partition of a shard's timers, in the order in which they are due."""
    return f"T#{number}"


def open_runs(number: int) -> str:
    """Partition of a shard's open runs in the index DUE, in the order of their deadlines."""
    return f"OPEN#{number}"


def closed_runs(number: int) -> str:
    """Partition of a shard's closed runs in the index DUE, in the order in which they ended."""
    return f"CLOSED#{number}"


def hour_statistics(workspace: Workspace, hour: datetime) -> Key:
    """Key of what ended in one hour."""
    return Key(statistics(workspace), wire_time(hour))


def statistics(workspace: Workspace) -> str:
    """Partition of a workspace's statistics, by hour."""
    return f"N#{workspace}"


def schedule(workspace: Workspace, schedule_id: str) -> Key:
    """Key of a schedule."""
    return Key(schedules(workspace), schedule_id)


def schedules(workspace: Workspace) -> str:
    """Partition of a workspace's schedules."""
    return f"C#{workspace}"


def due_schedules(number: int) -> str:
    """Partition of a shard's schedules in the index DUE, in the order in which something is to be done."""
    return f"SCHEDULES#{number}"


def batch_job(workspace: Workspace, batch_id: str) -> Key:
    """Key of a batch job."""
    return Key(batch_jobs(workspace), batch_id)


def batch_jobs(workspace: Workspace) -> str:
    """Partition of a workspace's batch jobs."""
    return f"{_BATCH_JOB}{workspace}"


def is_batch_job(key: Key) -> bool:
    """Tell whether an item is a batch job."""
    return key.partition.startswith(_BATCH_JOB)


def batch_failures(workspace: Workspace, batch_id: str, first: int) -> Key:
    """Key of some failures of a batch job, by the number of the first one."""
    return Key(all_batch_failures(workspace, batch_id), f"{first:08d}")


def all_batch_failures(workspace: Workspace, batch_id: str) -> str:
    """Partition of the failures of a batch job, in the order in which they came."""
    return f"JF#{workspace}#{batch_id}"


def parked(workspace: Workspace, parked_id: str) -> Key:
    """Key of what could not be handled."""
    return Key(all_parked(workspace), parked_id)


def all_parked(workspace: Workspace) -> str:
    """Partition of what could not be handled, by execution."""
    return f"P#{workspace}"


def parked_prefix(execution_id: ExecutionId | None) -> str:
    """Begin the ids of what an execution has parked; no execution id has a dot."""
    return f"{execution_id or ''}."


def parked_count(workspace: Workspace) -> Key:
    """Key of how many items a workspace has parked."""
    return Key(f"PC#{workspace}", "PC")


def parked_due(number: int) -> str:
    """Partition of a shard's parked items in the index DUE, in the order in which they are tried again."""
    return f"PARKED#{number}"


def workflow(workspace: Workspace, name: WorkflowName) -> Key:
    """Key of a workflow."""
    return Key(f"W#{workspace}#{name}", WORKFLOW)


def registration(workspace: Workspace, name: WorkflowName, deployment: DeploymentName) -> Key:
    """Key of a deployment's registration of a workflow."""
    return Key(workflow(workspace, name).partition, f"{REGISTRATION}{deployment}")


def pointer(workspace: Workspace, catalogue_id: str) -> Key:
    """Key of what leads from the id of a workflow or registration to its name."""
    return Key(f"I#{workspace}#{catalogue_id}", "I")


def deployment(workspace: Workspace, name: DeploymentName) -> Key:
    """Key of a deployment."""
    return Key(f"D#{workspace}#{name}", DEPLOYMENT)


def worker(workspace: Workspace, name: DeploymentName, worker_name: str, build_id: str | None = None) -> Key:
    """Key of a worker. Workers of two builds on one host may have one name."""
    return Key(deployment(workspace, name).partition, f"{WORKER}{worker_name}" + (f"#{build_id}" if build_id else ""))


def worker_group(workspace: Workspace, name: DeploymentName, registrations: Iterable[str], build_id: str | None) -> Key:
    """Key of the workers of a deployment that have one build and serve the same registrations."""
    digest = sha256("\n".join([build_id or "", *sorted(registrations)]).encode()).hexdigest()
    return Key(deployment(workspace, name).partition, f"{WORKER_GROUP}{digest[:32]}")


def build(workspace: Workspace, name: DeploymentName, build_id: str) -> Key:
    """Key of a build of a deployment."""
    return Key(deployment(workspace, name).partition, f"{BUILD}{build_id}")


def audit(workspace: Workspace) -> str:
    """Partition of what was changed by hand in a workspace, in the order of time."""
    return f"U#{workspace}"


def audit_entry(workspace: Workspace, at: datetime, audit_id: str) -> Key:
    """Key of a change that was asked for."""
    return Key(audit(workspace), f"{wire_time(at)}#{audit_id}")


def api_key(digest: str) -> Key:
    """Key of an API key, by the SHA-256 of its secret."""
    return Key(f"K#{digest}", "K")


def prefixed(prefix: str) -> tuple[str, str]:
    """Return the first and last sort key of a prefix."""
    return prefix, prefix + AFTER_ALL
