"""The programs of an installation as AWS would run them: gateway, functions, and the sources of their events."""

import asyncio
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from math import ceil
from typing import Any

from benchmarks.cost import durations, units
from benchmarks.cost.counts import Unit
from benchmarks.cost.metering import INVOCATION, IS_PRESENCE, Invocation, Meter
from benchmarks.cost.units import Image
from benchmarks.cost.waiting import sleep

from levante_core.adapters.dynamodb.images import item_of
from levante_core.ports.item_store import Change
from levante_core.storage.changes import concerns_dispatcher
from levante_local.greenlets import call
from levante_local.http.gateway import event_of
from tests.support.event_sources import StreamMapping, StreamSource

Handler = Callable[[dict[str, Any], Any], Mapping[str, Any]]

BASE = "/v1/workflows"
PRESENCE = {"/workers/heartbeat", "/workers/leave", "/workers/queue-access"}
LOOK_SECONDS = 0.25

_MEASURED_MS = re.compile(r'(?<="ms":)[0-9.]+')
"""How long the handler took here, which makes log lines a digit longer or shorter."""

API, DISPATCHER = "levante_api.lambda_function", "levante_dispatcher.lambda_function"
EVENTS = "levante_events.lambda_app"
MODULES = (API, DISPATCHER, EVENTS)
"""What Lambda imports. Each measurement imports them anew: they make their clients then."""


@dataclass(frozen=True, slots=True)
class Context:
    """What Lambda tells a handler of its invocation."""

    function_name: str
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:cost"
    aws_request_id: str = "00000000-0000-4000-8000-000000000000"


class Functions:
    """The handlers, each invocation counted, and lasting as long as `durations` says."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        api, dispatcher = map(import_module, (API, DISPATCHER))
        self.api = self._measured("api", api.handler)
        self.stream = self._measured("stream", dispatcher.stream_handler)
        self.timers = self._measured("timers", dispatcher.timers_handler)
        self.sweep = self._measured("sweep", dispatcher.sweep_handler)

    def _measured(self, name: str, handler: Handler) -> Callable[[Any, Any], dict[str, Any]]:
        def invoke(event: Any, _: Any) -> dict[str, Any]:
            counts, invocation, log = self._meter.counts, Invocation(), StringIO()
            token = INVOCATION.set(invocation)
            try:
                with redirect_stderr(log):
                    answer = dict(handler(event, Context(name)))
            finally:
                INVOCATION.reset(token)
            billed_ms = durations.OWN_MS[name] + durations.call_ms(invocation.in_turn, invocation.at_once)
            counts.add(Unit.INVOCATION, name)
            counts.add(Unit.BILLED_MS, name, billed_ms)
            for line in log.getvalue().splitlines():
                counts.add(Unit.LOG, name, len(_MEASURED_MS.sub("14.2", line).encode()) + units.LOG_LINE_BYTES)
            sleep(billed_ms / 1000)
            return answer

        return invoke


@contextmanager
def fresh_modules() -> Iterator[None]:
    """Forget the modules of the functions before the block, and those that it imported after it."""
    for name in MODULES:
        sys.modules.pop(name, None)
    try:
        yield
    finally:
        for name in MODULES:
            sys.modules.pop(name, None)


class Gateway:
    """The HTTP API in front of the function: one route, and an access log.

    Requests of workers that only say that they are there count as presence.
    """

    def __init__(self, meter: Meter, function: Callable[[Any, Any], dict[str, Any]], access_log: str) -> None:
        """access_log: the format of its lines, as in the template."""
        self._meter = meter
        self._function = function
        self._access_log = access_log

    async def request(self, method: str, path: str, key: str, body: bytes = b"") -> tuple[int, Mapping[str, str], bytes]:
        """Send a request. Returns status, headers and body of the answer."""
        token = IS_PRESENCE.set(path in PRESENCE)
        try:
            return await self._answered(method, path, key, body)
        finally:
            IS_PRESENCE.reset(token)

    async def _answered(self, method: str, path: str, key: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json")]
        scope = {
            "method": method,
            "path": BASE + path,
            "query_string": b"",
            "headers": headers,
            "http_version": "1.1",
            "client": ("203.0.113.195", 443),
        }
        counts = self._meter.counts
        answer = await call(self._function, event_of(scope, body), None)
        content = str(answer.get("body") or "").encode()
        counts.add(Unit.GATEWAY, "requests", units.gateway_requests(len(body)))
        counts.add(Unit.LOG, "access log", self._logged_bytes(method, answer["statusCode"], content))
        return int(answer["statusCode"]), answer["headers"], content

    def _logged_bytes(self, method: str, status: int, content: bytes) -> int:
        """Return the size of a line of the access log, with values of the length that the gateway's have."""
        values = {
            "$context.requestId": "JKJaXmPLvHcESHA=",
            "$context.requestTimeEpoch": "1767225600",
            "$context.identity.sourceIp": "203.0.113.195",
            "$context.identity.userAgent": "-",
            "$context.httpMethod": method,
            "$context.status": str(status),
            "$context.responseLength": str(len(content)),
            "$context.responseLatency": "16",
            "$context.integrationLatency": "14",
            "$context.integrationErrorMessage": "-",
        }
        line = self._access_log
        for name, value in values.items():
            line = line.replace(f'"{name}"', f'"{value}"')
        if "$context" in line:
            raise AssertionError(f"the access log has a field that the meter does not know: {line}")
        return len(line.encode()) + units.LOG_LINE_BYTES


