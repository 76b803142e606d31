"""What workers log, kept for a while: one item for each batch, so that logging costs the same whoever reads it.

Lines are found by worker and time. Those of an execution are looked for in the time in which it was open.
"""

import base64
import heapq
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from levante_core.domain.epoch import EPOCH
from levante_core.domain.frozen import wire_time
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.errors import InvalidInput
from levante_core.ports.item_store import AFTER_ALL, Item, ItemStore, Put, Query
from levante_core.ports.surroundings import Clock
from levante_core.protocol.logs import LogLine, LogsRequest
from levante_core.services.executions.lookup import find_deployment, find_execution, find_workers
from levante_core.services.history.loading import read_all
from levante_core.services.paging import Budget
from levante_core.storage import keys
from levante_core.storage.observability.logs import lines_item, lines_of

KEPT_FOR = timedelta(days=14)
LATE = timedelta(seconds=60)
"""The longest time between the first line of a batch and the last one."""
BEGAN = ""
"""In a cursor, the name of no worker: when its reader began."""
MOST_BATCHES = 1_000
"""Of lines, that one page is looked for in."""
BATCHES_AT_ONCE = 20
MOST_CURSOR_CHARACTERS = 65_536
"""What a reader of a log comes back with: it holds a place for each worker."""
_BATCH = re.compile(r"[\x20-\x7e]{1,128}")
LATEST = datetime(9999, 1, 1, tzinfo=UTC)

Wanted = Callable[[LogLine], bool]


class Place(NamedTuple):
    """Where a line is: after all lines with a smaller place."""

    at: str
    worker: str
    batch: str
    number: int


@dataclass(frozen=True, slots=True)
class Window:
    """Which lines, and in which order. worker: None for all of the deployment's."""

    deployment: DeploymentName
    wanted: Wanted
    worker: str | None = None
    after: datetime = EPOCH
    before: datetime = LATEST
    descending: bool = False


def of_code(*, run_id: str | None = None, activity_id: str | None = None, workflow_name: str | None = None) -> Wanted:
    """Want lines of one run, activity or workflow, as far as they are named."""
    named = {"run_id": run_id, "activity_id": activity_id, "workflow_name": workflow_name}
    return lambda line: all(value in (None, getattr(line, name)) for name, value in named.items())


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines, and the cursor for those that follow; None after the last one."""

    lines: tuple[LogLine, ...]
    next_cursor: str | None


@dataclass(slots=True)
class LogTail:
    """A reader's place in the logs of a deployment. seen: by worker, the last batch seen, and how many of its lines were."""

    workspace: Workspace
    window: Window
    seen: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def cursor(self) -> str:
        """What the reader sends to go on from here."""
        return _encoded({**self.seen, BEGAN: (wire_time(self.window.after), 0)})


