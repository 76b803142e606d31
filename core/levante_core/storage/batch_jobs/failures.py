"""Failures of batch jobs as items: those of one step together, under the number of the first one."""

from collections.abc import Sequence
from datetime import datetime
from math import ceil

from pydantic import TypeAdapter

from levante_core.domain.batch_jobs.job import BatchFailure, BatchJob
from levante_core.ports.item_store import EXPIRES_AT, Item, Scalar
from levante_core.storage import keys
from levante_core.storage.batch_jobs.jobs import KEPT_FOR
from levante_core.storage.decoding import reader

_FAILURES: TypeAdapter[tuple[BatchFailure, ...]] = TypeAdapter(tuple[BatchFailure, ...])


def failures_item(job: BatchJob, failures: Sequence[BatchFailure], at: datetime) -> Item:
    """Write the failures of a step. job: before the step."""
    key = keys.batch_failures(job.workspace, job.batch_id, job.progress.failed + 1)
    attributes: dict[str, Scalar] = {"workspace": job.workspace, EXPIRES_AT: ceil((at + KEPT_FOR).timestamp())}
    return Item(key, attributes, {"failures": _FAILURES.dump_json(tuple(failures)).decode()})


@reader
def failures_of(item: Item) -> list[tuple[int, BatchFailure]]:
    """Read the failures of a step, each with its number."""
    return list(enumerate(_FAILURES.validate_json(item.documents["failures"]), int(item.key.sort)))
