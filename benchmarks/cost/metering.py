"""Counts the calls of AWS that the programs really make, by hooks of botocore on every client that they make.

What a write found and left is read on the side, before and after it, with a client that is not counted. The hooks also
keep the emulator's clock out of the measurement, whose time is virtual: a long poll waits here and not there, a message is
delayed here, and leases and lent credentials last by this clock.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import botocore
import botocore.session
from benchmarks.cost import units
from benchmarks.cost.counts import TABLE, Counts, Unit
from benchmarks.cost.units import Image, Index

from levante_core.adapters.dynamodb.images import PARTITION, SORT
from levante_core.ports.surroundings import Clock

Parameters = dict[str, Any]
Answer = Mapping[str, Any]

AT_ONCE: ContextVar[bool] = ContextVar("at_once", default=False)
"""Whether the calls that are made here belong to many that the store has on their way at once."""

_TRANSACTION = "TransactWriteItems"
_WRITES = {"PutItem", "UpdateItem", "DeleteItem", _TRANSACTION}
_MOVES = {"SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"}
"""After these, a queue may have something to be received: what was sent, what is left, or the next of a group."""
_S3 = {"PutObject": Unit.S3_PUT, "GetObject": Unit.S3_GET}
_FOREVER_SECONDS = 12 * 60 * 60
"""The longest that SQS hides a message: longer than any measurement takes."""


class Place(Protocol):
    """What the meter asks of the installation."""

    @property
    def clock(self) -> Clock:
        """The clock that everything here goes by."""
        ...

    def await_messages(self, url: str, seconds: float) -> bool:
        """Wait until a queue may have messages. Tells whether the time was over before."""
        ...

    def rouse(self, url: str) -> None:
        """Let whoever waits for a queue look again."""
        ...

    def delay(self, body: str, seconds: float) -> None:
        """Remember when a message is due."""
        ...

    def changed(self, before: Image | None, after: Image | None) -> None:
        """Hear of a change of the table."""
        ...


@dataclass
class Invocation:
    """The calls that one invocation made."""

    in_turn: Counter[str] = field(default_factory=Counter)
    at_once: Counter[str] = field(default_factory=Counter)


@dataclass
class Comparison:
    """How often the emulator reported the units that `units` works out for a single write or a read, and where not."""

    agreements: int = 0
    disagreements: list[str] = field(default_factory=list)


INVOCATION: ContextVar[Invocation | None] = ContextVar("invocation", default=None)
IS_PRESENCE: ContextVar[bool] = ContextVar("is_presence", default=False)
"""Whether what happens here is a worker's being there, not its work."""


