"""Statistics of executions, counted behind their ends: nothing is written for them where an execution runs.

The index of what is due lists closed runs in the order in which they ended. Once a minute the sweep reads those that are new
and adds them to one item for each workspace and hour, which says up to which place it is counted; so a repeat counts nothing
twice. Who looks reads these items, and what has ended since.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from levante_core.domain.frozen import wire_time
from levante_core.domain.names import Workspace
from levante_core.domain.observability.statistics import ClosedRun, Totals
from levante_core.errors import Unavailable, loggable
from levante_core.ports.item_store import AFTER_ALL, ConditionFailed, ItemStore, Put, Query
from levante_core.ports.surroundings import Clock
from levante_core.services.conflicts import Conflicts
from levante_core.services.history.loading import read_all
from levante_core.services.observability.closed_runs import ClosedRuns, Listed
from levante_core.storage import keys
from levante_core.storage.decoding import readable
from levante_core.storage.observability.statistics import (
    CountingPlace,
    HourStatistics,
    counting_place_item,
    counting_place_of,
    hour_item,
    hour_of,
)

logger = logging.getLogger("levante.statistics")

LATE = timedelta(minutes=2)
"""So long after its end a run is counted: by then it is in the index, whichever process has closed it."""
CHECKED_AFTER = timedelta(minutes=15)
"""So long after its end an hour is counted once more, for what came later than LATE: a clock was set back, say."""
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MOST_COUNTED = 50_000
"""Runs that one sweep counts; the next one goes on."""
LONGEST_SWEEP = timedelta(seconds=20)
MOST_CHECKED = 100_000
"""Runs of an hour that is counted once more; a busier one is left as it is."""
MOST_TOPPED_UP = 5_000
"""Runs that one look reads because no sweep has counted them yet."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What ended in a workspace since a time. is_partial: more has ended that is not counted yet."""

    since: datetime
    until: datetime
    totals: Totals
    is_partial: bool


