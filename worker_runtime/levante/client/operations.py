"""Everything that the clients offer, as steps: the sync and the async client only carry them out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

from levante.client import requests
from levante.client.answers import Answer
from levante.client.errors import InvalidInput, NotReady, Problem, TimedOut
from levante.client.models import (
    ExecutionDescription,
    ExecutionEvent,
    Explanation,
    description_in,
    event_in,
    explanation_in,
    result_in,
)
from levante.client.requests import Request
from levante.client.settings import Connection
from levante.client.steps import Compute, Frame, Pause, Server, Steps, call, end, start
from levante.client.targets import CallTarget
from levante.client.waiting import Deadline, end_of, follow, not_ended
from levante.encoding.codec import PayloadCodec
from levante.encoding.errors import PayloadNotEncodable
from levante.encoding.events import decode_event_payload
from levante.encoding.settings import EncodingSettings, read_encoding_settings
from levante.encoding.wire import PayloadContext
from levante_core.protocol import Json, is_encoded
from levante_core.protocol.streams import sequence_in

Of: TypeAlias = Literal["itself", "children", "tree"]
"""Whose events: the execution's own, those of the children that it started, or of all below it."""
_OF: Mapping[str, str] = {
    "itself": "workflow_exec_id",
    "children": "parent_workflow_exec_id",
    "tree": "root_workflow_exec_id",
}
_UPDATE_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted. types: all, if none is named. after: the sequence number of the last one seen."""

    of: Of = "itself"
    types: Sequence[str] = ()
    after: int = 0

    def request(self, execution_id: str, last: str | None) -> Request:
        """Ask for what follows the frame with this id."""
        first = (self.after if last is None else sequence_in(last) or 0) + 1
        types = {"workflow_event_types": list(self.types)} if self.types else {}
        return requests.event_stream({_OF[self.of]: execution_id, **types}, first)


class Operations:
    """encoding: how payloads are encoded; None for what the environment says."""

    def __init__(
        self, connection: Connection, encoding: EncodingSettings | None, *, seconds: float, retry_seconds: float
    ) -> None:
        """Raises: EncodingMisconfigured."""
        self.server = Server(connection, time.monotonic, seconds, retry_seconds)
        self._codec = PayloadCodec(read_encoding_settings() if encoding is None else encoding)
        self._namespace: str | None = None

    # --- executions ---------------------------------------------------------------------------------------------------

    def start(self, workflow: CallTarget, given: object, execution_id: str | None, deployment: str | None) -> Steps[str]:
        """Start an execution. Returns its id. Raises: ClientError."""
        used_id = execution_id or secrets.token_hex(16)
        value = yield from self._encoded(workflow.dump(given), used_id, "the input")
        request = requests.start(workflow.name, value, used_id, deployment)
        yield from start(self.server, request, used_id, is_id_ours=execution_id is None)
        return used_id

    def execute(
        self, workflow: CallTarget, given: object, execution_id: str | None, deployment: str | None, timeout: float | None
    ) -> Steps[Any]:
        """Start an execution and return its result. Raises: ClientError."""
        deadline = Deadline(self.server, timeout)
        used_id = execution_id or secrets.token_hex(16)
        value = yield from self._encoded(workflow.dump(given), used_id, "the input")
        wait = min(requests.WAIT_SECONDS, deadline.left)
        request = requests.start(workflow.name, value, used_id, deployment, wait_seconds=wait)
        try:
            answer: Answer = yield from start(
                self.server, request, used_id, is_id_ours=execution_id is None, seconds=self.server.seconds + wait
            )
        except NotReady:
            return (yield from self.result(workflow, used_id, None if timeout is None else deadline.left))
        if "status" in (answer.value or ()) and not answer.has_ended:
            return (yield from self.result(workflow, used_id, None if timeout is None else deadline.left))
        return (yield from self._result(workflow, answer, used_id))

    def result(self, workflow: CallTarget, execution_id: str, timeout: float | None) -> Steps[Any]:
        """Wait for the result of an execution. Raises: WorkflowExecutionFailed, NotReady, other ClientErrors."""
        answer = yield from end_of(self.server, execution_id, timeout)
        if answer is None:
            raise not_ended(execution_id, timeout)
        return (yield from self._result(workflow, answer, execution_id))

    def describe(self, execution_id: str) -> Steps[ExecutionDescription]:
        """Show an execution. Raises: ClientError."""
        return description_in((yield from call(self.server, requests.describe(execution_id, with_search_keys=True))))

    def explain(self, execution_id: str) -> Steps[Explanation]:
        """Say what an execution waits for. Raises: ClientError."""
        return explanation_in((yield from call(self.server, requests.explain(execution_id))))

    def end(self, execution_id: str, verb: str) -> Steps[None]:
        """Cancel or terminate an execution. Raises: ClientError."""
        return end(self.server, execution_id, verb)

    # --- messages -----------------------------------------------------------------------------------------------------

    def signal(self, execution_id: str, handler: CallTarget, given: object, request_id: str | None) -> Steps[None]:
        """Send a signal, which is taken once. Raises: ClientError."""
        value = yield from self._encoded(handler.dump(given), execution_id, "the input of the signal")
        once = request_id or secrets.token_hex(16)
        yield from call(self.server, requests.send(execution_id, "signals", handler.name, value, once))

    def query(self, execution_id: str, handler: CallTarget, given: object, timeout: float) -> Steps[Any]:
        """Ask something that changes nothing. Raises: NotReady, other ClientErrors."""
        value = yield from self._encoded(handler.dump(given), execution_id, "the input of the query")
        request = requests.send(execution_id, "queries", handler.name, value)
        try:
            answer = yield from call(self.server, request, seconds=timeout)
        except TimedOut as error:
            raise NotReady(f"query {handler.name!r} has no answer after {timeout:g} s: is a worker there?") from error
        answer.field("query_name", str)
        return handler.load((yield from self._decoded(answer.value.get("result"), execution_id)))

    def update(
        self, execution_id: str, handler: CallTarget, given: object, request_id: str | None, timeout: float | None
    ) -> Steps[Any]:
        """Send an update, which is carried out once, and wait for its answer. Raises: NotReady, other ClientErrors."""
        deadline = Deadline(self.server, timeout)
        value = yield from self._encoded(handler.dump(given), execution_id, "the input of the update")
        once = request_id or secrets.token_hex(16)
        request = requests.send(execution_id, "updates", handler.name, value, once)
        answer: Answer | None = None
        while answer is None:
            try:
                answer = yield from call(self.server, request, seconds=min(self.server.seconds, deadline.request_seconds))
            except (NotReady, TimedOut) as error:  # asked again with its id, the API goes on waiting for the same answer
                if deadline.left == 0:
                    problem = f"update {handler.name!r} has no answer after {timeout:g} s; it goes on"
                    raise NotReady(problem) from error
                yield Pause(min(_UPDATE_PAUSE_SECONDS, deadline.left))
        answer.field("update_name", str)
        return handler.load((yield from self._decoded(answer.value.get("result"), execution_id)))

    # --- events -------------------------------------------------------------------------------------------------------

    def stream(self, execution_id: str, wanted: EventFilter, timeout: float | None) -> Steps[None]:
        """Emit the events of an execution until it has ended. Raises: ClientError."""
        return follow(self.server, lambda last: wanted.request(execution_id, last), execution_id, timeout)

    def event(self, frame: Frame) -> Steps[ExecutionEvent]:
        """Return the event in a frame, with its value decoded. Raises: ClientError, and what decoding raises."""
        event = event_in(frame.data or "")
        name = event.value_attribute
        carried = event.attributes[name] if name else None
        if not isinstance(carried, dict) or not carried.get("encoding_options"):
            return event
        context = PayloadContext((yield from self._workspace()), event.execution_id)
        plain = yield Compute(partial(decode_event_payload, self._codec, carried, context))
        return event.model_copy(update={"attributes": {**event.attributes, name: plain}})

    # --- payloads -----------------------------------------------------------------------------------------------------

    def _result(self, workflow: CallTarget, answer: Answer, execution_id: str) -> Steps[Any]:
        return workflow.load((yield from self._decoded(result_in(answer, execution_id), execution_id)))

    def _encoded(self, value: Json, execution_id: str, what: str) -> Steps[Json]:
        if not self._codec.is_active:
            return self._encode(value, PayloadContext("", execution_id), what)
        context = PayloadContext((yield from self._workspace()), execution_id)
        return (yield Compute(partial(self._encode, value, context, what)))

    def _encode(self, value: Json, context: PayloadContext, what: str) -> Json:
        """Return what is sent in place of a value. Raises: InvalidInput for one that is too large, or no JSON."""
        try:
            return self._codec.encode(value, context, what=what)
        except PayloadNotEncodable as error:
            raise InvalidInput(error.message, (Problem("input", error.message),), error.code) from None

    def _decoded(self, value: Json, execution_id: str) -> Steps[Json]:
        if not is_encoded(value):
            return value
        context = PayloadContext((yield from self._workspace()), execution_id)
        return (yield Compute(partial(self._codec.decode, value, context)))

    def _workspace(self) -> Steps[str]:
        if self._namespace is None:
            self._namespace = (yield from call(self.server, requests.whoami())).field("namespace", str)
        return self._namespace
