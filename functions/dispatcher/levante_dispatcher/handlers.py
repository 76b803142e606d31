"""The Lambda handlers of the dispatcher, built on an engine by each program's composition root."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from levante_core.errors import InconsistentHistory, Unavailable
from levante_core.services.engine import Engine
from levante_core.storage.parked import Parked, ParkedKind
from levante_dispatcher.changes import ChangeFeed, Resolve

Event: TypeAlias = Mapping[str, Any]
Handler: TypeAlias = Callable[[Event, Any], dict[str, Any]]

logger = logging.getLogger("levante.dispatcher")

PARKED = "parked"
"""Of the sweep's answer: how many items are parked."""
MOST_DELIVERIES = 4
"""A message that is still unavailable at this delivery is parked, before SQS gives it up."""


@dataclass(frozen=True, slots=True)
class DispatcherHandlers:
    """stream: records of the table's stream. timers: messages of the timers queue. sweep: once a minute.

    What one item of a batch is like holds up no other: one that cannot be handled is parked. A handler raises only where
    nothing gets through, not even to the table, and is to be called again with the same event then.
    """

    stream: Handler
    timers: Handler
    sweep: Handler


def build_handlers(engine: Engine, resolve: Resolve) -> DispatcherHandlers:
    """Build the handlers. resolve: finds documents that an image only refers to."""
    dispatcher = _Dispatcher(engine, ChangeFeed(engine, resolve))
    return DispatcherHandlers(dispatcher.stream, dispatcher.timers, dispatcher.sweep)


class _Dispatcher:
    def __init__(self, engine: Engine, feed: ChangeFeed) -> None:
        self._engine = engine
        self._feed = feed

    def stream(self, event: Event, _: object) -> dict[str, Any]:
        """Carry out what a batch of changes asks for. If this raises, the whole batch comes again, which is harmless."""
        self._feed.handle(event["Records"])
        return {"batchItemFailures": []}

    def timers(self, event: Event, _: object) -> dict[str, Any]:
        """Deal with what is due; messages for which something is unavailable come again."""

        def handle(record: SQSRecord) -> None:
            try:
                self._handle_timer(record)
            except Exception:
                logger.exception("timers message %s could not be dealt with; it comes again", record.message_id)
                raise

        processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
        return {**process_partial_response(dict(event), handle, processor)}

    def sweep(self, _event: Event, _: object) -> dict[str, Any]:
        """Do what no message reached, try again what is parked, look after what was lost, and count what has ended.

        None of them waits for another. Raises: the last error of one that could not be done.
        """
        count, problem = 0, None
        for part in (self._engine.due.sweep, self._retry_parked, self._engine.repair.sweep, self._engine.statistics.sweep):
            try:
                found = part()
            except Exception as error:
                logger.exception("a part of the sweep could not be done; the next sweep does it")
                problem = error
            else:
                count = found if isinstance(found, int) else count
        if problem:
            raise problem
        return {PARKED: count}

    def _retry_parked(self) -> int:
        return self._engine.parking.retry_due(self._retry)

    def _handle_timer(self, record: SQSRecord) -> None:
        due = self._engine.due
        try:
            due.handle(record.body)
        except Unavailable as error:
            if _deliveries(record) < MOST_DELIVERIES:
                raise
            due.park(record.body, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's
            due.park(record.body, error)

    def _retry(self, parked: Parked, content: str) -> None:
        """Try again what was parked, in the way of the loop that met it."""
        engine = self._engine
        match parked.kind:
            case ParkedKind.CHANGE:
                self._feed.again(content)
            case ParkedKind.TIMER:
                engine.due.handle(content)
            case ParkedKind.TASK:
                engine.tasks.send_again(parked.owner, content)
            case ParkedKind.DEADLINE if parked.owner.run:
                engine.closing.time_out(parked.owner.run)
            case ParkedKind.RUN if parked.owner.run:
                engine.redrive.redrive_run(parked.owner.run)
            case _:
                raise InconsistentHistory(f"this version cannot try a parked {parked.kind!r} again: upgrade, or drop it")


def without_halving(stream: Handler) -> Handler:
    """Let Lambda hand over a batch again whole for which nothing gets through, instead of halving it, as after an error.

    Halves would have fewer owners, and look like the fault of one of them.
    Source: Lambda developer guide, DynamoDB, Partial batch response (read 2026-11-23).
    """

    def partial(event: Event, context: object) -> dict[str, Any]:
        try:
            return stream(event, context)
        except Unavailable:
            logger.exception("nothing gets through for a batch of %d stream records; it comes again", len(event["Records"]))
            first = event["Records"][0]["dynamodb"]["SequenceNumber"]
            return {"batchItemFailures": [{"itemIdentifier": first}]}

    return partial


def _deliveries(record: SQSRecord) -> int:
    """Return how often a message was delivered; SQS counts, the local host does not tell."""
    return int(record.raw_event.get("attributes", {}).get("ApproximateReceiveCount", 1))
