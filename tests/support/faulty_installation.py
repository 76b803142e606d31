"""An installation on AWS's terms and in virtual time, in which every program may fail at every operation."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from levante.testing.virtual_time import LoopClock
from levante.worker.transport.retrying import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS
from levante_core.adapters.offloading import OffloadingStore
from levante_core.errors import InconsistentHistory, NotFound, Unavailable
from levante_core.ports.item_store import Change, Item, Key
from levante_core.services.dispatch.sender import TIMERS_QUEUE
from levante_core.services.engine import Engine, build_engine
from levante_core.services.executions.start import StartRequest
from levante_core.storage.keys import BATCH, FACT
from levante_dispatcher.changes import Resolve
from levante_dispatcher.handlers import DispatcherHandlers, Event, Handler, build_handlers, without_halving
from levante_local.change_watch import LocalChangeWatch
from levante_local.greenlets import call
from levante_local.payload_files import PayloadFiles
from levante_local.queues.queues import InProcessQueues
from tests.support.direct import WORKSPACE, InProcessApi, Installation
from tests.support.event_sources import QueueMapping, QueueSource, StreamMapping, StreamSource
from tests.support.faults import NO_FAULTS, Faults, FaultyQueues, FaultyStore, Operations
from tests.support.sam import load_template

SWEEP_SECONDS = 60.0
_TEMPLATE = load_template()["Resources"]
STREAM = StreamMapping.of(_TEMPLATE["StreamSource"]["Properties"])
TIMERS = QueueMapping.of(_TEMPLATE["Timers"]["Properties"], _TEMPLATE["TimersSource"]["Properties"])
LOOK_SECONDS = 0.25
"""Virtual time between two looks at whether something has happened."""


class SameIds:
    """Ids that are the same in every run of a test: they decide about shards and lanes, and so about the order of things."""

    def __init__(self) -> None:
        self._random = Random(0)  # noqa: S311 - makes names, keeps no secrets

    def uuid(self) -> str:
        """See Ids."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def secret(self) -> str:
        """See Ids."""
        return self.uuid()

    def fraction(self) -> float:
        """See Ids."""
        return self._random.random()


class Line:
    """One worker's way to the API: calls without an answer are made again, as `levante.worker.transport.api.Api` makes them.

    is_cut: nothing comes through, answers to calls under way included.
    """

    def __init__(self, api: InProcessApi) -> None:
        self.is_cut = False
        self._api = api

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._api, name)

        async def repeated(*args: object) -> Any:
            delay = FIRST_RETRY_SECONDS
            while True:
                with suppress(Unavailable):
                    answer = None if self.is_cut else await method(*args)
                    if not self.is_cut:
                        return answer
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_RETRY_SECONDS)

        return repeated


