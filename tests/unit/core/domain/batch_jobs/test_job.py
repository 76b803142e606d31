"""What follows from one page of a batch job."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from levante_core.domain.batch_jobs.job import (
    LONGEST_PAUSE,
    MOST_FAILURES,
    PAGE,
    BatchFailure,
    BatchJob,
    BatchJobStatus,
    PageOutcome,
    Progress,
    SkipReason,
    aborted,
    after_page,
    begun,
    interrupted,
)
from levante_core.domain.batch_jobs.request import BatchRequest
from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.names import ExecutionId, RunId, Workspace

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(hours=1)
E = ExecutionId("e")
FAILURE = BatchFailure(execution_id=E, run_id=RunId("r"), at=NOW, reason="no")


def job(reason: str | None = None, **progress: Any) -> BatchJob:
    request = BatchRequest.model_validate({"criteria": {"search": "x"}, "action": {"kind": "cancel"}, "reason": reason})
    by = ByHand(at=START, key_id="k", key_name="n", role="client")
    return BatchJob(Workspace("s"), "b", request, by, Progress(due_at=START, updated_at=START, **progress))


def test_page_when_written_then_all_of_it_counts_and_the_next_step_is_due_now() -> None:
    """Skipped ones by their reasons."""
    before = job(position="p1", steps=3, matched=10, done=7, failed=1, skipped={"ended": 2})
    page = PageOutcome("p2", 4, {SkipReason.ENDED: 1, SkipReason.CHILD: 2}, [FAILURE])
    after = after_page(before, page, NOW)
    assert after.progress == Progress(
        due_at=NOW,
        updated_at=NOW,
        steps=4,
        position="p2",
        matched=18,
        done=11,
        failed=2,
        skipped={"ended": 3, "child": 2},
    )
    assert (after.status, after.ended_at) == (BatchJobStatus.RUNNING, None)


def test_page_when_it_is_the_last_then_the_job_is_completed() -> None:
    """At this time, from which its expiry counts."""
    after = after_page(job(), PageOutcome("p", is_last=True), NOW)
    assert (after.status, after.ended_at, after.is_running) == (BatchJobStatus.COMPLETED, NOW, False)


def test_page_when_the_job_was_aborted_meanwhile_then_it_counts_and_the_job_stays_aborted() -> None:
    """Whatever the page says."""
    stopped = aborted(job(), START)
    after = after_page(stopped, PageOutcome("p", done=2, is_last=True), NOW)
    assert (after.status, after.ended_at, after.progress.done) == (BatchJobStatus.ABORTED, START, 2)


def test_page_when_too_many_have_failed_then_the_job_gives_up_although_it_is_the_last() -> None:
    """Whoever looks at it sees that something is wrong."""
    before = job(failed=MOST_FAILURES - 2)
    assert after_page(before, PageOutcome("p", failures=[FAILURE]), NOW).is_running
    after = after_page(before, PageOutcome("p", failures=[FAILURE] * 2, is_last=True), NOW)
    assert (after.status, after.ended_at) == (BatchJobStatus.FAILED, NOW)


@pytest.mark.parametrize(
    ("tries", "position", "then", "pause"),
    [(0, "p1", 1, 2), (1, "p1", 2, 4), (3, "p1", 4, 16), (9, "p1", 10, 60), (3, "p2", 1, 2)],
    ids=["the first", "the second", "a later one", "the longest", "another execution"],
)
def test_page_when_it_ends_at_what_is_unavailable_then_the_next_step_waits_longer_each_time(
    tries: int, position: str, then: int, pause: float
) -> None:
    """Tries are of the execution behind the position."""
    after = after_page(job(position="p1", tries=tries), PageOutcome(position, is_unavailable=True), NOW)
    assert (after.progress.tries, after.progress.due_at - NOW) == (then, timedelta(seconds=pause))
    assert timedelta(seconds=60) == LONGEST_PAUSE


def test_steps_when_one_was_not_heard_of_then_a_page_full_of_them_takes_one_execution_each() -> None:
    """And each notes that it begins."""
    careful = interrupted(job(), NOW)
    assert (job().page_size, careful.page_size, careful.progress.due_at) == (PAGE, 1, NOW)
    twice = begun(begun(careful))
    assert twice.progress.beginnings == 2
    for step in range(PAGE):
        assert (twice.page_size, step) == (1, step)
        twice = after_page(twice, PageOutcome("p", done=1), NOW)
        assert twice.progress.beginnings == 0
    assert twice.page_size == PAGE


def test_derived_id_when_made_again_then_it_is_the_same_and_no_other_job_or_execution_has_it() -> None:
    """A job that has the id of one that has expired is another one."""
    one = job()
    later = replace(one, requested=one.requested.model_copy(update={"at": NOW}))
    ids = [
        one.derived_id(E),
        replace(one, batch_id="c").derived_id(E),
        later.derived_id(E),
        one.derived_id(ExecutionId("f")),
    ]
    assert one.derived_id(E) == ids[0]
    assert len({*ids, replace(one, workspace=Workspace("t")).derived_id(E)}) == 5


def test_reached_when_shown_then_it_is_the_start_of_the_last_run_that_was_looked_at() -> None:
    """Progress in time, as nobody knows how many there are."""
    assert (job().reached, job(position="2026-01-01T01:00:00.000000Z#run").reached) == (None, NOW)


def test_reason_when_shown_then_it_names_the_job_and_what_people_said() -> None:
    """In the histories of executions."""
    assert (job().reason, job("because").reason) == ("batch b", "batch b: because")
