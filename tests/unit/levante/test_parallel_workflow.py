"""The technical workflow of parallel execution: offsets, chains and failures."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from levante.replay import run as replay_run
from tests.unit.levante.items import Item, Run, child_input, par_at, par_next

NewRun = Callable[..., Run]


@pytest.fixture
def new_run() -> Iterator[NewRun]:
    """Make runs from the arguments of calls."""
    with ExitStack() as stack:

        def new(**given: Any) -> Run:
            run = Run(child_input(**given))
            stack.callback(run.dispose)
            return run

        yield new


@pytest.mark.parametrize(("result_bytes", "size"), [(10, 100), (100_000, 19), (900_000, 2), (1_900_000, 1)])
def test_offsets_when_the_first_results_are_large_then_groups_are_small(
    new_run: NewRun, result_bytes: int, size: int
) -> None:
    """Batches stay below 2 MB, by the largest of the first three results."""
    run = new_run(get_item_from_index_activity=par_at, n_items=1000, max_concurrent_scheduled_tasks=3)
    assert run.groups() == [(0, 1), (1, 1), (2, 1)]
    for index, each in enumerate((1, result_bytes, 1)):
        assert run.ending is None, index
        run.answer(["x" * (each - 2)] if each > 1 else [1])
    assert run.groups() == [(3, size), (3 + size, size), (3 + 2 * size, size)]


def test_offsets_when_run_then_a_group_has_time_for_fetching_and_processing(new_run: NewRun) -> None:
    """The attempts are those of the activity that processes."""
    run = new_run(get_item_from_index_activity=par_at, n_items=1)
    options = run.open[0].options
    assert (options.start_to_close_seconds, options.retry.max_attempts) == (600, 7)
    run.answer([0])
    assert run.ending.result == {"result": [0]}


@pytest.mark.parametrize("form", ["list", "chain", "offset"])
def test_execution_when_there_are_no_items_then_it_ends_without_processing(new_run: NewRun, form: str) -> None:
    """No items, no results."""
    given: dict[str, dict[str, Any]] = {
        "list": {"items": []},
        "chain": {"get_item_from_prev_item_activity": par_next},
        "offset": {"get_item_from_index_activity": par_at, "n_items": 0},
    }
    run = new_run(**given[form])
    if form == "chain":
        run.answer(None)
    assert run.ending.result == {"result": []}


def test_chain_when_items_come_then_they_are_processed_while_others_are_fetched(new_run: NewRun) -> None:
    """The next item is asked for before the one before it is processed; all of them are processed at once."""
    run = new_run(get_item_from_prev_item_activity=par_next)
    for number in range(4):
        fetch = next(index for index, one in enumerate(run.open) if one.name == "par_next")
        before = {"number": number - 1} if number else None
        assert run.open[fetch].input == {"before": before}
        run.answer({"number": number}, fetch)
    assert [one.name for one in run.open].count("par_double") == 4


def test_execution_when_one_fails_then_the_others_are_cancelled_and_its_error_ends_it(new_run: NewRun) -> None:
    """What runs is cancelled, what waits is never asked for; the cause is kept."""
    run = new_run(items=[Item(number=number) for number in range(5)], max_concurrent_scheduled_tasks=3)
    run.answer(0)
    run.fail("broken")
    assert run.canceled == 2
    assert run.ending.kind == "execution_failed"
    assert (run.ending.failure.type, run.ending.failure.cause.message) == ("ActivityError", "broken")


def test_execution_when_what_it_has_to_keep_is_too_large_then_it_fails(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results and items left have to fit into the input of the next run; the message says what to do."""
    monkeypatch.setattr(replay_run, "LONG_HISTORY", 4)
    run = new_run(items=[Item(number=number) for number in range(9)], max_concurrent_scheduled_tasks=1)
    while run.ending is None:
        run.answer("x" * 1_500_000)
    assert run.ending.kind == "execution_failed"
    assert "pass a reference" in run.ending.failure.message