class FaultyInstallation(Installation):
    """Leases end by themselves, stream and timers queue are event sources, and each minute has its sweeps.

    Each program (api, stream, timers, sweep) has services of its own on the same store and queues, and fails by itself:
    `api.write`, `stream.send`. Invocations fail too: `stream.invoke` is REFUSED before the function does anything, or
    UNANSWERED after it has done everything. `engine` never fails: tests look with it.
    """

    def __init__(
        self,
        data: Path,
        faults: Faults = NO_FAULTS,
        *,
        fast_path: bool = False,
        stream: StreamMapping = STREAM,
        timers: QueueMapping = TIMERS,
        dispatchers: int = 1,
        sweeps: int = 1,
    ) -> None:
        super().__init__(data)
        self.clock = LoopClock()
        self.ids = SameIds()
        self.queues = InProcessQueues(self.clock)
        self.queues.ensure(TIMERS_QUEUE)
        self.faults = faults
        self.is_poison: Callable[[Item], bool] = lambda _: False
        """Items whose records the stream's function cannot deal with, as if their payload were missing."""
        self.delivered: Counter[str] = Counter()
        """How many messages each queue handed to workers."""
        self.rewritten: list[Key] = []
        """Batches and facts that were written again. Invariants 1 and 3: none, ever."""
        self._payloads = PayloadFiles(data / "payloads")
        self._watch = LocalChangeWatch()
        self.store.listen(self._watch.notify)
        self._fast_path = fast_path
        self._sweeps = sweeps
        self.engine, _ = self._built("test", NO_FAULTS)
        self._served, _ = self._built("api", faults)
        self._lines: dict[str, Line] = {}
        self.stream = self._failing("stream", without_halving(self._handlers("stream").stream))
        self.sweep = self._failing("sweep", self._handlers("sweep").sweep)
        self.streams = [StreamSource(self.stream, stream) for _ in range(dispatchers)]
        handle_timers = self._failing("timers", self._handlers("timers").timers)
        self.timers = QueueSource(self.queues, TIMERS_QUEUE, handle_timers, timers)
        self.store.listen(self._feed)

    # --- programs -----------------------------------------------------------------------------------------------------

    def _built(self, program: str, faults: Faults) -> tuple[Engine, Resolve]:
        operations = Operations(program, faults)
        items = OffloadingStore(FaultyStore(self.store, operations), self._payloads)
        queues = FaultyQueues(self.queues, operations, self.delivered)
        engine = build_engine(items, queues, self.clock, self.ids, self._watch, fast_path=self._fast_path)
        return engine, items.resolved

    def _handlers(self, program: str) -> DispatcherHandlers:
        engine, resolve = self._built(program, self.faults)

        def resolved(item: Item) -> Item:
            if self.is_poison(item):
                raise InconsistentHistory(f"a document of {item.key} is missing, on purpose")
            return resolve(item)

        return build_handlers(engine, resolved)

    def _failing(self, program: str, handler: Handler) -> Handler:
        operations = Operations(program, self.faults)

        def invoke(event: Event, context: object) -> dict[str, Any]:
            return operations.carry_out("invoke", lambda: handler(event, context), part=lambda: None, lost={})

        return invoke

    def _feed(self, changes: Sequence[Change]) -> None:
        """Hand on what the table's stream has, without what its filter keeps back (which has the sequence 0)."""
        again = (change.key for change in changes if change.old is not None and change.key.partition.startswith("H#"))
        self.rewritten += [key for key in again if key.sort.startswith((BATCH, FACT))]
        kept = [change for change in changes if int(change.sequence)]
        for stream in self.streams:
            stream.arrive(kept)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the event sources and the sweeps run inside the block."""
        sources = [stream.run() for stream in self.streams]
        sweeps = [self._sweep_each_minute() for _ in range(self._sweeps)]

        tasks = [asyncio.create_task(one) for one in [*sources, self.timers.run(), *sweeps]]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.store.close()

    async def _sweep_each_minute(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            with suppress(Unavailable):  # nobody tries again: the next minute has its own sweep
                await call(self.sweep, {}, None)

    # --- workers ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def worker(
        self, workflows: Sequence[type], activities: Sequence[Any] = (), **settings: Any
    ) -> AsyncIterator["asyncio.Task[None]"]:
        """Run a worker inside the block, on a line of its own."""
        line: Any = Line(InProcessApi(self._served))
        self.api = line
        async with super().worker(workflows, activities, **settings) as task:
            self._lines[task.get_name()] = line
            yield task

    @asynccontextmanager
    async def workers(
        self, count: int, workflows: Sequence[type], activities: Sequence[Any], **settings: Any
    ) -> AsyncIterator[list["asyncio.Task[None]"]]:
        """Run so many workers inside the block."""
        async with AsyncExitStack() as stack:
            each = [self.worker(workflows, activities, worker_name=f"w{n}", **settings) for n in range(count)]
            yield [await stack.enter_async_context(one) for one in each]

    def line_of(self, worker: "asyncio.Task[None]") -> Line:
        """Return a worker's way to the API."""
        return self._lines[worker.get_name()]

    def kill(self, worker: "asyncio.Task[None]") -> None:
        """End a worker at once. Nobody notices until its leases end."""
        self.line_of(worker).is_cut = True
        worker.cancel()

    # --- clients ------------------------------------------------------------------------------------------------------

    async def registered(self, workflow: str) -> None:
        """Wait until a worker has registered a workflow."""
        while True:
            with suppress(NotFound):
                await call(self.engine.catalogue.get, WORKSPACE, workflow)
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def start(self, workflow: str, input_: Any = None, **given: Any) -> str:
        """Start an execution under an id of the caller's; who gets no answer looks whether it is there, and asks again.

        Asking without looking would be wrong: the execution may have closed meanwhile, and its id be free again.
        """
        await self.registered(workflow)
        request = StartRequest(input=input_, **{"execution_id": self.ids.uuid(), **given})
        execution_id = str(request.execution_id)
        before = await self.find(execution_id)
        while True:
            try:
                await call(self._served.executions.start, WORKSPACE, workflow, request)
            except Unavailable:
                found = await self.find(execution_id)
                if found and (before is None or found.key != before.key):
                    return execution_id
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return execution_id

    async def result(self, execution_id: str, seconds: float = 6 * 3600) -> Any:
        """Return the execution once it is closed. seconds: of virtual time."""
        return await super().result(execution_id, seconds)

    async def until(self, condition: Callable[[], object], reason: str, seconds: float = 600) -> None:
        """Let virtual time pass until a condition holds."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"did not happen within {seconds:g} s: {reason}")
            await asyncio.sleep(LOOK_SECONDS)
