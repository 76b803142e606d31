"""Batch jobs as people use them: what is refused, what a repeat gets, what a preview tells, who sees which."""

from typing import Any

import pytest

from levante_core.domain.batch_jobs.request import BatchRequest
from levante_core.domain.names import Workspace
from levante_core.errors import BatchJobExists, InvalidInput, NotApplicable, NotFound, Unavailable
from levante_core.ports.item_store import Delete, Update
from levante_core.services.batch_jobs import jobs
from levante_core.services.executions.selection import SelectionService
from levante_core.services.paging import MOST_READ, Budget
from levante_core.storage import keys
from tests.support.place import SPACE
from tests.support.races import races
from tests.unit.core.services.batch_jobs.driven import CANCEL, RERUN, SIGNAL, TERMINATE, Driven


def start(driven: Driven, batch_id: str | None = None, *, everything: bool = False, **criteria: Any) -> Any:
    """Start a job that cancels what fits."""
    request = BatchRequest.model_validate({"criteria": criteria, "action": CANCEL})
    return driven.place.engine.batch_jobs.start(driven.key, batch_id, request, everything=everything)


@pytest.mark.parametrize(
    "criteria",
    [{}, {"include_internal": False}, {"search": " "}, {"status": []}, {"search_key": []}, {"is_blocked": False}],
    ids=str,
)
def test_job_when_its_filter_is_empty_then_it_is_refused_unless_everything_is_meant(
    driven: Driven, criteria: dict[str, Any]
) -> None:
    """A filter that somebody forgot would end all executions there are."""
    with pytest.raises(InvalidInput, match="everything"):
        start(driven, **criteria)
    assert driven.place.engine.batch_jobs.all(SPACE) == []
    start(driven, everything=True, **criteria)


def test_job_when_everything_and_a_filter_are_given_then_it_is_refused(driven: Driven) -> None:
    """Nobody can tell which of them is meant."""
    with pytest.raises(InvalidInput, match="one of them"):
        start(driven, everything=True, search="x")


def test_job_when_its_action_takes_no_input_then_one_is_refused(driven: Driven) -> None:
    """It would be lost."""
    with pytest.raises(InvalidInput, match="cancel takes no input"):
        driven.start(CANCEL, {"a": 1})


@pytest.mark.parametrize("batch_id", ["", "a b", "x" * 129, "a#b"])
def test_job_when_its_id_has_not_the_form_of_one_then_it_is_refused(driven: Driven, batch_id: str) -> None:
    """It is part of keys. None at all gets a new one."""
    if batch_id:
        with pytest.raises(InvalidInput, match="batch_id"):
            start(driven, batch_id, search="x")
    else:
        assert len(start(driven, None, search="x").batch_id) == 32


def test_job_when_its_workflow_is_not_known_then_it_is_refused(driven: Driven) -> None:
    """A typing error finds nothing, and would look like success."""
    with pytest.raises(NotFound):
        start(driven, workflow_identifier="v")
    with pytest.raises(NotFound):
        driven.place.engine.batch_jobs.preview(
            SPACE, BatchRequest.model_validate({"criteria": {"workflow_identifier": "v"}, "action": CANCEL}).criteria
        )


def test_start_when_repeated_then_it_is_the_same_job_and_something_else_is_refused(driven: Driven) -> None:
    """Whoever has not heard the answer asks once more."""
    first = driven.start(SIGNAL, {"a": 1})
    driven.place.clock.advance(60)
    assert driven.start(SIGNAL, {"a": 1}) == first
    for action, value, criteria in (
        (SIGNAL, {"a": 2}, {}),
        (RERUN, {"a": 1}, {}),
        (SIGNAL, {"a": 1}, {"search": "x"}),
    ):
        with pytest.raises(BatchJobExists):
            driven.start(action, value, **criteria)
    assert driven.place.engine.batch_jobs.all(SPACE) == [first]


