"""Where payloads change: plain inside a worker, encoded everywhere else (docs/encoding.md).

Workflow code and its replay see plain values only. Values are decoded when a worker gets them, and encoded when it sends
them.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any, ParamSpec, TypeVar

from levante.encoding.codec import PayloadCodec
from levante.encoding.events import encode_event_payload
from levante.encoding.limits import PAYLOADS_AT_ONCE, Budget
from levante.encoding.offloadable import FieldOffloader
from levante.encoding.settings import EncodingSettings
from levante.encoding.wire import PayloadContext, could_be_taken_for_encoded
from levante_core.protocol import (
    ActivityScheduled,
    ChildCompleted,
    ChildScheduled,
    ChildSignaled,
    Fact,
    HistoryBatch,
    HistoryEvent,
    Input,
    Json,
    PatchOperation,
    RunStart,
    ScheduleDefinition,
    TaskEvent,
    TaskPublished,
    WorkflowSpec,
    is_encoded,
    problem_with,
)
from levante_core.protocol.workers import LoadResponse

P = ParamSpec("P")
T = TypeVar("T")
EventT = TypeVar("EventT")

FIELDS: Mapping[str, str] = {
    "activity_scheduled": "input",
    "activity_completed": "result",
    "child_scheduled": "input",
    "child_completed": "result",
    "child_signaled": "input",
    "execution_completed": "result",
    "execution_continued_as_new": "input",
    "signal_received": "input",
    "update_requested": "input",
    "update_completed": "result",
}
"""Where events have a payload, by kind."""
SCHEDULED = "__scheduled_workflow__"
"""What the inputs of schedules are encoded for, as nobody knows their executions. Source: REST contract, section 5."""

_THREADS = ThreadPoolExecutor(32, thread_name_prefix="payloads")


class Payloads:
    """Decodes what a worker gets, and encodes what it sends. namespace: the workspace."""

    def __init__(self, settings: EncodingSettings, namespace: str) -> None:
        """Raises: EncodingMisconfigured."""
        self._codec = PayloadCodec(settings)
        self._fields = FieldOffloader(settings)
        self._has_fields = settings.activity_attributes_offloading is not None
        self._namespace = namespace
        encryption = settings.payload_encryption
        self._main_key = bytes.fromhex(encryption.main_key.get_secret_value()) if encryption else None
        self._most_bytes = settings.max_payload_bytes
        self.is_active = self._codec.is_active or self._has_fields
        """Whether anything is ever encoded."""

    def check(self, what: str, value: Json) -> tuple[int, str | None]:
        """Return the size of a plain value, and what is wrong with it; what may become smaller may have any size."""
        size, problem = problem_with(what, value, of_any_size=self.is_active)
        if problem is None and size > self._most_bytes:
            problem = f"{what} has {size:,} bytes, and LEVANTE_MAX_PAYLOAD_BYTES allows {self._most_bytes:,}"
        return size, problem

    # --- in -----------------------------------------------------------------------------------------------------------

    async def decoded(self, value: Json, execution_id: str) -> Json:
        """Return a value as it was before it was encoded. Raises: PayloadUndecodable, EncodingMisconfigured."""
        if not is_encoded(value):
            return value
        return await _in_thread(self._codec.decode, value, self._context(execution_id))

    async def decoded_start(self, start: RunStart, execution_id: str) -> RunStart:
        """Decode what a run is started with. Raises: as `decoded`."""
        is_of_schedule = start.schedule_id is not None and start.continued_run_id is None
        value = await self.decoded(start.input, SCHEDULED if is_of_schedule else execution_id)
        return start if value is start.input else start.model_copy(update={"input": value})

    async def decoded_facts(self, facts: Sequence[Fact], execution_id: str, children: Mapping[int, str]) -> tuple[Fact, ...]:
        """Decode facts. children: execution ids, by the seq of the command that asked for them. Raises: as `decoded`."""
        if not any(_is_encoded(fact.input) for fact in facts):
            return tuple(facts)
        return await _in_thread(self._decode_facts, facts, execution_id, children, self._budget())

    async def decoded_load(self, loaded: LoadResponse, execution_id: str, children: Mapping[int, str]) -> LoadResponse:
        """Decode all that was loaded of a run. Raises: as `decoded`."""
        events = (event for batch in loaded.batches for event in batch.events)
        inputs = chain(events, (fact.input for fact in loaded.facts))
        asked = (loaded.start.input, *(query.input for query in loaded.queries))
        if not (any(map(is_encoded, asked)) or any(map(_is_encoded, inputs))):
            return loaded
        return await _in_thread(self._decode_load, loaded, execution_id, children, self._budget())

    async def restored(self, value: Json, execution_id: str) -> Json:
        """Return the input of an activity with its offloaded fields in place. Raises: as `decoded`."""
        return await self._off_loop(self._fields.restore, value, self._context(execution_id)) if self._has_fields else value

    # --- out ----------------------------------------------------------------------------------------------------------

    async def encoded(self, value: Json, execution_id: str, what: str) -> Json:
        """Return what is sent in place of a value. what: names it in errors.

        Raises: PayloadNotEncodable, BlobStoreFailed.
        """
        return await self._off_loop(self._encode, value, self._context(execution_id), what)

    async def offloaded(self, value: Json, execution_id: str) -> Json:
        """Return the result of an activity with its large fields replaced by references. Raises: as `encoded`."""
        return await self._off_loop(self._fields.offload, value, self._context(execution_id)) if self._has_fields else value

    async def encoded_events(self, events: Sequence[HistoryEvent], execution_id: str) -> tuple[HistoryEvent, ...]:
        """Encode what is to be recorded. Raises: as `encoded`."""
        return await self._off_loop(self._encode_events, events, execution_id)

    async def encoded_spec(self, spec: WorkflowSpec) -> WorkflowSpec:
        """Encode the inputs of schedules; they are never offloaded. Those that are the same have the same `input_hash`."""
        if not self._codec.is_active:
            return spec
        schedules = [await self._off_loop(self._encode_schedule, one) for one in spec.schedules]
        return spec.model_copy(update={"schedules": tuple(schedules)})

    async def encoded_task_event(self, event: TaskEvent) -> TaskEvent:
        """Encode what a custom task publishes; nothing of it is offloaded. Raises: PayloadNotEncodable."""
        return await self._off_loop(self._encode_task_event, event)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _context(self, execution_id: str) -> PayloadContext:
        return PayloadContext(namespace=self._namespace, execution_id=execution_id)

    def _encode_schedule(self, schedule: ScheduleDefinition) -> ScheduleDefinition:
        encoded = self._codec.transforms.do(schedule.input, lambda _: None)
        if not encoded.transforms:
            return schedule
        sent = {**encoded.to_json(), "input_hash": self._fingerprint(schedule.input)}
        return schedule.model_copy(update={"input": sent})

    def _fingerprint(self, value: Json) -> str:
        text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        return (
            hmac.new(self._main_key, text, hashlib.sha256).hexdigest()
            if self._main_key
            else hashlib.sha256(text).hexdigest()
        )

    async def _off_loop(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Keep blobs and ciphers of a worker that has them off its loop."""
        if self.is_active:
            return await _in_thread(function, *args, **kwargs)
        return function(*args, **kwargs)

    def _budget(self) -> Budget:
        return Budget(PAYLOADS_AT_ONCE * self._most_bytes)

    def _encode(self, value: Json, context: PayloadContext, what: str) -> Json:
        is_to_do = self._codec.is_active or could_be_taken_for_encoded(value)
        return self._codec.encode(value, context, what=what) if is_to_do else value

    def _encode_events(self, events: Sequence[HistoryEvent], execution_id: str) -> tuple[HistoryEvent, ...]:
        return tuple(self._encode_event(event, execution_id) for event in events)

    def _encode_event(self, event: HistoryEvent, execution_id: str) -> HistoryEvent:
        if isinstance(event, TaskPublished):
            return event.model_copy(update={"event": self._encode_task_event(event.event)})
        field = FIELDS.get(event.kind)
        if field is None:
            return event
        value: Json = getattr(event, field)
        of_child = isinstance(event, ChildScheduled | ChildSignaled)
        context = self._context(event.execution_id if of_child else execution_id)  # type: ignore[union-attr] # checked above
        what = f"the {field} of {getattr(event, 'name', None) or event.kind}"
        plain = self._fields.offload(value, context) if isinstance(event, ActivityScheduled) else value
        sent = self._encode(plain, context, what)
        return event if sent is value else event.model_copy(update={field: sent})

    def _encode_task_event(self, event: TaskEvent) -> TaskEvent:
        if not self._codec.is_active:
            return event
        if event.patch is None:
            return self._encode_task_payload(event)
        patch: list[Json] = [operation.model_dump() for operation in event.patch]
        encoded = encode_event_payload(self._codec, {"type": "json_patch", "value": patch}, encrypted_at=event.encrypted_at)
        options = encoded.get("encoding_options")
        if not options:
            return event
        if isinstance(encoded["value"], str):
            payload = {"b64payload": encoded["value"], "encoding_options": options, "empty": False}
            return event.model_copy(update={"patch": None, "payload": payload})
        operations: Any = encoded["value"]
        return event.model_copy(
            update={"patch": tuple(map(PatchOperation.model_validate, operations)), "patch_options": tuple(options)}
        )

    def _encode_task_payload(self, event: TaskEvent) -> TaskEvent:
        encoded = encode_event_payload(self._codec, {"type": "json", "value": event.payload})
        options = encoded.get("encoding_options")
        if not options:
            return event
        payload = {"b64payload": encoded["value"], "encoding_options": options, "empty": False}
        return event.model_copy(update={"payload": payload})

    def _decode_facts(
        self, facts: Iterable[Fact], execution_id: str, children: Mapping[int, str], budget: Budget
    ) -> tuple[Fact, ...]:
        return tuple(
            fact
            if (plain := self._decode_event(fact.input, execution_id, children, budget)) is fact.input
            else fact.model_copy(update={"input": plain})
            for fact in facts
        )

    def _decode_load(
        self, loaded: LoadResponse, execution_id: str, children: Mapping[int, str], budget: Budget
    ) -> LoadResponse:
        known, context = {**children, **children_in(loaded.batches)}, self._context(execution_id)
        start = self._codec.decode(loaded.start.input, context, budget)
        queries = tuple(
            query.model_copy(update={"input": self._codec.decode(query.input, context, budget)}) for query in loaded.queries
        )
        return loaded.model_copy(
            update={
                "start": loaded.start.model_copy(update={"input": start}),
                "batches": tuple(self._decode_batch(batch, execution_id, known, budget) for batch in loaded.batches),
                "facts": self._decode_facts(loaded.facts, execution_id, known, budget),
                "queries": queries,
            }
        )

    def _decode_batch(
        self, batch: HistoryBatch, execution_id: str, children: Mapping[int, str], budget: Budget
    ) -> HistoryBatch:
        events = tuple(self._decode_event(event, execution_id, children, budget) for event in batch.events)
        is_same = all(plain is event for plain, event in zip(events, batch.events, strict=True))
        return batch if is_same else batch.model_copy(update={"events": events})

    def _decode_event(self, event: EventT, execution_id: str, children: Mapping[int, str], budget: Budget) -> EventT:
        """Decode an event or a fact's input."""
        one: Any = event
        field = FIELDS.get(one.kind)
        if field is None:
            return event
        value: Json = getattr(one, field)
        owner = execution_id
        if isinstance(event, ChildScheduled | ChildSignaled):
            owner = event.execution_id
        elif isinstance(event, ChildCompleted):
            owner = children.get(event.seq, execution_id)
        plain = self._codec.decode(value, self._context(owner), budget)
        return event if plain is value else one.model_copy(update={field: plain})


async def _in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what may read blobs, or work through megabytes, in a thread that no activity waits for or keeps busy."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, partial(function, *args, **kwargs))


def _is_encoded(event: HistoryEvent | Input) -> bool:
    field = FIELDS.get(event.kind)
    return field is not None and is_encoded(getattr(event, field))


PLAIN = Payloads(EncodingSettings(), "")
"""Where nothing is encoded."""


def children_in(batches: Iterable[HistoryBatch]) -> dict[int, str]:
    """Return the execution ids of the children that these batches ask for, by seq."""
    events = (event for batch in batches for event in batch.events)
    return {event.seq: event.execution_id for event in events if isinstance(event, ChildScheduled)}
