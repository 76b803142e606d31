"""Lines of workflow code that is tried again after it has failed."""

from typing import Any

from levante.worker.logs import repeats
from levante.worker.logs.repeats import Repeats
from tests.unit.levante.worker.logs.test_shipping import Run


def are_repeats(known: Repeats, run: Any, *events: int) -> list[bool]:
    """Log a line at each of these places."""
    found = []
    for number in events:
        run.events = number
        found.append(known.is_repeat(run))
    return found


def test_lines_when_the_code_runs_for_the_first_time_then_all_are_new() -> None:
    """However many are logged over one event."""
    known = Repeats()
    assert are_repeats(known, Run(), 1, 1, 1, 2, 5, 5) == [False] * 6
    assert are_repeats(known, Run(run_id="another"), 1, 1) == [False] * 2


def test_lines_when_the_code_is_tried_again_then_only_those_beyond_its_failure_are_new() -> None:
    """It goes the same way, as it is deterministic; fixed code goes further."""
    known = Repeats()
    assert are_repeats(known, Run(), 1, 3, 3) == [False] * 3
    for _ in range(5):
        assert are_repeats(known, Run(), 3, 3) == [True] * 2
    assert are_repeats(known, Run(), 3, 3, 3, 4) == [True, True, False, False]


def test_runs_when_there_are_too_many_then_the_oldest_is_forgotten(monkeypatch: Any) -> None:
    """Its lines are sent once more, if it fails again at all."""
    monkeypatch.setattr(repeats, "MOST_RUNS", 2)
    known = Repeats()
    for name in ("a", "b", "c"):
        are_repeats(known, Run(run_id=name), 1)
    assert are_repeats(known, Run(run_id="c"), 1) == [True]
    assert are_repeats(known, Run(run_id="a"), 1) == [False]
