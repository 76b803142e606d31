"""Parking: what a loop cannot handle gets out of its way, and stays in sight until it goes through or is dropped."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice, takewhile
from pathlib import PurePath
from traceback import extract_tb

from pydantic import ValidationError

from levante_core.domain.frozen import wire_time
from levante_core.domain.names import ExecutionId, Workspace
from levante_core.errors import InconsistentHistory, InvalidInput, LevanteError, NotFound, Unavailable, Unreadable
from levante_core.ports.item_store import (
    AFTER_ALL,
    Absent,
    ConditionFailed,
    Delete,
    Item,
    ItemStore,
    Key,
    Matches,
    Put,
    Query,
    Scalar,
    Update,
)
from levante_core.ports.surroundings import Clock
from levante_core.services.dispatch.containment import each_by_itself
from levante_core.services.history.loading import read_all
from levante_core.storage import keys
from levante_core.storage.decoding import problems_in
from levante_core.storage.parked import (
    NOBODY,
    Owner,
    Parked,
    ParkedKind,
    content_of,
    failure_attributes,
    owner_of_item,
    parked_count_item,
    parked_count_of,
    parked_id,
    parked_item,
    parked_of,
    retry_entry,
)
from levante_core.storage.runs import HAS_PARKED

logger = logging.getLogger("levante.parked")

FIRST_RETRY = timedelta(minutes=1)
LAST_RETRY = timedelta(hours=1)
MOST_TRIES = 10
"""A parked item is tried again by itself for some four hours; then somebody has to ask for it."""
LONGEST_RETRIES = timedelta(seconds=15)
RETRIED_AT_ONCE = 100
"""Parked items of a shard that one sweep tries again."""
MOST_LISTED = 100
"""Items on a page of a listing, however many were asked for: each may have a large content beside it."""
MOST_OF_AN_EXECUTION = 20
"""So many of its parked items the status of an execution shows."""
MOST_CHARACTERS_OF_ERRORS = 500
MOST_COUNTED = 10_000
"""Parked items that are counted one by one, where their count is damaged."""


@dataclass(frozen=True, slots=True)
class ParkedPage:
    """Parked items, those of one execution together. count: of all in the workspace. next: None after the last one."""

    items: tuple[Parked, ...]
    count: int
    next: str | None


class Parking:
    """The parked items of all workspaces."""

    def __init__(self, store: ItemStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    # --- what loops do ------------------------------------------------------------------------------------------------

    def park(self, kind: ParkedKind, owner: Owner, content: str, error: Exception, *, identity: str | None = None) -> Parked:
        """Keep what could not be handled, and why. A repeat for the same thing counts it once more.

        identity: tells the thing from all others of its kind and owner; the content does, unless this is given.
        Raises: Unavailable, and then nothing is parked. Cost: a read, a transaction, an update of the execution.
        """
        now = self._clock.now()
        name = parked_id(kind, owner, content if identity is None else identity)
        key = keys.parked(owner.workspace, name)
        logger.error("a %s of %s cannot be handled, and is parked as %s", kind, owner, name, exc_info=error)
        first = Parked(name, kind, owner, described(error), now, now, now + FIRST_RETRY)
        existing = self._store.get(key)
        if existing is None:
            with suppress(ConditionFailed):
                self._write_counted(Put(parked_item(first, content), Absent()), owner.workspace, 1)
            self._mark(owner)
            return first
        known = parked_of(existing)
        return known if known.retry_at and known.retry_at > now else self.again(known, error)

    def park_run(self, kind: ParkedKind, item: Item, error: Exception) -> None:
        """Put aside what was to be done for a run, whose item stays where it is. Cost and errors: as `park`."""
        self.park(kind, owner_of_item(item), "", error, identity=item.key.partition)

    def again(self, parked: Parked, error: Exception) -> Parked:
        """Note that a parked item has failed once more; what is down for a while uses up none of its tries."""
        now, tries = self._clock.now(), parked.tries + (not isinstance(error, Unavailable))
        retry_at = None if tries >= MOST_TRIES else now + min(FIRST_RETRY * 2 ** (tries - 1), LAST_RETRY)
        count = parked.count + 1
        failed = replace(
            parked, error=described(error), failed_at=now, retry_at=retry_at, count=count, tries=min(tries, MOST_TRIES)
        )
        with suppress(ConditionFailed):  # dropped meanwhile
            self._store.write(
                Update(
                    parked.key,
                    set_attributes=failure_attributes(failed),
                    set_indexes={keys.DUE: retry_entry(parked.parked_id, retry_at)},
                    condition=Matches(),
                )
            )
        return failed

    def retry_due(self, retry: Callable[[Parked, str], None]) -> int:
        """Try what is due again, each by itself: what goes through is parked no longer. Returns how many items are parked.

        retry: takes an item and its content. Cost: a query per shard; a read, a transaction and the retry itself for each.
        The count stops at RETRIED_AT_ONCE per shard, and no try begins after LONGEST_RETRIES.
        """
        count, began = 0, self._clock.now()
        now = f"{wire_time(began)}{AFTER_ALL}"
        for shard in range(keys.SHARDS):
            listed = self._store.query(Query(keys.parked_due(shard), index=keys.DUE, limit=RETRIED_AT_ONCE)).items
            count += len(listed)
            due = [item for item in listed if item.indexes[keys.DUE].sort <= now]
            in_time = takewhile(lambda _: self._clock.now() - began < LONGEST_RETRIES, due)
            with suppress(Unavailable):  # the next sweep tries them
                each_by_itself(in_time, lambda item: self._retry(item, retry), lambda *_: None)
        return count

    def _retry(self, listed: Item, retry: Callable[[Parked, str], None]) -> None:
        item = self._store.get(listed.key)
        if item is None:
            return
        parked = parked_of(item)
        self.again(parked, _INTERRUPTED)  # so that one that ends the process is not the first that the next sweep meets
        try:
            retry(parked, content_of(item))
        except Exception as error:
            logger.exception("parked item %s could not be handled once more", parked.parked_id)
            self.again(parked, error)
            raise
        logger.info("parked item %s went through", parked.parked_id)
        self._remove(item)

    def current(self, key: Key) -> Item | None:
        """Return an item as it is now: what was parked for it may have been mended there."""
        return self._store.get(key)

    # --- what operators do --------------------------------------------------------------------------------------------

    def list(self, workspace: Workspace, limit: int, after: str | None) -> ParkedPage:
        """List what a workspace has parked, and then what is nobody's. Raises: InvalidInput for another `after`."""
        place, _, token = (after or f"{_OWN}:").partition(":")
        if place not in {_OWN, _NOBODYS}:
            raise InvalidInput.at(("query", "cursor"), "not where a listing goes on: take `next` from the answer before")
        items: Sequence[Item] = ()
        room = min(limit, MOST_LISTED)
        if place == _OWN:
            page = self._store.query(Query(keys.all_parked(workspace), limit=room, after=token or None))
            items, token = [*page.items], ""
            if page.next:
                return self._page(workspace, items, f"{_OWN}:{page.next}")
            if len(items) == room:
                return self._page(workspace, items, f"{_NOBODYS}:" if self._count(NOBODY) else None)
        page = self._store.query(Query(keys.all_parked(NOBODY), limit=room - len(items), after=token or None))
        return self._page(workspace, [*items, *page.items], f"{_NOBODYS}:{page.next}" if page.next else None)

    def _page(self, workspace: Workspace, items: Sequence[Item], rest: str | None) -> ParkedPage:
        return ParkedPage(tuple(map(parked_of, items)), self._count(workspace) + self._count(NOBODY), rest)

    def of_execution(self, workspace: Workspace, execution_id: ExecutionId) -> tuple[Parked, ...]:
        """Return what an execution has parked, as far as its status shows it. Cost: one query."""
        first, last = keys.prefixed(keys.parked_prefix(execution_id))
        page = self._store.query(Query(keys.all_parked(workspace), first=first, last=last, limit=MOST_OF_AN_EXECUTION))
        return tuple(map(parked_of, page.items))

    def retry(self, workspace: Workspace, name: str) -> None:
        """Let an item be tried again by the next sweep, within a minute. A repeat is harmless. Raises: NotFound."""
        if not self._ask_for(self._find(workspace, name)):
            raise _not_parked(name)

    def retry_all(self) -> None:
        """Let everything be tried again by the next sweep, whosever it is. Cost: a query per shard, a write an item."""
        for shard in range(keys.SHARDS):
            for item in list(read_all(self._store, Query(keys.parked_due(shard), index=keys.DUE, limit=RETRIED_AT_ONCE))):
                self._ask_for(item)

    def retry_page(self, workspace: Workspace, after: str | None) -> str | None:
        """Let a page of a workspace's items be tried again, and then of what is nobody's. Returns where to go on.

        Raises: InvalidInput for another `after`.
        """
        place, _, token = (after or f"{_OWN}:").partition(":")
        if place not in {_OWN, _NOBODYS}:
            raise InvalidInput.at(("body", "after"), "not where a retry goes on: take `next` from the answer before")
        of = keys.all_parked(workspace if place == _OWN else NOBODY)
        page = self._store.query(Query(of, limit=RETRIED_AT_ONCE, after=token or None))
        for item in page.items:
            self._ask_for(item)
        if page.next:
            return f"{place}:{page.next}"
        return f"{_NOBODYS}:" if place == _OWN else None

    def drop(self, workspace: Workspace, name: str) -> None:
        """Forget an item. Raises: NotFound."""
        if not self._remove(self._find(workspace, name)):
            raise _not_parked(name)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _find(self, workspace: Workspace, name: str) -> Item:
        for place in (workspace, NOBODY):
            if item := self._store.get(keys.parked(place, name)):
                return item
        raise _not_parked(name)

    def _ask_for(self, item: Item) -> bool:
        now = self._clock.now()
        entry = retry_entry(item.key.sort, now)
        sets: dict[str, Scalar] = {"tries": 0, "retry_at": wire_time(now)}
        return self._is_written(Update(item.key, set_attributes=sets, set_indexes={keys.DUE: entry}, condition=Matches()))

    def _remove(self, item: Item) -> bool:
        workspace = Workspace(item.key.partition.partition("#")[2])
        try:
            self._write_counted(Delete(item.key, Matches()), workspace, -1)
        except ConditionFailed:
            return False
        return True

    def _write_counted(self, write: Put | Delete, workspace: Workspace, more: int) -> None:
        """Write, and count; a count that cannot be added to is made anew, as it must keep nobody from being parked.

        Raises: ConditionFailed.
        """
        key = keys.parked_count(workspace)
        try:
            self._store.write(write, Update(key, add={"count": more}))
        except ValueError:
            self._store.write(write)
            self._store.write(Put(parked_count_item(workspace, self._counted(workspace))))

    def _is_written(self, write: Update) -> bool:
        try:
            self._store.write(write)
        except ConditionFailed:
            return False
        return True

    def _count(self, workspace: Workspace) -> int:
        """Return how many items a workspace has parked. Cost: a read; where the count is damaged, a query more."""
        item = self._store.get(keys.parked_count(workspace))
        try:
            return parked_count_of(item) if item else 0
        except Unreadable:
            return self._counted(workspace)

    def _counted(self, workspace: Workspace) -> int:
        """Count what a workspace has parked, as far as MOST_COUNTED."""
        items = read_all(self._store, Query(keys.all_parked(workspace), limit=RETRIED_AT_ONCE))
        return sum(1 for _ in islice(items, MOST_COUNTED))

    def _mark(self, owner: Owner) -> None:
        """Let the execution say that something of it is parked, so that nobody has to look who asks how it is.

        An item that is damaged itself may not bear it: the listing shows it all the same.
        """
        if owner.execution_id is None:
            return
        key = keys.execution(owner.workspace, owner.execution_id)
        try:
            item = self._store.get(key)
            if item and not item.attributes.get(HAS_PARKED):
                self._store.write(Update(key, set_attributes={HAS_PARKED: True}, condition=Matches()))
        except Exception:
            logger.warning("execution %s cannot be marked as one that has parked items", owner.execution_id, exc_info=True)


_INTERRUPTED = InconsistentHistory("the process ended while it was tried again")
_OWN, _NOBODYS = "own", "nobodys"


def described(error: Exception) -> str:
    """Say what an error is, without what may be a payload: of errors that are not ours, only their kind and their place."""
    name = type(error).__name__
    if isinstance(error, ValidationError):
        return f"{name}: {problems_in(error)}"[:MOST_CHARACTERS_OF_ERRORS]
    if isinstance(error, LevanteError) and not isinstance(error, InvalidInput):
        return f"{name}: {error}"[:MOST_CHARACTERS_OF_ERRORS]
    return f"{name} at {_place(error)}"


def _place(error: Exception) -> str:
    frames = extract_tb(error.__traceback__)
    return f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else "an unknown place"


def _not_parked(name: str) -> NotFound:
    return NotFound(f"no parked item has the id {name[:300]!r}: it went through, or was dropped")