class TableStream:
    """The table's stream, as Lambda reads it: it looks four times a second, and hands on what its filter lets through.

    Looking is free of charge. There is one shard here; a table of some size has several, whose batches are apart.
    Source: Lambda developer guide, "Using AWS Lambda with Amazon DynamoDB", polling and batching (read 2026-11-23).
    """

    def __init__(self, function: Callable[[Any, Any], dict[str, Any]], mapping: StreamMapping) -> None:
        self._source = StreamSource(function, mapping)
        self._loop = asyncio.get_running_loop()
        self._sequence = 0

    def changed(self, before: Image | None, after: Image | None) -> None:
        """Take in a change."""
        old, new = (item_of(image) if image else None for image in (before, after))
        if new is None or not concerns_dispatcher(old.attributes if old else None, new.attributes):
            return  # nothing expires here
        self._sequence += 1
        change = Change(str(self._sequence), new.key, old, new)
        looks = ceil(self._loop.time() / LOOK_SECONDS) * LOOK_SECONDS
        self._loop.call_at(looks, self._source.arrive, [change])

    async def run(self) -> None:
        """Hand over what arrives."""
        await self._source.run()


class TimersQueue:
    """What Lambda does with the timers queue: it receives what is due, invokes the function, and deletes it."""

    def __init__(self, meter: Meter, client: Any, url: str, function: Callable[[Any, Any], dict[str, Any]]) -> None:
        """client: one that is not counted; what Lambda would have sent is."""
        self._meter = meter
        self._client = client
        self._url = url
        self._function = function
        self._due_at: dict[str, float] = {}
        self._arrived = asyncio.Event()

    def delay(self, body: str, seconds: float) -> None:
        """Remember when a message is due."""
        self._due_at[body] = asyncio.get_running_loop().time() + seconds

    def rouse(self) -> None:
        """Look again."""
        self._arrived.set()

    async def run(self) -> None:
        """Hand over what is due."""
        async with asyncio.TaskGroup() as handed_over:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                answer = self._client.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
                for message in answer.get("Messages", ()):
                    handed_over.create_task(self._hand_over(message))

    async def _hand_over(self, message: Mapping[str, Any]) -> None:
        await asyncio.sleep(self._due_at.pop(message["Body"]) - asyncio.get_running_loop().time())
        self._meter.work.add(Unit.STANDARD, "ReceiveMessage")
        record = {"messageId": message["MessageId"], "body": message["Body"]}
        answer = await call(self._function, {"Records": [record]}, None)
        if answer["batchItemFailures"]:
            raise AssertionError(f"a message of the timers queue failed: {message['Body']}")
        self._meter.work.add(Unit.STANDARD, "DeleteMessageBatch")
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
