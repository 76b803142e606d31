"""Attempts of activities and of workflow tasks as items: which one is current, how others ended, what was done by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import TypeAdapter

from levante_core.domain.activities.retry import FailedAttempt
from levante_core.domain.dispatch.plan import AttemptEnded
from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.frozen import Json, wire_time
from levante_core.ports.item_store import Item, Scalar, Update
from levante_core.storage import keys
from levante_core.storage.decoding import moment, moment_if_any, number, reader
from levante_core.storage.runs import ASKS_FOR_WORK, Recorded, recorded_of

IS_CANCEL_REQUESTED = "is_cancel_requested"
HEARTBEAT_AT = "heartbeat_at"
"""Attribute of heartbeats; an older version wrote none."""
DEADLINE_AT = "deadline_at"
"""Attribute of attempts that go on elsewhere."""
BY_HAND = "by_hand"
"""Document of facts that were given by hand."""
MOST_FAILURES = 20
"""So many failed attempts of an activity are kept, the last ones."""


_DETAILS: TypeAdapter[tuple[Json, ...]] = TypeAdapter(tuple[Json, ...])
_FAILED_ATTEMPTS: TypeAdapter[tuple[FailedAttempt, ...]] = TypeAdapter(tuple[FailedAttempt, ...])


def attempt_item(recorded: Recorded, ended: AttemptEnded, failed: Sequence[FailedAttempt]) -> Item:
    """Write which attempt of an activity comes next, and how those before it ended."""
    attributes: dict[str, Scalar] = {
        **recorded.attributes(),
        "seq": ended.seq,
        "scheduled_in": ended.scheduled_in,
        "attempt": ended.attempt,
        "due_at": wire_time(ended.due_at),
        ASKS_FOR_WORK: True,
    }
    failures = _FAILED_ATTEMPTS.dump_json(tuple(failed[-MOST_FAILURES:])).decode()
    return Item(keys.attempt(recorded.run, ended.seq), attributes, {"failures": failures})


@dataclass(frozen=True, slots=True)
class Deferral:
    """An attempt that goes on elsewhere. ended: says when somebody looks after it, at the latest when it is to have ended.

    heartbeat_seconds: how long it may say nothing.
    """

    ended: AttemptEnded
    deadline_at: datetime
    heartbeat_seconds: float | None


def deferral_item(recorded: Recorded, deferral: Deferral, failed: Sequence[FailedAttempt]) -> Item:
    """Write which attempt goes on elsewhere, and how those before it ended."""
    item = attempt_item(recorded, deferral.ended, failed)
    times: dict[str, Scalar] = {
        DEADLINE_AT: wire_time(deferral.deadline_at),
        "heartbeat_seconds": deferral.heartbeat_seconds,
    }
    return replace(item, attributes={**item.attributes, **times})


@reader
def deferral_of(item: Item) -> Deferral | None:
    """Read an attempt that goes on elsewhere; None if the current one does not."""
    deadline_at, heartbeat = moment_if_any(item.attributes, DEADLINE_AT), item.attributes.get("heartbeat_seconds")
    if deadline_at is None:
        return None
    return Deferral(attempt_of(item), deadline_at, float(str(heartbeat)) if heartbeat else None)


@reader
def failed_attempts(item: Item) -> tuple[FailedAttempt, ...]:
    """Read how the attempts of an activity ended that were followed by others, in order."""
    return _FAILED_ATTEMPTS.validate_json(item.documents["failures"])


def heartbeat_update(run: RunKey, seq: int, at: datetime, details: Sequence[Json]) -> Update:
    """Write the last heartbeat of an activity."""
    return Update(
        keys.heartbeat(run, seq),
        set_attributes={HEARTBEAT_AT: wire_time(at)},
        set_documents={"details": _DETAILS.dump_json(tuple(details)).decode()},
    )


def cancel_request(run: RunKey, seq: int) -> Update:
    """Write, where its heartbeats are, that an activity is asked to end; how it ends is waited for."""
    return Update(keys.heartbeat(run, seq), set_attributes={IS_CANCEL_REQUESTED: True})


@reader
def details_of(item: Item) -> tuple[Json, ...]:
    """Read what the last heartbeat of an activity said; nothing if it has sent none."""
    return _DETAILS.validate_json(item.documents.get("details", "[]"))


@reader
def heartbeat_of(item: Item) -> tuple[int, datetime | None]:
    """Read of which activity a heartbeat is, and when it came; None if none has, or an older version took it."""
    return int(item.key.sort.removeprefix(keys.HEARTBEAT)), moment_if_any(item.attributes, HEARTBEAT_AT)


@reader
def is_cancel_requested(item: Item) -> bool:
    """Read whether an activity is asked to end."""
    return item.attributes.get(IS_CANCEL_REQUESTED) is True


@reader
def free_at_of(item: Item) -> datetime:
    """Read when the next place of a rate limit is."""
    return moment(item.attributes, "free_at")


@reader
def attempt_number(item: Item) -> int:
    """Read which attempt of an activity is the current one."""
    return number(item.attributes, "attempt")


@reader
def attempt_of(item: Item) -> AttemptEnded:
    """Read which attempt of an activity comes next, or goes on elsewhere, and when it is due."""
    recorded, attributes = recorded_of(item), item.attributes
    return AttemptEnded(
        run=recorded.run,
        pool=recorded.pool,
        recorded_at=recorded.at,
        due_at=moment(attributes, "due_at"),
        seq=number(attributes, "seq"),
        scheduled_in=number(attributes, "scheduled_in"),
        attempt=attempt_number(item),
        is_deferred=attributes.get(DEADLINE_AT) is not None,
    )


def noted_by_hand(fact: Item, by_hand: ByHand | None) -> Item:
    """Note on a fact who has given it by hand, if somebody has."""
    return replace(fact, documents={**fact.documents, BY_HAND: by_hand.model_dump_json()}) if by_hand else fact


def is_by_hand(fact: Item) -> bool:
    """Whether a fact was given by hand."""
    return BY_HAND in fact.documents


@reader
def by_hand_of(fact: Item) -> ByHand | None:
    """Read who has given a fact by hand; None if it came about otherwise."""
    return ByHand.model_validate_json(fact.documents[BY_HAND]) if is_by_hand(fact) else None


def task_failure_item(recorded: Recorded, attempt: int, failure: Failure) -> Item:
    """Write why a run cannot be advanced at present."""
    attributes = {**recorded.attributes(), "attempt": attempt}
    return Item(keys.task_failure(recorded.run), attributes, {"failure": failure.model_dump_json()})


@reader
def task_failure_of(item: Item) -> tuple[int, datetime, Failure]:
    """Read why a run could not be advanced: at which attempt, when, and with what."""
    failure = Failure.model_validate_json(item.documents["failure"])
    return number(item.attributes, "attempt"), moment(item.attributes, "recorded_at"), failure
