"""Histories that grow: advice to continue as new, warnings, and an end before they grow too large."""

import logging
from itertools import pairwise

import pytest

import levante as workflows
from levante import workflow
from levante.testing import ExecutionNotCompleted, WorkflowEnvironment
from levante.worker.runs import history_size, ledger
from levante_core.domain.history import state
from levante_core.domain.history.transitions import ExecutionStatus

pytestmark = pytest.mark.levante
KILOBYTES = 20
"""What each step adds at least."""


@workflows.activity(name="history-size-read")
async def read_page(number: int) -> str:
    """Return a page of text."""
    return f"{number:04} " * (KILOBYTES * 1024 // 5)


@workflow.define(name="history-size-reader")
class Reader:
    """Reads until it is advised to continue as new, twice, and returns how far each of its runs has come."""

    @workflow.entrypoint
    async def run(self, read: list[int]) -> list[int]:
        """See the class."""
        number = read[-1] if read else 0
        while not workflow.should_continue_as_new():
            await read_page(number)
            number += 1
        if len(read) < 2:
            workflow.continue_as_new({"read": [*read, number]})
        return [*read, number]


@workflow.define(name="history-size-hoarder")
class Hoarder:
    """Reads on, whatever it is advised."""

    @workflow.entrypoint
    async def run(self, pages: int) -> int:
        """See the class."""
        for number in range(pages):
            await read_page(number)
        return pages


@pytest.fixture(autouse=True)
def _half_a_megabyte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a history hold half a megabyte."""
    for module in (state, history_size, ledger):
        monkeypatch.setattr(module, "MOST_BYTES", 512 * 1024)


@pytest.mark.parametrize("always_replay", [False, True])
async def test_advice_when_a_history_has_grown_large_then_it_is_the_same_on_replay(*, always_replay: bool) -> None:
    """A fifth of what a history may hold, by its bytes too: recorded, so that code which has seen it keeps its path."""
    async with WorkflowEnvironment([Reader], activities=[read_page], always_replay=always_replay) as environment:
        execution = await environment.start(Reader, {"read": []})
        read = await execution.result()
        recorded = await execution.history()
    steps = [after - before for before, after in pairwise([0, *read])]
    assert len(steps) == 3
    assert set(steps) <= {5, 6, 7}, "about 100 KB of 20 KB each"
    assert "history_grew_large" in recorded.kinds
    recorded.replay(Reader)


@pytest.mark.parametrize("crash", range(1, 9))
async def test_advice_when_the_worker_dies_then_the_next_one_goes_on_as_advised(crash: int) -> None:
    """The other worker measures what is recorded."""
    async with WorkflowEnvironment([Reader], activities=[read_page], crashes=[crash]) as environment:
        read = await environment.execute(Reader, {"read": [0, 0]})
        assert read[-1] in {5, 6, 7}


async def test_history_when_it_grows_without_end_then_the_log_warns_twice_and_the_execution_is_terminated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is lost of what was recorded, and the failure says what to do."""
    with caplog.at_level(logging.WARNING, "levante.worker"):
        async with WorkflowEnvironment([Hoarder], activities=[read_page]) as environment:
            execution = await environment.start(Hoarder, {"pages": 100})
            with pytest.raises(ExecutionNotCompleted, match="let the workflow continue as new") as caught:
                await execution.result()
            completed = (await execution.history()).kinds.count("activity_completed")
    assert caught.value.status is ExecutionStatus.TERMINATED
    assert 20 < completed < 30
    assert sum("is terminated" in record.message for record in caplog.records) == 2
