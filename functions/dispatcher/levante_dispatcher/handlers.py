"""The Lambda handlers of the dispatcher, built on an engine by each program's composition root."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from levante_core.adapters.images import change_of
from levante_core.domain.plan import plan
from levante_core.ports.item_store import Change, Item
from levante_core.records.runs import record_of
from levante_core.services.engine import Engine

Event: TypeAlias = Mapping[str, Any]
Handler: TypeAlias = Callable[[Event, object], dict[str, Any]]
Resolve: TypeAlias = Callable[[Item], Item]

logger = logging.getLogger("levante.dispatcher")


@dataclass(frozen=True, slots=True)
class DispatcherHandlers:
    """stream: records of the table's stream. timers: messages of the timers queue. sweep: once a minute."""

    stream: Handler
    timers: Handler
    sweep: Handler


def build_handlers(engine: Engine, resolve: Resolve) -> DispatcherHandlers:
    """Build the handlers. resolve: fetches documents that an image only refers to."""

    def stream(event: Event, _: object) -> dict[str, Any]:
        """Carry out what a batch of changes asks for. If this raises, the whole batch comes again, which is harmless."""
        changes = (_resolved(change_of(record), resolve) for record in event["Records"])
        records = [record for record in map(record_of, changes) if record]
        engine.dispatch.carry_out([effect for record in records for effect in plan(record)])
        return {"batchItemFailures": []}

    def timers(event: Event, _: object) -> dict[str, Any]:
        """Deal with what is due; messages that could not be dealt with come again."""
        failed = [message["messageId"] for message in event["Records"] if not _is_handled(engine, message)]
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def sweep(_event: Event, _: object) -> dict[str, Any]:
        """Do what was out of the reach of messages."""
        engine.due.sweep()
        return {}

    return DispatcherHandlers(stream, timers, sweep)


def _resolved(change: Change, resolve: Resolve) -> Change:
    if change.new is None:
        return change
    return Change(change.sequence, change.key, change.old, resolve(change.new))


def _is_handled(engine: Engine, message: Mapping[str, Any]) -> bool:
    try:
        engine.due.handle(message["body"])
    except Exception:
        logger.exception("message %s of the timers queue could not be dealt with; it comes again", message["messageId"])
        return False
    return True