class Meter:
    """Hooks, and what they have counted since the last `reset`.

    work: what executions cost. presence: what it costs that a worker is connected: heartbeats, and polls that bring nothing.
    """

    def __init__(self, indexes: Sequence[Index], read: Callable[[Image], Image | None]) -> None:
        """read: one item, by its key, without being counted."""
        self.work, self.presence = Counts(), Counts()
        self.comparison = Comparison()
        self.place: Place | None = None
        self._indexes = indexes
        self._read = read

    @property
    def counts(self) -> Counts:
        """Where to count what happens here."""
        return self.presence if IS_PRESENCE.get() else self.work

    def reset(self) -> None:
        """Begin anew."""
        self.work, self.presence = Counts(), Counts()

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Hook every client that is made inside the block."""
        botocore.register_initializer(self._hook)
        try:
            yield
        finally:
            botocore.unregister_initializer(self._hook)

    def _hook(self, session: botocore.session.Session) -> None:
        session.register("provide-client-params.*.*", self._before)
        session.register("after-call.*.*", self._after)

    # --- hooks --------------------------------------------------------------------------------------------------------

    def _before(self, params: Parameters, model: Any, context: dict[str, Any], **_: Any) -> Parameters | None:
        service, operation = model.service_model.service_name, model.name
        context["asked"] = params
        if service == "dynamodb":
            if operation in _WRITES:
                context["before"] = [self._read(key) for key in _keys_of(params)]
            return {**params, "ReturnConsumedCapacity": "INDEXES"}
        if service == "sqs" and self.place:
            return self._taken_over(self.place, operation, params, context)
        return None

    def _taken_over(self, place: Place, operation: str, params: Parameters, context: dict[str, Any]) -> Parameters:
        """Let waits and delays pass here, so that the emulator does neither."""
        if operation == "ReceiveMessage":
            context["is_over"] = place.await_messages(params["QueueUrl"], params.get("WaitTimeSeconds", 0))
            return {**params, "WaitTimeSeconds": 0, "VisibilityTimeout": _FOREVER_SECONDS}
        if operation == "SendMessageBatch" and not _is_fifo(params["QueueUrl"]):
            for entry in params["Entries"]:
                place.delay(entry["MessageBody"], entry.get("DelaySeconds", 0))
            return {**params, "Entries": [{**entry, "DelaySeconds": 0} for entry in params["Entries"]]}
        return params

    def _after(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        service, operation = model.service_model.service_name, model.name
        requests = 1 + int(parsed.get("ResponseMetadata", {}).get("RetryAttempts", 0))
        if requests > 1:
            raise AssertionError(f"{operation} was sent {requests} times: the emulator fails, and nothing can be counted")
        invocation = INVOCATION.get()
        if invocation:
            (invocation.at_once if AT_ONCE.get() else invocation.in_turn)[operation] += 1
        if service == "dynamodb":
            self._count_table(operation, context, parsed)
        elif service == "sqs":
            self._count_queue(operation, context, parsed)
        elif service == "s3":
            self.counts.add(_S3.get(operation, Unit.S3_PUT), operation)
        else:
            self.counts.add(Unit.FREE, operation)
            if operation == "AssumeRole" and self.place:
                lasts = timedelta(seconds=context["asked"]["DurationSeconds"])
                parsed["Credentials"]["Expiration"] = self.place.clock.now() + lasts

    # --- services -----------------------------------------------------------------------------------------------------

    def _count_table(self, operation: str, context: Mapping[str, Any], answer: Answer) -> None:
        params = context["asked"]
        is_consistent = params.get("ConsistentRead", False)
        if operation == "Query":
            number = units.query_units(answer.get("Items", ()), is_consistent=is_consistent)
            self._count_read(params.get("IndexName", TABLE), number, answer)
        elif operation == "GetItem":
            self._count_read(TABLE, units.get_units(answer.get("Item"), is_consistent=is_consistent), answer)
        else:
            self._count_writes(operation, context, answer)

    def _count_read(self, where: str, number: float, answer: Answer) -> None:
        self.counts.add(Unit.READ, where, number)
        self._compare("a read", number, answer)

    def _count_writes(self, operation: str, context: Mapping[str, Any], answer: Answer) -> None:
        factor = 2 if operation == _TRANSACTION else 1
        total = 0
        for key, before in zip(_keys_of(context["asked"]), context["before"], strict=True):
            after = self._read(key)
            number = factor * units.write_units(before, after)
            self.counts.add(Unit.WRITE, TABLE, number)
            total += number
            for index in self._indexes:
                number = factor * units.index_write_units(index, before, after)
                self.counts.add(Unit.WRITE, index.name, number)
                total += number
            if before != after and self.place:
                self.place.changed(before, after)
        if factor == 1 and "Error" not in answer:
            self._compare(operation, total, answer)

    def _compare(self, what: str, number: float, answer: Answer) -> None:
        """Compare with what the emulator reports; that a read which finds nothing is free, none is believed."""
        reported = answer.get("ConsumedCapacity", {}).get("CapacityUnits")
        if reported == number:
            self.comparison.agreements += 1
        elif reported or answer.get("Item") or answer.get("Items"):
            self.comparison.disagreements.append(f"{what}: {number:g} units by the rule, {reported} by the emulator")

    def _count_queue(self, operation: str, context: Mapping[str, Any], answer: Answer) -> None:
        params = context["asked"]
        url = params.get("QueueUrl") or answer.get("QueueUrl", "")
        if operation == "ReceiveMessage":
            messages = answer.get("Messages", ())
            if not messages and not context.get("is_over", True):
                return  # the emulator has only messages whose group is held; SQS would have gone on waiting
            size = sum(len(message["Body"].encode()) for message in messages)
        else:
            size = sum(len(entry.get("MessageBody", "").encode()) for entry in params.get("Entries", ()))
        is_idle = operation == "ReceiveMessage" and not answer.get("Messages")
        counts = self.presence if is_idle else self.counts
        counts.add(Unit.FIFO if _is_fifo(url) else Unit.STANDARD, operation, units.queue_requests(size))
        if self.place and operation in _MOVES and not is_idle:
            self.place.rouse(url)


def _is_fifo(url: str) -> bool:
    return url.endswith(".fifo")


def _keys_of(params: Parameters) -> list[Image]:
    """Return the keys of what a request writes."""
    parts = [part for item in params.get("TransactItems", ()) for part in item.values()] or [params]
    return [{name: (part.get("Key") or part["Item"])[name] for name in (PARTITION, SORT)} for part in parts]