@races("jobs.start Absent")
def test_start_when_somebody_else_does_the_same_meanwhile_then_there_is_one_job(driven: Driven) -> None:
    """Both get it, unless they mean different things."""
    with driven.place.racing.before_write(lambda: driven.start(CANCEL)):
        assert driven.start(CANCEL) == driven.job()
    with driven.place.racing.before_write(lambda: driven.start(CANCEL, batch_id="b2")), pytest.raises(BatchJobExists):
        driven.start(TERMINATE, batch_id="b2")


def test_start_when_many_are_running_then_it_is_refused_until_one_has_ended(driven: Driven) -> None:
    """Each takes its part of what the store can do."""
    for number in range(jobs.RUNNING_AT_ONCE):
        driven.start(CANCEL, batch_id=f"b{number}")
    with pytest.raises(NotApplicable, match="10 batch jobs"):
        driven.start(CANCEL, batch_id="one-more")
    driven.start(CANCEL, batch_id="b0")  # a repeat is none more
    driven.place.engine.batch_jobs.abort(SPACE, "b3")
    driven.start(CANCEL, batch_id="one-more")


def test_start_when_very_many_are_kept_then_it_is_refused(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing reads all of them."""
    monkeypatch.setattr(jobs, "MOST_JOBS", 2)
    for number in range(2):
        driven.start(CANCEL, batch_id=f"b{number}")
    driven.work()
    with pytest.raises(NotApplicable, match="2 batch jobs"):
        driven.start(CANCEL, batch_id="b2")


def test_jobs_when_listed_then_the_newest_comes_first_and_damaged_ones_are_left_out(driven: Driven) -> None:
    """Of this workspace."""
    for name in ("b2", "b1", "b3"):
        driven.start(CANCEL, batch_id=name)
        driven.place.clock.advance(1)
    driven.place.store.write(Update(keys.batch_job(SPACE, "b1"), set_documents={"request": "{"}))
    service = driven.place.engine.batch_jobs
    assert [job.batch_id for job in service.all(SPACE)] == ["b3", "b2"]
    assert service.all(Workspace("another")) == []


def test_job_when_another_workspace_asks_then_there_is_none(driven: Driven) -> None:
    """Whatever is asked of it."""
    driven.start(CANCEL)
    service, elsewhere = driven.place.engine.batch_jobs, Workspace("another")
    with pytest.raises(NotFound):
        service.get(elsewhere, "b1")
    with pytest.raises(NotFound):
        service.failures(elsewhere, "b1", 0, 10)
    with pytest.raises(NotFound):
        service.abort(elsewhere, "b1")
    assert driven.job().is_running


# --- abort ------------------------------------------------------------------------------------------------------------


def test_abort_when_the_job_is_running_then_no_step_follows_and_a_repeat_is_harmless(driven: Driven) -> None:
    """The message that is under way finds nothing to do."""
    driven.executions(1)
    driven.start(TERMINATE)
    (body,) = driven.messages()
    for _ in range(2):
        driven.place.engine.batch_jobs.abort(SPACE, "b1")
    driven.place.engine.due.handle(body)
    assert (driven.job().status, driven.counts(), driven.messages()) == ("ABORTED", (0, 0, 0, {}), [])
    assert driven.job().ended_at == driven.place.clock.now()
    assert driven.place.engine.due.next_sweep_at() is not None  # of the execution
    driven.place.clock.advance(600)
    driven.place.engine.due.sweep()
    assert driven.messages() == []


def test_abort_when_the_job_has_ended_then_it_is_refused(driven: Driven) -> None:
    """It is too late, and that is said."""
    driven.run(CANCEL)
    with pytest.raises(NotApplicable, match="COMPLETED"):
        driven.place.engine.batch_jobs.abort(SPACE, "b1")


@races("jobs.abort progress_update")
def test_abort_when_a_step_is_written_meanwhile_then_it_comes_after_it(driven: Driven) -> None:
    """Nothing of what was done is forgotten."""
    driven.executions(60)
    driven.start(TERMINATE)
    (body,) = driven.messages()
    with driven.place.racing.before_write(lambda: driven.place.engine.due.handle(body)):
        driven.place.engine.batch_jobs.abort(SPACE, "b1")
    assert (driven.job().status, driven.counts()) == ("ABORTED", (50, 50, 0, {}))


def test_abort_when_steps_are_written_all_the_time_then_somebody_has_to_try_again(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not go on for ever."""
    driven.start(TERMINATE)

    def get(*_: Any) -> Any:
        driven.place.clock.advance(3)
        return job

    job = driven.job()
    driven.place.store.write(Update(keys.batch_job(SPACE, "b1"), set_attributes={"steps": 7}))
    monkeypatch.setattr(type(driven.place.engine.batch_jobs), "get", get)
    with pytest.raises(Unavailable, match="too fast"):
        driven.place.engine.batch_jobs.abort(SPACE, "b1")


# --- preview ----------------------------------------------------------------------------------------------------------


def criteria(**said: Any) -> Any:
    """Write criteria."""
    return BatchRequest.model_validate({"criteria": said, "action": CANCEL}).criteria


def test_preview_when_asked_for_then_it_counts_and_shows_the_first_and_nothing_happens(driven: Driven) -> None:
    """Earlier runs of an execution are none of their own."""
    driven.executions(15)
    driven.complete(driven.executions(1, "x")[0])
    driven.executions(1, "x")
    before = driven.place.store.read_changes(None, 100_000)
    preview = driven.place.engine.batch_jobs.preview(SPACE, criteria(status=["RUNNING"]))
    assert (preview.matched, preview.is_complete) == (16, True)
    assert [run.key.execution_id for run in preview.first] == [f"e{number}" for number in range(10)]
    assert driven.place.store.read_changes(None, 100_000) == before


def test_preview_when_there_is_very_much_to_read_then_it_says_that_there_may_be_more(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one request reads is bounded."""
    monkeypatch.setattr("levante_core.services.paging.MOST_READ", 4)
    assert MOST_READ > 4
    driven.executions(6)
    preview = driven.place.engine.batch_jobs.preview(SPACE, criteria(workflow_identifier="w"))
    assert (preview.matched, preview.is_complete) == (4, False)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"start_time_after": "2026-01-01T00:00:02Z"}, ["e2", "e3"]),
        ({"start_time_before": "2026-01-01T00:00:02Z"}, ["e0", "e1"]),
        ({"start_time_after": "2026-02-01T00:00:00Z", "start_time_before": "2026-01-01T00:00:00Z"}, []),
        ({"status": ["RETRYING_AFTER_ERROR"]}, []),
        ({"workflow_tags": ["t"]}, ["e0", "e1", "e2", "e3"]),
        ({"workflow_tags": ["v"]}, []),
        ({"search": "x"}, []),
        ({"search_key": ["x"]}, []),
        ({"is_blocked": True}, ["e0", "e1", "e2", "e3"]),
    ],
    ids=str,
)
def test_preview_when_filtered_then_it_finds_what_a_listing_would(
    driven: Driven, said: dict[str, Any], found: list[str]
) -> None:
    """The filter is the same."""
    driven.executions(4)
    driven.place.engine.workflow_edits.add_tags(SPACE, "w", ["t"])
    preview = driven.place.engine.batch_jobs.preview(SPACE, criteria(**said))
    assert [run.key.execution_id for run in preview.first] == found


def test_filter_when_the_workflow_of_a_run_is_gone_then_no_tag_is_its_own(driven: Driven) -> None:
    """It is looked up once for all runs."""
    driven.executions(1)
    driven.place.store.write(
        Delete(keys.workflow(SPACE, driven.place.engine.executions.get(SPACE, "e0").start.workflow_name))
    )
    selection: SelectionService = driven.place.engine.selection
    for said, is_wanted in (({"workflow_tags": ["t"]}, False), ({"include_internal": False}, True)):
        wanted = selection.filter_of(SPACE, criteria(**said), Budget()).is_workflow_wanted
        assert wanted
        assert wanted("w") is is_wanted
