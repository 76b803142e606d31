"""The events program on local adapters, and executions to read of."""

from collections.abc import Mapping

from levante_core.adapters.system import RandomIds, SystemClock
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ActivityScheduled, ExecutionCompleted
from levante_core.domain.names import ExecutionId, Workspace
from levante_core.ports.item_store import ItemStore
from levante_core.services.access.api_keys import ApiKeyService
from levante_core.services.access.tickets import TicketService
from levante_core.services.history.showing import HistoryService
from levante_core.services.observability.logs import LogService
from levante_core.services.observability.traces import TraceService
from levante_core.services.streams.publish import StreamService
from levante_core.services.streams.tails import TailService
from levante_core.storage.catalogue import Role
from levante_events.app import EventsApp, StreamServices, StreamSettings
from levante_local.change_watch import LocalChangeWatch
from levante_local.greenlets import call
from tests.support.faults import NO_FAULTS, Faults, FaultyStore, Operations
from tests.support.place import SPACE, Place
from tests.unit.events.reader import Reader

ROOT = ExecutionId("e")
PATH = "/v1/workflows/executions/e/stream"
LAST_STEP = 9999


class EventsProgram:
    """An events program. Its tails are woken by the store's own writer, and their clock goes; that of keys does not.

    secrets: by the name of the key. `stranger` is of another workspace.
    """

    def __init__(self, place: Place, settings: StreamSettings | None = None, faults: Faults = NO_FAULTS) -> None:
        self.place = place
        self.watch = LocalChangeWatch()
        place.store.listen(self.watch.notify)
        items: ItemStore = FaultyStore(place.engine.streams._store, Operations("events", faults))
        self.streams = StreamService(items, place.conflicts)
        self.tails = TailService(self.streams, SystemClock(), self.watch)
        self.tickets = TicketService(items, place.clock, RandomIds())
        self.keys = ApiKeyService(items, place.clock, RandomIds())
        roles = {"client": Role.CLIENT, "worker": Role.WORKER, "admin": Role.ADMIN}
        self.secrets = {name: self.keys.create(SPACE, role, name)[1] for name, role in roles.items()}
        self.secrets["stranger"] = self.keys.create(Workspace("other"), Role.ADMIN, "stranger")[1]
        self.logs = LogService(items, SystemClock())
        services = StreamServices(
            self.keys, self.tickets, HistoryService(items), self.streams, self.tails, self.logs, TraceService(items)
        )
        self.app = EventsApp(services, call, settings or StreamSettings())

    def ticket(self, key: str, purpose: str) -> str:
        """Make a ticket for the holder of a key."""
        return self.tickets.issue(self.keys.authenticate(self.secrets[key]), purpose)

    def revoke(self, key: str) -> None:
        """Revoke a key, as another process does."""
        known = self.keys.authenticate(self.secrets[key])
        ApiKeyService(self.place.store, self.place.clock, RandomIds()).revoke(known.workspace, known.key_id)

    def reader(
        self,
        path: str = PATH,
        query: str = "",
        *,
        key: str | None = "client",
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
    ) -> Reader:
        """Ask for a stream."""
        authorization = {"authorization": f"Bearer {self.secrets[key]}"} if key else {}
        return Reader(self.app, path, query, {**authorization, **(headers or {})}, method)

    def begin(self) -> RunKey:
        """Start an execution."""
        return self.place.start(execution_id=ROOT)

    def step(self, run: RunKey, index: int, count: int = 1, size: int = 1) -> None:
        """Record a batch that makes so many events, with inputs of so many characters."""
        started = [
            ActivityScheduled(seq=1000 * index + number, name="a", input="x" * size) for number in range(1, count + 1)
        ]
        self.place.commit(run, index, *started, commit_id=f"c{index}")

    def complete(self, run: RunKey, index: int) -> None:
        """Record the end of an execution."""
        self.place.commit(run, index, ExecutionCompleted(seq=LAST_STEP, result=None))
