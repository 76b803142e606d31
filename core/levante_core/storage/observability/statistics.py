"""Statistics as items: one for each workspace and hour, and how far the runs that have ended are counted."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import Field

from levante_core.domain.frozen import Frozen, Time
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import Workspace
from levante_core.domain.observability.statistics import Totals
from levante_core.ports.item_store import EXPIRES_AT, Absent, Condition, Item, Matches
from levante_core.storage import keys
from levante_core.storage.decoding import number, reader

KEPT_FOR = timedelta(days=32)
"""Longer than the longest time that statistics are asked for."""
VERSION = "version"


@dataclass(slots=True)
class HourStatistics:
    """What ended in one hour in a workspace.

    counted: place of the last run that is counted, by shard. version: of the item that it was read from; 0 if there is none.
    is_damaged: there is an item that cannot be read, in whose place this one is written.
    """

    workspace: Workspace
    hour: datetime
    totals: Totals = field(default_factory=Totals)
    counted: dict[int, str] = field(default_factory=dict)
    version: int = 0
    is_damaged: bool = False

    @property
    def unchanged(self) -> Condition:
        """What holds while nobody else has counted."""
        if self.is_damaged:
            return None
        return Matches({VERSION: self.version}) if self.version else Absent()


class _Document(Frozen):
    counted: Mapping[int, str]
    closed: tuple[tuple[str, ExecutionStatus, int], ...]
    failures: tuple[tuple[str, str, int], ...]
    durations: tuple[tuple[str, int, int], ...]
    activity_durations: tuple[tuple[str, int, int], ...]
    sampled: int


class CountingPlace(Frozen):
    """How far runs that have ended are counted.

    places: that of the last one, by shard. unchecked_since: the first hour that has not been counted a second time.
    """

    places: Mapping[int, str] = Field(default_factory=dict)
    unchecked_since: Time


def hour_item(hour: HourStatistics) -> Item:
    """Write an hour as the version that follows the one it was read from."""
    totals = hour.totals
    document = _Document(
        counted=hour.counted,
        closed=tuple((*key, count) for key, count in totals.closed.items()),
        failures=tuple((*key, count) for key, count in totals.failures.items()),
        durations=tuple((*key, count) for key, count in totals.durations.items()),
        activity_durations=tuple((*key, count) for key, count in totals.activity_durations.items()),
        sampled=totals.sampled,
    )
    expires_at = int((hour.hour + KEPT_FOR).timestamp())
    key = keys.hour_statistics(hour.workspace, hour.hour)
    return Item(key, {VERSION: hour.version + 1, EXPIRES_AT: expires_at}, {"hour": document.model_dump_json()})


@reader
def hour_of(item: Item) -> HourStatistics:
    """Read an hour."""
    document = _Document.model_validate_json(item.documents["hour"])
    totals = Totals(
        closed=Counter({(workflow, status): count for workflow, status, count in document.closed}),
        failures=Counter({(workflow, kind): count for workflow, kind, count in document.failures}),
        durations=Counter({(workflow, bucket): count for workflow, bucket, count in document.durations}),
        activity_durations=Counter({(name, bucket): count for name, bucket, count in document.activity_durations}),
        sampled=document.sampled,
    )
    workspace = Workspace(item.key.partition.partition("#")[2])
    hour = datetime.fromisoformat(item.key.sort)
    return HourStatistics(workspace, hour, totals, dict(document.counted), number(item.attributes, VERSION))


def counting_place_item(place: CountingPlace) -> Item:
    """Write how far runs are counted."""
    return Item(keys.COUNTING_PLACE, documents={"place": place.model_dump_json()})


@reader
def counting_place_of(item: Item) -> CountingPlace:
    """Read how far runs are counted."""
    return CountingPlace.model_validate_json(item.documents["place"])
