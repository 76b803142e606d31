"""Lambda's event sources, as far as AWS documents what they do when a function fails.

Sources: Lambda developer guide, "Configuring partial batch response with DynamoDB and Lambda", "Retaining discarded records
for a DynamoDB event source in Lambda" and "Handling errors for an SQS event source in Lambda" (read 2026-11-23).
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self
from zlib import crc32

from levante_core.adapters.dynamodb.images import stream_record
from levante_core.ports.item_store import Change
from levante_core.ports.queues import ReceivedMessage
from levante_dispatcher.handlers import Handler
from levante_local.greenlets import call
from levante_local.queues.queues import InProcessQueues

Record = dict[str, Any]

RETRY_SECONDS = 1.0
POLL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class StreamMapping:
    """The settings of an event source mapping that is fed by a stream, with Lambda's defaults.

    lanes: batches of one shard that are dealt with at the same time, each with partition keys of its own. retries,
    max_age_seconds: -1 means without end, which a stream makes a day.
    """

    batch_size: int = 100
    lanes: int = 1
    bisects: bool = False
    reports_failures: bool = False
    retries: int = -1
    max_age_seconds: int = -1

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> Self:
        """Read the properties of an AWS::Lambda::EventSourceMapping."""
        return cls(
            batch_size=properties["BatchSize"],
            lanes=properties["ParallelizationFactor"],
            bisects=properties["BisectBatchOnFunctionError"],
            reports_failures="ReportBatchItemFailures" in properties["FunctionResponseTypes"],
            retries=properties["MaximumRetryAttempts"],
            max_age_seconds=properties["MaximumRecordAgeInSeconds"],
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """Records that are handed over together, and how often they still may be after a failure."""

    records: Sequence[Record]
    retries_left: int


class StreamSource:
    """One shard: its records in order, a batch at a time in each lane, until each was dealt with or discarded.

    A batch that failed as a whole is halved, if so set, which is no retry. One of which some failed is handed over again
    from the first that did. Once its retries or its time are used up, what is left of it goes to the failure destination
    (`discarded`), whole, and its lane goes on. Where the guide leaves it open, the stricter reading holds: the halves of a
    batch, and what is left of one, have no more retries than it had.
    """

    def __init__(self, handler: Handler, mapping: StreamMapping) -> None:
        self.discarded: list[Record] = []
        self.dealt_with: list[Record] = []
        self._handler = handler
        self._mapping = mapping
        self._lanes = [deque[Record]() for _ in range(mapping.lanes)]
        self._arrived = [asyncio.Event() for _ in range(mapping.lanes)]
        self._born: dict[str, float] = {}
        self._loop = asyncio.get_running_loop()

    def arrive(self, changes: Sequence[Change]) -> None:
        """Take in changes that the mapping's filter lets through."""
        for change in changes:
            lane = crc32(change.key.partition.encode()) % self._mapping.lanes
            self._born[change.sequence] = self._loop.time()
            self._lanes[lane].append(stream_record(change))
            self._arrived[lane].set()

    async def run(self) -> None:
        """Hand over what arrives."""
        await asyncio.gather(*map(self._serve, self._lanes, self._arrived))

    async def _serve(self, lane: deque[Record], arrived: asyncio.Event) -> None:
        while True:
            if not lane:
                arrived.clear()
                await arrived.wait()
            size = min(len(lane), self._mapping.batch_size)
            await self._deal_with([lane.popleft() for _ in range(size)])

    async def _deal_with(self, records: Sequence[Record]) -> None:
        to_do = [_Batch(records, self._mapping.retries)]
        while to_do:
            batch = to_do.pop(0)
            young = [record for record in batch.records if not self._is_too_old(record)]
            self.discarded += filter(self._is_too_old, batch.records)
            if young:
                again = await self._hand_over(_Batch(young, batch.retries_left))
                to_do = [*again, *to_do]
                if again:
                    await asyncio.sleep(RETRY_SECONDS)

    async def _hand_over(self, batch: _Batch) -> list[_Batch]:
        """Invoke the function once. Returns what is to be handed over again."""
        records = batch.records
        try:
            answer = await call(self._handler, {"Records": list(records)}, None)
        except Exception:  # noqa: BLE001 - whatever a function raises is a failed invocation
            if self._mapping.bisects and len(records) > 1:
                middle = len(records) // 2
                return [_Batch(records[:middle], batch.retries_left), _Batch(records[middle:], batch.retries_left)]
            first_failed: int | None = 0
        else:
            first_failed = self._first_failed(answer, records)
        left = [] if first_failed is None else records[first_failed:]
        self.dealt_with += records[: len(records) - len(left)]
        if not left:
            return []
        if batch.retries_left == 0:
            self.discarded += left
            return []
        return [_Batch(left, batch.retries_left - 1)]

    def _first_failed(self, answer: Any, records: Sequence[Record]) -> int | None:
        """Return the position of the checkpoint; None if all is done, 0 also for an answer that names no record."""
        if not self._mapping.reports_failures:
            return None
        failures = (answer or {}).get("batchItemFailures") or []
        positions = {record["dynamodb"]["SequenceNumber"]: number for number, record in enumerate(records)}
        return min((positions.get(failure.get("itemIdentifier"), 0) for failure in failures), default=None)

    def _is_too_old(self, record: Record) -> bool:
        age = self._loop.time() - self._born[record["dynamodb"]["SequenceNumber"]]
        return 0 <= self._mapping.max_age_seconds < age