class StatisticsService:
    """Counts runs that have ended, and says what was counted."""

    def __init__(self, store: ItemStore, clock: Clock, conflicts: Conflicts) -> None:
        self._store = store
        self._clock = clock
        self._conflicts = conflicts
        self._closed = ClosedRuns(store)
        self._place: CountingPlace | None = None
        """As this process has read or written it last; where another one is further, it only counts nothing."""

    def sweep(self) -> None:
        """Count what has ended since the last sweep. Several at once count everything once, as do repeats.

        Cost: a query for each shard; for what has ended a query for each 500 runs, a read for each that failed, the
        histories of a few, and a read and a write for each workspace and hour in question.
        """
        now = self._clock.now()
        before = self._place or self._read_place(now)
        budget = _Budget(MOST_COUNTED, now + LONGEST_SWEEP)
        places = {shard: self._count(shard, before.places.get(shard, ""), now, budget) for shard in range(keys.SHARDS)}
        place = CountingPlace(
            places={shard: at for shard, at in places.items() if at},
            unchecked_since=self._checked(before.unchecked_since, max(places.values()), now, budget),
        )
        if place.places:
            self._write_place(place, before)
        self._place = place

    def since(self, workspace: Workspace, since: datetime) -> Statistics:
        """Return what ended from the beginning of an hour on, up to now.

        Cost: a query for each MB of the hours' items, a read, a query for each shard and each 500 runs that have ended since
        the last sweep, and a read for each of these that failed; MOST_TOPPED_UP runs at most.
        """
        now, first = self._clock.now(), hour_start(since)
        totals, counted = Totals(), dict[tuple[datetime, int], str]()
        for hour in readable(read_all(self._store, Query(keys.statistics(workspace), first=wire_time(first))), hour_of):
            totals.add(hour.totals)
            counted |= {(hour.hour, shard): place for shard, place in hour.counted.items()}
        places = self._read_place(now).places
        left = MOST_TOPPED_UP
        for shard in range(keys.SHARDS):
            for page in self._closed.pages(shard, max(places.get(shard, ""), wire_time(first)), wire_time(now) + AFTER_ALL):
                own = [listed for listed in page.runs if listed.run.key.workspace == workspace]
                for run in self._closed.counted(shard, own).get(workspace, ()):
                    if run.place > counted.get((hour_start(run.ended_at), shard), ""):
                        totals.count(run)
                left -= page.looked_at
                if left <= 0:
                    return Statistics(first, now, totals, is_partial=True)
        return Statistics(first, now, totals, is_partial=False)

    def _count(self, shard: int, after: str, now: datetime, budget: "_Budget") -> str:
        """Count the runs of a shard that follow a place. Returns the place of the last one.

        What cannot be written of one workspace and hour is left to the check of that hour. Raises: Unavailable.
        """
        if not budget.is_left(self._clock.now()):
            return after
        for page in self._closed.pages(shard, after, wire_time(now - LATE)):
            found = self._closed.sampled(shard, page.runs)
            hours = [(workspace, *hour) for workspace, runs in found.items() for hour in _by_hour(runs).items()]
            for workspace, hour, runs in hours:
                _contained(workspace, partial(self._add, workspace, hour, runs))
            after = page.last
            budget.spend(page.looked_at)
            if not budget.is_left(self._clock.now()):
                break
        return after

    def _add(self, workspace: Workspace, hour: datetime, runs: Sequence[ClosedRun]) -> None:
        """Add runs of one hour to its item, but for those that are counted already. Raises: Unavailable."""
        for _ in self._conflicts.attempts():
            known = self._read_hour(workspace, hour)
            new = [run for run in runs if run.place > known.counted.get(run.shard, "")]
            if not new or self._is_written(_with(known, new)):
                return
        raise Unavailable(f"the statistics of workspace {workspace!r} change too fast: the next sweep counts these runs")

    def _checked(self, unchecked_since: datetime, last: str, now: datetime, budget: "_Budget") -> datetime:
        """Count an hour once more if it is time to. Returns the first hour that is still to be checked.

        last: place of the last run that is counted. Hours behind it, in which nothing has ended, need no check.
        """
        if last < wire_time(unchecked_since):
            return max(unchecked_since, hour_start(now - HOUR))
        if now < unchecked_since + HOUR + CHECKED_AFTER or not budget.is_left(self._clock.now()):
            return unchecked_since
        self._check(unchecked_since)
        return unchecked_since + HOUR

    def _check(self, hour: datetime) -> None:
        """Count an hour once more; where more runs have ended in it than were counted, this count is kept."""
        found: dict[Workspace, list[tuple[int, Listed]]] = defaultdict(list)
        looked_at = 0
        for shard in range(keys.SHARDS):
            for page in self._closed.pages(shard, wire_time(hour), wire_time(hour + HOUR)):
                looked_at += page.looked_at
                if looked_at > MOST_CHECKED:
                    logger.warning("more than %d runs ended in the hour from %s: it is not checked", MOST_CHECKED, hour)
                    return
                for listed in page.runs:
                    found[listed.run.key.workspace].append((shard, listed))
        for workspace, runs in found.items():
            _contained(workspace, partial(self._recount, workspace, hour, runs))

    def _recount(self, workspace: Workspace, hour: datetime, runs: Sequence[tuple[int, Listed]]) -> None:
        """Put a new count in the place of an hour's, if it is larger; what is known of activities stays."""
        known = self._read_hour(workspace, hour)
        if known.totals.runs >= len(runs):
            return
        logger.warning("workspace %s: %d runs were counted late", workspace, len(runs) - known.totals.runs)
        fresh = replace(known, counted={}, totals=Totals())
        for shard in range(keys.SHARDS):
            of_shard = [listed for one, listed in runs if one == shard]
            fresh = _with(fresh, self._closed.counted(shard, of_shard).get(known.workspace, []))
        fresh.totals.sampled = known.totals.sampled
        fresh.totals.activity_durations = known.totals.activity_durations
        self._is_written(fresh)  # otherwise somebody else has counted meanwhile, who had the same index to read

    def _read_hour(self, workspace: Workspace, hour: datetime) -> HourStatistics:
        """Read an hour. One that cannot be read begins anew; it is counted once more when it is over."""
        item = self._store.get(keys.hour_statistics(workspace, hour))
        known = next(readable([item] if item else [], hour_of), None)
        return known or HourStatistics(workspace, hour, is_damaged=item is not None)

    def _read_place(self, now: datetime) -> CountingPlace:
        item = self._store.get(keys.COUNTING_PLACE)
        known = next(readable([item] if item else [], counting_place_of), None)
        if known is None:
            return CountingPlace(unchecked_since=hour_start(now))
        # A damaged place in the future would count nothing for ever, and one long ago check all hours since.
        places = {shard: place for shard, place in known.places.items() if place < wire_time(now + DAY)}
        unchecked_since = min(max(known.unchecked_since, hour_start(now - DAY)), hour_start(now))
        return CountingPlace(places=places, unchecked_since=unchecked_since)

    def _write_place(self, place: CountingPlace, before: CountingPlace) -> None:
        """Keep how far everything is counted; where nothing has ended since, nothing is written."""
        has_checked = max(before.places.values(), default="") >= wire_time(before.unchecked_since)
        if place.places != before.places or (has_checked and place.unchecked_since != before.unchecked_since):
            self._store.write(Put(counting_place_item(place)))

    def _is_written(self, hour: HourStatistics) -> bool:
        try:
            self._store.write(Put(hour_item(hour), hour.unchanged))
        except ConditionFailed:
            return False
        return True


class _Budget:
    def __init__(self, most: int, deadline: datetime) -> None:
        self._left = most
        self._deadline = deadline

    def spend(self, count: int) -> None:
        self._left -= count

    def is_left(self, now: datetime) -> bool:
        return self._left > 0 and now < self._deadline


def _contained(workspace: Workspace, count: Callable[[], None]) -> None:
    """Count something of a workspace. What is wrong with it holds up no other. Raises: Unavailable, for the next sweep."""
    try:
        count()
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this workspace's
        logger.warning("runs of workspace %s cannot be counted: %s", workspace, loggable(error))


def hour_start(at: datetime) -> datetime:
    """Return the beginning of the hour that a time is in."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _by_hour(runs: Iterable[ClosedRun]) -> Mapping[datetime, list[ClosedRun]]:
    hours: dict[datetime, list[ClosedRun]] = defaultdict(list)
    for run in runs:
        hours[hour_start(run.ended_at)].append(run)
    return hours


def _with(known: HourStatistics, runs: Sequence[ClosedRun]) -> HourStatistics:
    """Return an hour with more runs."""
    totals, counted = Totals(), dict(known.counted)
    totals.add(known.totals)
    for run in runs:
        totals.count(run)
        counted[run.shard] = max(run.place, counted.get(run.shard, ""))
    return replace(known, totals=totals, counted=counted)
