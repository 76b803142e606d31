"""The steps of batch jobs: each page is written once, whoever dies, comes twice, or finds something unavailable."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from levante_core.domain.batch_jobs.job import MOST_FAILURES, PAGE
from levante_core.ports.item_store import Delete, Update
from levante_core.services.batch_jobs import steps
from levante_core.storage import keys
from levante_core.storage.batch_jobs import jobs
from tests.support.engines import Log, another
from tests.support.place import SPACE, new_place
from tests.support.races import races
from tests.unit.core.services.batch_jobs.driven import (
    CANCEL,
    RERUN,
    RESET,
    RETRY_ALL,
    SIGNAL,
    TERMINATE,
    Driven,
    Killed,
    is_of_the_job,
)

Counts = tuple[int, int, int, dict[str, int]]
ACTIONS = [CANCEL, TERMINATE, SIGNAL, RESET, RETRY_ALL, RERUN]
EACH = pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action["kind"])


def prepared(driven: Driven, action: dict[str, Any], count: int) -> None:
    """Start executions that the action applies to."""
    for run in driven.executions(count):
        if action is RERUN:
            driven.complete(run)
        elif action is RESET:
            driven.fail(run)
        elif action is RETRY_ALL:
            driven.back_off(run)
    driven.place.clock.advance(1)


def traces(driven: Driven) -> Counter[str]:
    """Count what executions have left: runs, batches, facts and attempts."""
    touched = {change.key for change in driven.place.store.read_changes(None, 100_000)}
    there = [key for key in touched if key.partition[:2] in {"X#", "H#"} and driven.place.store.get(key)]
    return Counter(f"{key.partition[0]} {key.sort.partition('#')[0]}" for key in there)


def killed_before(number: int) -> Log:
    """Let a process end before its n-th operation, whatever that is."""
    left = iter(range(number - 1))

    def before(_: str) -> None:
        if next(left, None) is None:
            raise Killed

    return Log(before)


def test_job_when_there_are_more_executions_than_fit_a_page_then_it_takes_steps(driven: Driven) -> None:
    """Each asks for the next one; after the last nothing is asked for."""
    driven.executions(2 * PAGE + 1)
    driven.start(TERMINATE)
    assert driven.work() == 3
    progress = driven.job().progress
    assert (progress.steps, progress.matched, progress.done) == (3, 2 * PAGE + 1, 2 * PAGE + 1)
    assert driven.place.engine.due.next_sweep_at() is None


def test_job_when_it_ends_then_it_is_kept_for_a_while(driven: Driven) -> None:
    """The store deletes it, and what it refers to."""
    driven.run(TERMINATE)
    item = driven.place.store.get(keys.batch_job(SPACE, "b1"))
    assert item
    assert item.attributes["expires_at"] == int((driven.place.clock.now() + jobs.KEPT_FOR).timestamp())
    assert item.indexes == {}


def test_step_when_it_has_taken_long_then_it_ends_before_its_page_is_full(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timers of others wait behind it."""
    driven.executions(4)
    cancel = driven.place.engine.messages.cancel

    def slow(*of: Any) -> None:
        driven.place.clock.advance(0.6)
        cancel(*of)

    monkeypatch.setattr(driven.place.engine.messages, "cancel", slow)
    driven.start(CANCEL)
    assert driven.work() == 3
    assert driven.counts() == (4, 4, 0, {})


