"""Runs that have ended, in that order, and what is counted of each."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from zlib import crc32

from levante_core.domain.executions.execution import Execution
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import Workspace
from levante_core.domain.observability.statistics import ClosedRun
from levante_core.errors import InconsistentHistory
from levante_core.ports.item_store import Item, ItemStore, Key, Query
from levante_core.services.history.showing import events_after
from levante_core.storage import keys
from levante_core.storage.decoding import readable
from levante_core.storage.runs import RunSummary, ending_of, execution_of, summary_of

RUNS_AT_ONCE = 500
SAMPLED_AT_ONCE = 2
"""Runs of each workspace among RUNS_AT_ONCE whose histories are read for the durations of their activities."""
MOST_EVENTS = 1_000
"""Of a history that is in the sample."""
_AFTER = "!"
"""What sorts behind a place and before the next one."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A closed run as the index lists it. key: of its item. place: in the order in which runs ended."""

    place: str
    key: Key
    run: RunSummary


@dataclass(frozen=True, slots=True)
class ListedPage:
    """Runs in order. last: place of the last one, whether or not it can be read. looked_at: how many there were."""

    runs: tuple[Listed, ...]
    last: str
    looked_at: int


class ClosedRuns:
    """The only reader of the index of closed runs."""

    def __init__(self, store: ItemStore) -> None:
        self._store = store

    def pages(self, shard: int, after: str, until: str) -> Iterator[ListedPage]:
        """Yield the closed runs of a shard that follow a place, up to a time; no page is empty. Cost: a query each."""
        first = f"{after}{_AFTER}" if after else ""
        token = None
        while True:
            query = Query(keys.closed_runs(shard), index=keys.DUE, first=first, last=until, limit=RUNS_AT_ONCE, after=token)
            page = self._store.query(query)
            if page.items:
                # A run that is moved from one item to another may be listed twice for a moment.
                by_place = {listed.place: listed for listed in readable(page.items, _listed)}
                last = page.items[-1].indexes[keys.DUE].sort
                yield ListedPage(tuple(by_place.values()), last, len(page.items))
            token = page.next
            if token is None:
                return

    def counted(self, shard: int, runs: Sequence[Listed]) -> dict[Workspace, list[ClosedRun]]:
        """Return what is counted of runs, by workspace. Cost: a read for each that failed."""
        found: dict[Workspace, list[ClosedRun]] = defaultdict(list)
        for listed in runs:
            found[listed.run.key.workspace].append(self._counted(shard, listed))
        return found

    def sampled(self, shard: int, runs: Sequence[Listed]) -> dict[Workspace, list[ClosedRun]]:
        """Return what is counted, of some with their activities. Cost: as `counted`; SAMPLED_AT_ONCE histories a workspace.

        The sample is the same at each repeat.
        """
        found = self.counted(shard, runs)
        items = {listed.place: listed for listed in runs}
        for workspace, closed in found.items():
            completed = [run for run in closed if run.status is ExecutionStatus.COMPLETED]
            chosen = sorted(completed, key=lambda run: crc32(run.place.encode()))[:SAMPLED_AT_ONCE]
            activities = {run.place: self._activities(items[run.place]) for run in chosen}
            found[workspace] = [replace(run, activities=activities.get(run.place)) for run in closed]
        return found

    def _counted(self, shard: int, listed: Listed) -> ClosedRun:
        run = listed.run
        return ClosedRun(
            shard=shard,
            place=listed.place,
            workflow=run.workflow_name,
            status=run.status,
            started_at=run.started_at,
            ended_at=run.ended_at or run.started_at,
            failure_type=self._failure_type(listed) if run.status is ExecutionStatus.FAILED else None,
        )

    def _failure_type(self, listed: Listed) -> str | None:
        item = self._item(listed)
        with suppress(InconsistentHistory):
            ending = ending_of(item) if item else None
            return ending.failure.type if ending and ending.failure else None
        return None

    def _activities(self, listed: Listed) -> tuple[tuple[str, float], ...] | None:
        """Return the activities of a run; None if its history cannot be read."""
        item = self._item(listed)
        with suppress(InconsistentHistory):
            return tuple(self._durations(execution_of(item))) if item else None
        return None

    def _durations(self, execution: Execution) -> Iterator[tuple[str, float]]:
        """Yield names and seconds of activities that ended well, from when they were asked for.

        What was asked for and has ended in one batch was recorded when it was over: it began after the batch before.
        """
        begun: dict[int, tuple[str, datetime]] = {}
        before = recorded = execution.started_at
        for event in islice(events_after(self._store, execution), MOST_EVENTS):
            at = datetime.fromisoformat(event["recorded_at"])
            if at > recorded:
                before, recorded = recorded, at
            if event["kind"] == "activity_scheduled":
                begun[event["seq"]] = event["name"], at
            elif event["kind"] == "activity_completed" and event["seq"] in begun:
                name, started_at = begun[event["seq"]]
                ended_at = datetime.fromisoformat(event["at"])
                started_at = started_at if started_at <= ended_at else min(before, ended_at)
                yield name, (ended_at - started_at).total_seconds()

    def _item(self, listed: Listed) -> Item | None:
        """Read the item of a run, which may have become that of an earlier run since it was listed."""
        run = listed.run.key
        for key in (listed.key, keys.earlier_run(run)):
            item = self._store.get(key)
            if item and item.attributes.get("run_id") == run.run_id:
                return item
        return None


def _listed(item: Item) -> Listed:
    return Listed(item.indexes[keys.DUE].sort, item.key, summary_of(item))
