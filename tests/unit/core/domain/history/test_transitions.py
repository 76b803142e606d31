import itertools
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from levante_core.domain.history.transitions import (
    ACTIVITY,
    EXECUTION,
    TIMER,
    ActivityState,
    ExecutionStatus,
    TimerState,
    step,
)
from levante_core.errors import InconsistentHistory

TABLES: list[tuple[Mapping[Any, Any], type[StrEnum]]] = [
    (EXECUTION, ExecutionStatus),
    (ACTIVITY, ActivityState),
    (TIMER, TimerState),
]
KINDS = sorted({kind for table, _ in TABLES for _, kind in table})


@pytest.mark.parametrize(("table", "states"), TABLES, ids=["execution", "activity", "timer"])
def test_step_when_listed_then_it_leads_there_and_else_it_is_refused(
    table: Mapping[Any, Any], states: type[StrEnum]
) -> None:
    """What a table does not list is no transition."""
    for state, kind in itertools.product(states, KINDS):
        if (state, kind) in table:
            assert step(table, state, kind) is table[state, kind]
        else:
            with pytest.raises(InconsistentHistory, match=kind):
                step(table, state, kind)
