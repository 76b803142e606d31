"""Histories page by page, from either end, and the events that are yet to come."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from operator import attrgetter
from typing import Any, get_args

from pydantic_core import to_json

from levante_core.domain.executions.execution import Execution, RunKey
from levante_core.domain.history.events import HistoryEvent
from levante_core.domain.history.run_messages import RUN_MESSAGES
from levante_core.errors import InvalidInput
from levante_core.ports.item_store import ItemStore
from levante_core.ports.surroundings import ChangeWatch, Clock
from levante_core.services.history.showing import Checkpoint, events_after
from levante_core.storage import keys

MOST_SCANNED = 5_000
"""Events that are looked at for one page; where few are of the wanted kinds, it may have less than its limit."""
PAGE_BYTES = 2 * 1024 * 1024
"""Events on a page, or a single larger one."""
MOST_REMEMBERED = 200
"""Runs whose checkpoints are kept."""
EVENTS_BETWEEN = 200
"""Checkpoints lie so far apart, at least."""
PAYLOADS = ("input", "result")
"""Fields of events that are left out on request."""
KINDS = frozenset(
    {
        "execution_started",
        *(one.model_fields["kind"].default for one in (*get_args(get_args(HistoryEvent)[0]), *RUN_MESSAGES)),
    }
) - {"fact_taken", "mail_taken"}
"""All kinds of events that are shown."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which events. after: the last one seen; those behind it in the order that is wanted. kinds: these; empty for all."""

    after: int | None = None
    limit: int = 1_000
    descending: bool = False
    kinds: Collection[str] = ()
    with_payloads: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """Events in the order that was wanted. next_after: the `after` of the next page; None if nothing is left by now."""

    events: tuple[dict[str, Any], ...]
    next_after: int | None


class HistoryPages:
    """Reads pages. It remembers where in long histories it has been: they are only added to."""

    def __init__(self, store: ItemStore, clock: Clock, watch: ChangeWatch) -> None:
        self._store = store
        self._clock = clock
        self._watch = watch
        self._checkpoints: OrderedDict[RunKey, list[Checkpoint]] = OrderedDict()

    def read(
        self, find: Callable[[], Execution], request: PageRequest, *, wait_seconds: float = 0.0
    ) -> tuple[Execution, Page]:
        """Read a page of the run that `find` returns. wait_seconds: how long to wait for an event if there is none.

        Raises: InvalidInput for a kind that there is not; whatever `find` raises; InconsistentHistory.
        Cost: one query for 10 batches and two for the facts that they take, from the nearest place where this process has
        been; the whole history once for the first page in descending order. When waiting, the same at each change.
        """
        unknown = sorted(set(request.kinds) - KINDS)
        if unknown:
            problem = f"there are no events of kind {', '.join(unknown)}; there are: {', '.join(sorted(KINDS))}"
            raise InvalidInput.at(("query", "kinds"), problem)
        deadline = self._clock.now() + timedelta(seconds=wait_seconds)
        execution = find()
        run = execution.key
        with self._watch.watch(keys.history(run.workspace, run.run_id)) as watched:
            while True:
                page = self._page(execution, request)
                left = (deadline - self._clock.now()).total_seconds()
                if page.events or page.next_after or left <= 0 or not execution.is_open:
                    return execution, page
                watched.wait(left)
                execution = find()
                if execution.key != run:
                    return execution, self._page(execution, request)

    def _page(self, execution: Execution, request: PageRequest) -> Page:
        return self._descending(execution, request) if request.descending else self._ascending(execution, request)

    def _ascending(self, execution: Execution, request: PageRequest) -> Page:
        found, after, size = list[dict[str, Any]](), request.after or 0, 0
        first = after
        for event in self._events(execution, after):
            if len(found) >= request.limit or size > PAGE_BYTES or after - first >= MOST_SCANNED:
                return Page(tuple(found), after)
            after = event["event_id"]
            if _is_wanted(event, request):
                found.append(_without_payloads(event, request))
                size += len(to_json(found[-1]))
        return Page(tuple(found), None)

    def _descending(self, execution: Execution, request: PageRequest) -> Page:
        """Read windows of events from the end, each of them in order."""
        end = request.after or self._count(execution) + 1
        found, size, scanned = list[dict[str, Any]](), 0, 0
        while end > 1 and scanned < MOST_SCANNED:
            begin = max(0, end - 1 - max(request.limit - len(found), EVENTS_BETWEEN))
            within = list(islice(self._events(execution, begin), end - 1 - begin))
            for event in reversed(within):
                if len(found) >= request.limit or size > PAGE_BYTES:
                    return Page(tuple(found), event["event_id"] + 1)
                if _is_wanted(event, request):
                    found.append(_without_payloads(event, request))
                    size += len(to_json(found[-1]))
            scanned += len(within)
            end = begin + 1
        return Page(tuple(found), end if end > 1 else None)

    def _count(self, execution: Execution) -> int:
        """Return how many events there are."""
        last = self._known(execution.key)[-1]
        return max((event["event_id"] for event in self._events(execution, last.event_id)), default=last.event_id)

    def _events(self, execution: Execution, after: int) -> Iterator[dict[str, Any]]:
        """Yield the events that follow one, from the nearest checkpoint on."""
        known = self._known(execution.key)
        start = known[bisect_right(known, after, key=attrgetter("event_id")) - 1]

        def note(checkpoint: Checkpoint) -> None:
            if checkpoint.event_id - known[-1].event_id >= EVENTS_BETWEEN:
                known.append(checkpoint)

        for event in events_after(self._store, execution, start, note):
            if event["event_id"] > after:
                yield event

    def _known(self, run: RunKey) -> list[Checkpoint]:
        known = self._checkpoints.setdefault(run, [Checkpoint()])
        self._checkpoints.move_to_end(run)
        if len(self._checkpoints) > MOST_REMEMBERED:
            self._checkpoints.popitem(last=False)
        return known


def _is_wanted(event: dict[str, Any], request: PageRequest) -> bool:
    return not request.kinds or event["kind"] in request.kinds


def _without_payloads(event: dict[str, Any], request: PageRequest) -> dict[str, Any]:
    return event if request.with_payloads else {name: value for name, value in event.items() if name not in PAYLOADS}
