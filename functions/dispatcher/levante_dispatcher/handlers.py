"""The Lambda handlers of the dispatcher, built on an engine by each program's composition root."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from levante_core.adapters.images import change_of
from levante_core.domain.plan import RunClosed, plan
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Change, Item
from levante_core.records.changes import records_of
from levante_core.services.engine import Engine

Event: TypeAlias = Mapping[str, Any]
Handler: TypeAlias = Callable[[Event, Any], dict[str, Any]]
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
        records = [record for change in changes for record in records_of(change)]
        engine.effects.carry_out(effect for record in records for effect in plan(record))
        engine.trace_export.export(record for record in records if isinstance(record, RunClosed))
        return {"batchItemFailures": []}

    def timers(event: Event, _: object) -> dict[str, Any]:
        """Deal with what is due; messages that could not be dealt with come again."""

        def handle(record: SQSRecord) -> None:
            with _failure_logged("timers message", record.message_id):
                engine.due.handle(record.body)

        return _one_by_one(EventType.SQS, handle, event)

    def sweep(_event: Event, _: object) -> dict[str, Any]:
        """Do what was out of the reach of messages, and look after what they lost; neither waits for the other."""
        try:
            engine.due.sweep()
        finally:
            engine.recheck.recheck()
        return {}

    return DispatcherHandlers(stream, timers, sweep)


def record_by_record(stream: Handler) -> Handler:
    """Let a stream handler deal with its records one by one when it could not deal with all of them at once.

    So a record that nobody can deal with holds up no other one: Lambda goes on at the first record that is reported as
    failed, and gives that one up after some attempts. Those behind it were dealt with all the same, and come again.
    Unavailable is raised as it is: it is no record's fault, and the others would only wait for the same.
    Source: Lambda developer guide, DynamoDB, Partial batch response (read 2026-11-23).
    """

    def handle(record: DynamoDBRecord) -> None:
        with _failure_logged("stream record", record.event_id):
            stream({"Records": [record.raw_event]}, None)

    def partial(event: Event, context: object) -> dict[str, Any]:
        try:
            return stream(event, context)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - logged below, with the record that it comes from
            logger.warning("a batch of %d stream records fails as a whole: taking them one by one", len(event["Records"]))
        return _one_by_one(EventType.DynamoDBStreams, handle, event)

    return partial


def _one_by_one(kind: EventType, handle: Callable[..., None], event: Event) -> dict[str, Any]:
    """Deal with each item of a batch on its own. Returns which ones are to come again.

    handle: takes `record`, by that name. A processor holds the state of one batch, so each batch gets its own: in one
    process, batches may overlap.
    """
    processor = BatchProcessor(event_type=kind, raise_on_entire_batch_failure=False)
    return {**process_partial_response(dict(event), handle, processor)}


@contextmanager
def _failure_logged(what: str, item_id: str | None) -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.exception("%s %s could not be dealt with; it comes again", what, item_id)
        raise


def _resolved(change: Change, resolve: Resolve) -> Change:
    if change.new is None:
        return change
    return Change(change.sequence, change.key, change.old, resolve(change.new))
