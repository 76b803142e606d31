"""Batch jobs as items, and what a step writes of them: while a job is running, its changes ask for the next step."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import ceil

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from levante_core.domain.batch_jobs.job import BatchJob, BatchJobStatus, Progress
from levante_core.domain.batch_jobs.request import BatchRequest
from levante_core.domain.dispatch.plan import BatchJobAdvanced
from levante_core.domain.dispatch.tasks import BatchJobDue
from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.frozen import Json, wire_time
from levante_core.domain.names import Workspace
from levante_core.ports.item_store import EXPIRES_AT, Item, Key, Matches, Scalar, Update
from levante_core.storage import keys
from levante_core.storage.decoding import moment, moment_if_any, number, reader, text
from levante_core.storage.large_documents import is_large
from levante_core.storage.runs import ASKS_FOR_WORK, LEAVES_MORE

KEPT_FOR = timedelta(days=30)
"""So long a job that has ended is kept, and each of its failures from when it was recorded on."""
STANDSTILL = timedelta(minutes=2)
"""A step that is not heard of for so long after it was due is asked for again by the sweep."""

_SKIPPED: TypeAdapter[dict[str, int]] = TypeAdapter(dict[str, int])


def batch_job_item(job: BatchJob, value: Json) -> Item:
    """Write a job that begins. value: the input of its action."""
    documents = {
        "request": job.request.model_dump_json(),
        "requested": job.requested.model_dump_json(),
        "input": to_json(value).decode(),
        **_documents(job),
    }
    attributes: dict[str, Scalar] = {
        "workspace": job.workspace,
        "batch_id": job.batch_id,
        LEAVES_MORE: any(map(is_large, documents.values())),
        **_attributes(job),
    }
    return Item(keys.batch_job(job.workspace, job.batch_id), attributes, documents, {keys.DUE: _due_entry(job)})


def progress_update(before: BatchJob, after: BatchJob) -> Update:
    """Make the write of what a step has changed, or somebody: refused if another step was faster, or the job has ended."""
    return Update(
        keys.batch_job(after.workspace, after.batch_id),
        set_attributes=_attributes(after),
        set_documents=_documents(after),
        set_indexes={keys.DUE: _due_entry(after) if after.is_running else None},
        condition=Matches({"steps": before.progress.steps, "status": before.status.value}),
    )


@reader
def batch_job_of(item: Item) -> BatchJob:
    """Read a job, without the input of its action."""
    attributes = item.attributes
    return BatchJob(
        workspace=Workspace(text(attributes, "workspace")),
        batch_id=text(attributes, "batch_id"),
        request=BatchRequest.model_validate_json(item.documents["request"]),
        requested=ByHand.model_validate_json(item.documents["requested"]),
        progress=Progress(
            due_at=moment(attributes, "due_at"),
            updated_at=moment(attributes, "updated_at"),
            steps=number(attributes, "steps"),
            position=text(attributes, "position"),
            matched=number(attributes, "matched"),
            done=number(attributes, "done"),
            failed=number(attributes, "failed"),
            skipped=_SKIPPED.validate_json(item.documents["skipped"]),
            tries=number(attributes, "tries"),
            careful=number(attributes, "careful"),
            beginnings=number(attributes, "beginnings"),
        ),
        status=BatchJobStatus(text(attributes, "status")),
        ended_at=moment_if_any(attributes, "ended_at"),
    )


def job_at(key: Key) -> tuple[Workspace, str]:
    """Return of which workspace the job with this key is, and its id."""
    return Workspace(key.partition.partition("#")[2]), key.sort


@reader
def batch_input_of(item: Item) -> Json:
    """Read the input of a job's action."""
    return from_json(item.documents["input"])


@reader
def advanced_of(item: Item) -> BatchJobAdvanced | None:
    """Read which step a job takes next, and when; None if it has ended."""
    attributes = item.attributes
    if BatchJobStatus(text(attributes, "status")) is not BatchJobStatus.RUNNING:
        return None
    due = BatchJobDue(
        workspace=Workspace(text(attributes, "workspace")),
        batch_id=text(attributes, "batch_id"),
        step=number(attributes, "steps"),
        fresh_at=moment(attributes, "due_at"),
    )
    return BatchJobAdvanced(due)


@reader
def steps_of(item: Item) -> int:
    """Read how many steps a job has taken."""
    return number(item.attributes, "steps")


def _attributes(job: BatchJob) -> dict[str, Scalar]:
    """Write all that a step may change. Expiry begins when the job has ended."""
    progress, ended_at = job.progress, job.ended_at
    expiry: dict[str, Scalar] = {EXPIRES_AT: _expires_at(ended_at)} if ended_at else {}
    return {
        "status": job.status.value,
        ASKS_FOR_WORK: job.is_running,
        "ended_at": wire_time(ended_at) if ended_at else None,
        "due_at": wire_time(progress.due_at),
        "updated_at": wire_time(progress.updated_at),
        "steps": progress.steps,
        "position": progress.position,
        "matched": progress.matched,
        "done": progress.done,
        "failed": progress.failed,
        "tries": progress.tries,
        "careful": progress.careful,
        "beginnings": progress.beginnings,
        **expiry,
    }


def _documents(job: BatchJob) -> Mapping[str, str]:
    return {"skipped": _SKIPPED.dump_json(dict(job.progress.skipped)).decode()}


def _due_entry(job: BatchJob) -> Key:
    place = f"{wire_time(job.progress.due_at + STANDSTILL)}#{job.workspace}#{job.batch_id}"
    return Key(keys.DUE_BATCH_JOBS, place)


def _expires_at(at: datetime) -> int:
    return ceil((at + KEPT_FOR).timestamp())
