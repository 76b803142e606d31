"""Failures of workflow tasks as items: why a run cannot be advanced at present."""

from datetime import datetime

from levante_core.domain.executions.failure import Failure
from levante_core.ports.item_store import Item
from levante_core.storage import keys
from levante_core.storage.decoding import moment, number, reader
from levante_core.storage.runs import Recorded


def task_failure_item(recorded: Recorded, attempt: int, failure: Failure) -> Item:
    """Write why a run cannot be advanced at present."""
    attributes = {**recorded.attributes(), "attempt": attempt}
    return Item(keys.task_failure(recorded.run), attributes, {"failure": failure.model_dump_json()})


@reader
def task_failure_of(item: Item) -> tuple[int, datetime, Failure]:
    """Read why a run could not be advanced: at which attempt, when, and with what."""
    failure = Failure.model_validate_json(item.documents["failure"])
    return number(item.attributes, "attempt"), moment(item.attributes, "recorded_at"), failure