def test_step_when_it_has_read_much_and_found_nothing_then_it_goes_on_from_there(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has looked at is not looked at again."""
    monkeypatch.setattr(steps, "READ_BY_STEP", 3)
    driven.executions(7)
    driven.executions(1, "x", user_id="u")
    driven.start(TERMINATE, user_id="u")
    assert driven.work() == 3
    assert driven.counts() == (1, 1, 0, {})


def test_job_when_an_execution_cannot_be_read_then_the_others_are_acted_on(driven: Driven) -> None:
    """It fails by itself, if it is found at all."""
    driven.executions(3)
    for number, name in ((0, "status"), (1, "mail_count")):
        key = keys.execution(SPACE, driven.place.engine.executions.get(SPACE, f"e{number}").key.execution_id)
        driven.place.store.write(Update(key, set_attributes={name: "no such thing"}))
    assert driven.run(CANCEL) == (1, 1, 0, {})


def test_job_when_a_history_is_damaged_then_that_execution_fails_and_the_reason_says_what_cannot_be_read(
    driven: Driven,
) -> None:
    """An operator finds it in the list."""
    runs = driven.executions(2)
    for run in runs:
        driven.back_off(run)
    driven.place.store.write(Update(keys.batch(runs[0], 1), set_documents={"batch": "{"}))
    assert driven.run(RETRY_ALL) == (2, 1, 1, {})
    (failure,), _ = driven.place.engine.batch_jobs.failures(SPACE, "b1", 0, 10)
    assert "document 'batch'" in failure.reason


def test_job_when_very_many_executions_fail_then_it_gives_up(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with a thousand is wrong with the job."""
    monkeypatch.setattr("levante_core.domain.batch_jobs.job.MOST_FAILURES", PAGE)
    assert MOST_FAILURES > PAGE
    driven.executions(PAGE + 5)
    driven.start(SIGNAL, "no object")
    driven.work()
    assert driven.job().status == "FAILED"
    assert driven.counts() == (PAGE, 0, PAGE, {})


def test_failures_when_there_are_several_pages_then_each_comes_once(driven: Driven) -> None:
    """Wherever a page of the listing ends."""
    driven.executions(PAGE + 5)
    driven.run(SIGNAL, "no object")
    listing = driven.place.engine.batch_jobs.failures
    found: list[str] = []
    after: int | None = 0
    while after is not None:
        page, after = listing(SPACE, "b1", after, 7)
        found += [one.execution_id for one in page]
    assert found == [f"e{number}" for number in range(PAGE + 5)]


# --- whoever dies -----------------------------------------------------------------------------------------------------


def after_a_death(directory: Path, action: dict[str, Any], number: int) -> tuple[Counts, Counter[str], bool]:
    """Let the process of a step end before its n-th operation; another one gets its message. Tells also if it ended."""
    with new_place(directory) as place:
        driven, died = Driven(place), False
        prepared(driven, action, 3)
        driven.start(action, {} if action is SIGNAL else None)
        (body,) = driven.messages()
        try:
            another(place, killed_before(number)).due.handle(body)
        except Killed:
            died = True
        place.clock.advance(1)
        place.engine.due.handle(body)
        driven.work()
        return driven.counts(), traces(driven), died


@pytest.mark.slow
@EACH
def test_job_when_its_process_dies_at_any_moment_then_another_one_takes_it_on_and_nothing_is_done_twice(
    tmp_path: Path, action: dict[str, Any]
) -> None:
    """Before and after each write of an execution, and before and after that of the page."""
    counts, left, died = after_a_death(tmp_path / "undisturbed", action, 10_000)
    assert (counts, died) == ((3, 3, 0, {}), False)
    for number in range(1, 100):
        counts, found, died = after_a_death(tmp_path / str(number), action, number)
        assert (counts, found) == ((3, 3, 0, {}), left), number
        if not died:
            break
    assert number > 6


@EACH
def test_step_when_its_message_comes_twice_then_each_execution_is_acted_on_and_counted_once(
    driven: Driven, action: dict[str, Any]
) -> None:
    """The one that has written the page first has done it; the other one writes nothing."""
    prepared(driven, action, 3)
    driven.start(action, {} if action is SIGNAL else None)
    (body,) = driven.messages()
    with driven.place.racing.before_write(lambda: driven.place.engine.due.handle(body), of=is_of_the_job):
        driven.place.engine.due.handle(body)
    assert driven.counts() == (3, 3, 0, {})
    left = traces(driven)
    driven.place.engine.due.handle(body)
    assert (driven.counts(), traces(driven)) == ((3, 3, 0, {}), left)


@races("steps._writes progress_update")
def test_job_when_aborted_while_a_page_is_under_way_then_that_page_counts_and_no_other_begins(driven: Driven) -> None:
    """What was done is told."""
    driven.executions(2 * PAGE)
    driven.start(TERMINATE)
    (body,) = driven.messages()
    abort = partial(driven.place.engine.batch_jobs.abort, SPACE, "b1")
    with driven.place.racing.before_write(abort, of=is_of_the_job):
        driven.place.engine.due.handle(body)
    assert driven.work() == 0
    assert (driven.job().status, driven.counts()) == ("ABORTED", (PAGE, PAGE, 0, {}))


def test_page_when_the_job_expires_meanwhile_then_nothing_is_written(driven: Driven) -> None:
    """There is nobody left to tell."""
    driven.executions(1)
    driven.start(TERMINATE)
    (body,) = driven.messages()
    delete = partial(driven.place.store.write, Delete(keys.batch_job(SPACE, "b1")))
    with driven.place.racing.before_write(delete, of=is_of_the_job):
        driven.place.engine.due.handle(body)
    assert driven.place.store.get(keys.batch_job(SPACE, "b1")) is None
    driven.place.engine.due.handle(body)
    driven.place.engine.batch_steps.revive(SPACE, "b1")
    assert driven.messages() == []


# --- what it costs ----------------------------------------------------------------------------------------------------


@EACH
def test_page_when_written_then_it_costs_one_write_beside_those_of_its_actions(
    driven: Driven, action: dict[str, Any]
) -> None:
    """However many executions there are."""
    each = {"terminate": 1, "cancel": 1, "signal": 1, "retry": 1, "rerun": 1, "reset": 2}
    prepared(driven, action, 10)
    driven.start(action, {} if action is SIGNAL else None)
    (body,) = driven.messages()
    log = Log()
    another(driven.place, log).due.handle(body)
    assert driven.counts() == (10, 10, 0, {})
    assert log.operations.count("other.write") == 10 * each[action["kind"]] + 1