class LogService:
    """The logs of all workers."""

    def __init__(self, store: ItemStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def append(self, workspace: Workspace, request: LogsRequest) -> None:
        """Keep lines. A repeat is harmless. Cost: one write."""
        self._store.write(Put(lines_item(workspace, request, self._clock.now() + KEPT_FOR)))

    def of_execution(self, workspace: Workspace, execution_id: str, wanted: Wanted) -> Window:
        """Return where the lines of an execution are. Raises: NotFound. Cost: one read."""
        execution = find_execution(self._store, workspace, execution_id)
        ended_at = execution.ending.ended_at + LATE if execution.ending else LATEST
        return Window(
            execution.pool.deployment,
            lambda line: line.execution_id == execution_id and wanted(line),
            after=EPOCH if execution.start.first_run_id else execution.start.started_at,
            before=ended_at,
        )

    def deployment(self, workspace: Workspace, name: str) -> DeploymentName:
        """Return the name of a deployment that there is. Raises: NotFound. Cost: one read."""
        return find_deployment(self._store, workspace, DeploymentName(name)).name

    def now(self) -> datetime:
        """Return the time from which on lines are yet to come."""
        return self._clock.now()

    def is_open(self, workspace: Workspace, execution_id: str) -> bool:
        """Tell whether lines of an execution may still come. Raises: NotFound."""
        ending = find_execution(self._store, workspace, execution_id).ending
        return ending is None or self._clock.now() < ending.ended_at + timedelta(seconds=5)

    def search(self, workspace: Workspace, window: Window, limit: int, cursor: str | None) -> LogPage:
        """Return a page of lines. Raises: InvalidInput.

        Cost: queries over the batches of the window, for each worker; MOST_BATCHES at most, but for what it takes to look at
        one more line. The page may then have fewer lines, or none.
        """
        last = _place(cursor) if cursor else None
        budget = Budget(MOST_BATCHES)
        lines = (self._lines(workspace, window, worker, last, budget) for worker in self._workers(workspace, window))
        page: list[LogLine] = []
        seen: Place | None = None
        for place, line in heapq.merge(*lines, reverse=window.descending):
            if seen and (len(page) == limit or budget.is_spent):
                return LogPage(tuple(page), _encoded(seen))
            page += [line] if window.wanted(line) else []
            seen = place
        return LogPage(tuple(page), None)

    def follow(self, workspace: Workspace, window: Window, cursor: str | None) -> LogTail:
        """Begin to read lines as they come. Raises: InvalidInput for a cursor that is none of ours."""
        seen = _seen(cursor) if cursor else {}
        began, _ = seen.pop(BEGAN, (wire_time(window.after), 0))
        return LogTail(workspace, replace(window, after=datetime.fromisoformat(began)), seen)

    def fresh(self, tail: LogTail) -> list[tuple[str, LogLine]]:
        """Return the lines that have come, each with the cursor behind it, those of each worker in order."""
        lines: list[tuple[str, LogLine]] = []
        for worker in self._workers(tail.workspace, tail.window):
            batch, count = tail.seen.get(worker, (wire_time(tail.window.after), 0))
            partition = keys.logs(tail.workspace, tail.window.deployment, worker)
            for item in read_all(self._store, Query(partition, first=batch)):
                for number, line in enumerate(lines_of(item), 1):
                    if item.key.sort == batch and number <= count:
                        continue
                    tail.seen[worker] = item.key.sort, number
                    if tail.window.after <= line.at <= tail.window.before and tail.window.wanted(line):
                        lines.append((tail.cursor, line))
        return lines

    def _workers(self, workspace: Workspace, window: Window) -> list[str]:
        """Return the workers that may have logged in the window."""
        if window.worker is not None:
            return [window.worker]
        workers = find_workers(self._store, workspace, window.deployment)
        return [
            worker.name
            for worker in workers
            if worker.last_heartbeat_at + LATE >= window.after and worker.created_at <= window.before
        ]

    def _lines(
        self, workspace: Workspace, window: Window, worker: str, last: Place | None, budget: Budget
    ) -> Iterator[tuple[Place, LogLine]]:
        """Yield a worker's lines in the window that follow on a place."""
        for item in self._batches(workspace, window, worker, last):
            budget.spend()
            lines = list(enumerate(lines_of(item)))
            for number, line in reversed(lines) if window.descending else lines:
                place = Place(wire_time(line.at), worker, item.key.sort, number)
                is_next = last is None or (place < last if window.descending else place > last)
                if is_next and window.after <= line.at <= window.before:
                    yield place, line

    def _batches(self, workspace: Workspace, window: Window, worker: str, last: Place | None) -> Iterator[Item]:
        """Read the batches that may have lines of the window. One is at the time of its last line."""
        first, until = wire_time(window.after), wire_time(_later(window.before)) + AFTER_ALL
        if last and window.descending:
            until = wire_time(_later(datetime.fromisoformat(last.at))) + AFTER_ALL
        elif last:
            first = last.at
        partition = keys.logs(workspace, window.deployment, worker)
        return read_all(
            self._store, Query(partition, first=first, last=until, descending=window.descending, limit=BATCHES_AT_ONCE)
        )


def _later(at: datetime) -> datetime:
    return min(at, LATEST - LATE) + LATE


def _encoded(place: Place | Mapping[str, tuple[str, int]]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode()


def _place(cursor: str) -> Place:
    match _decoded(cursor):
        case [str(at), str(worker), str(batch), int(number)] if _is_time(at):
            return Place(at, worker, batch, number)
        case _:
            raise _no_cursor()


def _seen(cursor: str) -> dict[str, tuple[str, int]]:
    seen: dict[str, tuple[str, int]] = {}
    decoded = _decoded(cursor)
    if not isinstance(decoded, dict):
        raise _no_cursor()
    for worker, place in decoded.items():
        match place:
            case [str(batch), int(count)] if _is_time(batch) if worker == BEGAN else _BATCH.fullmatch(batch):
                seen[worker] = batch, count
            case _:
                raise _no_cursor()
    return seen


def _decoded(cursor: str) -> object:
    try:
        return json.loads(base64.urlsafe_b64decode(cursor[: MOST_CURSOR_CHARACTERS + 1]))
    except (ValueError, RecursionError):
        raise _no_cursor() from None


def _is_time(text: str) -> bool:
    try:
        at = datetime.fromisoformat(text)
        return at.tzinfo is not None and at.astimezone(UTC).tzinfo is not None
    except (ValueError, OverflowError):
        return False


def _no_cursor() -> InvalidInput:
    return InvalidInput.at(("query", "cursor"), "not a cursor of ours: take next_cursor from the page before")