@dataclass(frozen=True, slots=True)
class QueueMapping:
    """The settings of a queue and of the event source mapping that it feeds."""

    batch_size: int = 10
    visibility_seconds: float = 30
    most_receives: int = 8

    @classmethod
    def of(cls, queue: Mapping[str, Any], mapping: Mapping[str, Any]) -> Self:
        """Read the properties of an AWS::SQS::Queue and an AWS::Lambda::EventSourceMapping."""
        most_receives = queue["RedrivePolicy"]["maxReceiveCount"]
        return cls(mapping["BatchSize"], queue["VisibilityTimeout"], most_receives)


class QueueSource:
    """A standard queue into a function that reports failures: what was dealt with is deleted, the rest comes again.

    It comes again once its visibility has ended, and goes to `dead_letters` instead of being received too often.
    """

    def __init__(self, queues: InProcessQueues, queue: str, handler: Handler, mapping: QueueMapping) -> None:
        self.dead_letters: list[str] = []
        self._queues = queues
        self._queue = queue
        self._handler = handler
        self._mapping = mapping

    async def run(self) -> None:
        """Hand over what arrives."""
        receive = partial(
            self._queues.receive,
            self._queue,
            limit=self._mapping.batch_size,
            wait_seconds=POLL_SECONDS,
            visibility_seconds=self._mapping.visibility_seconds,
        )
        while True:
            received = await call(receive)
            dead = [message for message in received if message.receive_count > self._mapping.most_receives]
            self.dead_letters += [message.body for message in dead]
            self._delete(dead)
            await self._hand_over([message for message in received if message not in dead])

    async def _hand_over(self, messages: Sequence[ReceivedMessage]) -> None:
        if not messages:
            return
        records = [{"messageId": message.receipt, "body": message.body} for message in messages]
        try:
            answer = await call(self._handler, {"Records": records}, None)
        except Exception:  # noqa: BLE001 - as above: nothing is deleted
            return
        failures = (answer or {}).get("batchItemFailures") or []
        failed = {failure.get("itemIdentifier") for failure in failures}
        if failed <= {message.receipt for message in messages}:
            self._delete([message for message in messages if message.receipt not in failed])

    def _delete(self, messages: Sequence[ReceivedMessage]) -> None:
        self._queues.delete(self._queue, [message.receipt for message in messages])
