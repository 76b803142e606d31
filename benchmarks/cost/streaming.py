"""The events function: a stream that one reader follows, from the API's redirect to the end of the execution."""

import asyncio
from collections.abc import Callable
from importlib import import_module
from math import ceil
from typing import Any
from urllib.parse import urlsplit

from benchmarks.cost import durations
from benchmarks.cost.counts import Unit
from benchmarks.cost.installation import KEY, Installation, settings
from benchmarks.cost.metering import INVOCATION, Invocation
from benchmarks.cost.programs import EVENTS
from benchmarks.cost.waiting import sleep

from levante_core.adapters.aws.composition import build_aws_store
from levante_core.adapters.system import PollingWatch, RandomIds, SystemClock
from levante_core.services.access.api_keys import ApiKeyService
from levante_core.services.access.tickets import TicketService
from levante_core.services.conflicts import Conflicts
from levante_core.services.history.showing import HistoryService
from levante_core.services.observability.logs import LogService
from levante_core.services.observability.traces import TraceService
from levante_core.services.streams.publish import StreamService
from levante_core.services.streams.tails import TailService
from levante_events.app import EventsApp, StreamServices, StreamSettings
from levante_local.greenlets import call


class EventsFunction:
    """Serves streams as the function does, one invocation each, which is billed for as long as its stream is open.

    It is composed anew, from the same parts and limits, as the function itself waits in threads.
    """

    def __init__(self, place: Installation) -> None:
        self._place = place
        store, clock, ids = build_aws_store(settings()), SystemClock(), RandomIds()
        streams = StreamService(store, Conflicts(clock, ids))
        function = import_module(EVENTS)
        watch = PollingWatch(sleep, longest_seconds=function.LONGEST_POLL_SECONDS)
        services = StreamServices(
            ApiKeyService(store, clock, ids),
            TicketService(store, clock, ids),
            HistoryService(store),
            streams,
            TailService(streams, clock, watch),
            LogService(store, clock),
            TraceService(store),
        )
        self._app = EventsApp(services, _run, StreamSettings(longest_seconds=function.LONGEST_SECONDS))

    async def follow(self, execution_id: str) -> bytes:
        """Ask the API for an execution's stream and read it to its end. Returns what was streamed."""
        path = f"/executions/{execution_id}/stream"
        status, headers, _ = await self._place.gateway.request("GET", path, KEY)
        if status != 307:
            raise AssertionError(f"the API answered {status} to a reader of events")
        loop = asyncio.get_running_loop()
        began = loop.time()
        streamed = await self._streamed(headers["Location"])
        counts = self._place.meter.work
        counts.add(Unit.INVOCATION, "events")
        counts.add(Unit.BILLED_MS, "events", ceil((loop.time() - began) * 1000))
        return streamed

    async def _streamed(self, location: str) -> bytes:
        asked = urlsplit(location)
        scope = {
            "type": "http",
            "method": "GET",
            "path": asked.path,
            "query_string": asked.query.encode(),
            "headers": [],
        }
        parts: list[bytes] = []

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            return {}

        async def send(message: Any) -> None:
            if message.get("status", 200) != 200:
                raise AssertionError(f"the events function answered {message['status']}")
            parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return b"".join(parts)


async def _run(function: Callable[..., Any], /, *args: Any) -> Any:
    """Run what a thread would run; its calls take their time."""
    return await call(_timed, function, args)


def _timed(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    invocation = Invocation()
    token = INVOCATION.set(invocation)
    try:
        return function(*args)
    finally:
        INVOCATION.reset(token)
        sleep(durations.call_ms(invocation.in_turn, invocation.at_once) / 1000)
