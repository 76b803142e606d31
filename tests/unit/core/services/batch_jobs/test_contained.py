"""What a batch job cannot read, or cannot tell: it is one execution's affair, and costs no more than it has to."""

from dataclasses import replace

import pytest

from levante_core.domain.history.events import ExecutionContinuedAsNew
from levante_core.domain.names import RunId, WorkflowName
from levante_core.errors import InvalidInput, Unavailable
from levante_core.ports.item_store import Update
from levante_core.services.executions.reset import ResetRequest
from levante_core.storage import keys
from levante_core.storage.runs import LEAVES_MORE
from tests.support.engines import Log, another
from tests.support.place import SPACE
from tests.unit.core.services.batch_jobs.driven import CANCEL, RESET, SIGNAL, Driven


def test_reset_when_an_execution_that_was_reset_before_is_damaged_then_it_fails_and_the_others_are_reset(
    driven: Driven,
) -> None:
    """To tell who has reset it, its latest run has to be read."""
    runs = driven.executions(3)
    for run in runs:
        driven.fail(run)
    driven.place.clock.advance(1)
    driven.place.engine.resets.reset(SPACE, "e1", ResetRequest(None))
    driven.start(RESET, status=["FAILED"])
    (body,) = driven.messages()
    driven.place.store.write(Update(keys.execution(SPACE, runs[1].execution_id), set_attributes={"run_id": 7}))
    driven.place.engine.due.handle(body)
    assert (driven.job().status, driven.counts()) == ("COMPLETED", (3, 2, 1, {}))
    (failure,), _ = driven.place.engine.batch_jobs.failures(SPACE, "b1", 0, 10)
    assert (failure.execution_id, "run_id" in failure.reason) == ("e1", True)


def test_reset_when_an_execution_has_continued_as_new_before_then_its_earlier_runs_cost_nothing(driven: Driven) -> None:
    """There may be very many of them."""
    (run,) = driven.executions(1)
    for number in range(5):
        following = RunId(f"run-{number}")
        driven.place.commit(run, 1, ExecutionContinuedAsNew(seq=1, run_id=following, input=None))
        run = replace(run, run_id=following)
        driven.place.clock.advance(1)
    driven.start(RESET)
    (body,) = driven.messages()
    log = Log()
    another(driven.place, log).due.handle(body)
    assert driven.counts() == (1, 1, 0, {})
    assert log.operations.count("other.read") <= 8


def test_filter_when_the_workflow_cannot_be_read_then_its_executions_fail_and_the_job_ends(driven: Driven) -> None:
    """Nobody can tell whether they are meant."""
    driven.executions(2)
    driven.start(CANCEL, workflow_tags=["t"])
    driven.place.store.write(Update(keys.workflow(SPACE, WorkflowName("w")), set_attributes={"tags": 7}))
    driven.work()
    assert (driven.job().status, driven.counts()) == ("COMPLETED", (2, 0, 2, {}))


def test_filter_when_something_is_unavailable_then_its_message_comes_again(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is nobody's fault."""
    driven.executions(1)
    driven.start(CANCEL, workflow_tags=["t"])
    (body,) = driven.messages()

    def busy(*_: object) -> None:
        raise Unavailable("busy")

    monkeypatch.setattr(driven.place.engine.catalogue, "find_workflow", busy)
    with pytest.raises(Unavailable):
        driven.place.engine.due.handle(body)
    assert driven.job().progress.steps == 0


def test_job_when_its_filter_or_its_input_is_large_then_it_says_that_it_leaves_payloads(driven: Driven) -> None:
    """They are deleted when its time is over."""
    long = "\N{GRINNING FACE}" * 500
    driven.start(CANCEL, workflow_tags=[long] * 40)
    driven.start(SIGNAL, {"a": "x" * 100_000}, "b2")
    driven.start(SIGNAL, {"a": "x"}, "b3")
    items = [driven.place.store.get(keys.batch_job(SPACE, batch_id)) for batch_id in ("b1", "b2", "b3")]
    assert [item and item.attributes[LEAVES_MORE] for item in items] == [True, True, False]


def test_job_when_its_input_is_larger_than_any_may_be_then_it_is_refused(driven: Driven) -> None:
    """It would fail with each execution."""
    with pytest.raises(InvalidInput, match="the input"):
        driven.start(SIGNAL, {"a": "x" * 3_000_000})
