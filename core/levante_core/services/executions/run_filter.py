"""Which runs a listing shows. Source: REST contract §8, runs/list (read 2026-11-23)."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import assert_never

from levante_core.domain.executions.search import is_found
from levante_core.domain.executions.search_keys import SearchKeys
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.storage.runs import RunSummary


class Comparison(Enum):
    """What is asked of a search key."""

    PRESENT = auto()
    EMPTY = auto()
    EXACT = auto()
    SIMILAR = auto()


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """What a run's search key has to be like. value: for EXACT and SIMILAR."""

    key: str
    comparison: Comparison
    value: str = ""

    def fits(self, keys: SearchKeys) -> bool:
        """Tell whether these keys are like that. Similar is what has the value in it, whatever the case."""
        if self.key not in keys:
            return False
        value = keys[self.key]
        match self.comparison:
            case Comparison.PRESENT:
                return True
            case Comparison.EMPTY:
                return value is None
            case Comparison.EXACT:
                return value == self.value
            case Comparison.SIMILAR:
                return value is not None and self.value.casefold() in value.casefold()
            case _:
                assert_never(self.comparison)


def key_filter(text: str) -> KeyFilter:
    """Read `key`, `key==` (there without a value), `key==:value` (exactly that) or `key:value` (similar)."""
    key, colon, value = text.partition(":")
    if colon and key.endswith("=="):
        return KeyFilter(key.removesuffix("=="), Comparison.EXACT, value)
    if colon:
        return KeyFilter(key, Comparison.SIMILAR, value)
    if key.endswith("=="):
        return KeyFilter(key.removesuffix("=="), Comparison.EMPTY)
    return KeyFilter(key, Comparison.PRESENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """What runs have to be like. None, or an empty collection, is anything.

    search: is found in an id or the name of the workflow. Times: from `after` on, and before `before`; a run
    that is open has not ended at any time. user_id: of the API key that started it. is_workflow_wanted: asked by name.
    is_run_wanted: asked last, as it may have to read.
    """

    statuses: Collection[ExecutionStatus] = ()
    deployment_name: str | None = None
    root_execution_id: str | None = None
    search: str | None = None
    user_id: str | None = None
    started_after: datetime | None = None
    started_before: datetime | None = None
    ended_after: datetime | None = None
    ended_before: datetime | None = None
    search_keys: Sequence[KeyFilter] = ()
    is_workflow_wanted: Callable[[str], bool] | None = None
    is_run_wanted: Callable[[RunSummary], bool] | None = None

    def matches(self, run: RunSummary) -> bool:
        """Tell whether a run is like that."""
        return (
            (not self.statuses or run.status in self.statuses)
            and self.deployment_name in {None, run.pool.deployment}
            and self.root_execution_id in {None, run.root_execution_id}
            and self.user_id in {None, run.user_id}
            and (not self.search or is_found(self.search, _texts(run)))
            and _is_between(self.started_after, run.started_at, self.started_before)
            and _is_between(self.ended_after, run.ended_at, self.ended_before)
            and all(condition.fits(run.search_keys) for condition in self.search_keys)
            and (self.is_workflow_wanted is None or self.is_workflow_wanted(run.workflow_name))
            and (self.is_run_wanted is None or self.is_run_wanted(run))
        )


def _texts(run: RunSummary) -> tuple[str, ...]:
    return run.key.execution_id, run.key.run_id, run.workflow_name, run.workflow_id


def _is_between(after: datetime | None, at: datetime | None, before: datetime | None) -> bool:
    if at is None:
        return after is None and before is None
    return (after is None or after <= at) and (before is None or at < before)
