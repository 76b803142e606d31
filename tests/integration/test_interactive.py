"""Human in the loop: live from the cache, and replayed at every task."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId
from levante_core.errors import HandlerFailed, InvalidInput
from levante_local.greenlets import call
from tests.integration.interactive_workflows import ACTIVITIES, RUNS, WORKFLOWS
from tests.support.direct import WORKSPACE, Installation

MODES = {"live": 1000, "always-replay": 0}


class Place(Installation):
    """An installation, and what people do with interactive workflows."""

    async def pending(self, execution: str, count: int = 1) -> list[dict[str, Any]]:
        """Return what an execution waits for, once it is so much."""
        while True:
            asked = await call(self.engine.queries.ask, WORKSPACE, execution, "__get_pending_inputs", None, 20.0)
            found: list[dict[str, Any]] = asked["pending_inputs"]
            if len(found) == count:
                return found
            await asyncio.sleep(0.01)

    async def submit(self, execution: str, task_id: str, value: Any) -> Any:
        """Answer."""
        given = {"task_id": task_id, "input": value}
        return await call(self.engine.messages.update, WORKSPACE, execution, "__submit_input", given, 20.0)

    async def stream_events(self, execution: str) -> list[tuple[str, str, Any]]:
        """Return the events of the waits: phase, task id, payload or failure message."""
        streams = self.engine.streams
        await call(streams.publish, WORKSPACE, ExecutionId(execution))
        events = [one.update.event for one in await call(lambda: list(streams.read(WORKSPACE, ExecutionId(execution), 1)))]
        return [
            (event.event_type.removeprefix("CUSTOM_TASK_"), event.attributes["custom_task_id"], _said(event.attributes))
            for event in events
            if event.attributes.get("custom_task_type") == "wait_for_input"
        ]


def _said(attributes: Any) -> Any:
    return attributes["payload"]["value"] if "payload" in attributes else attributes["failure"]["message"]


Scenario = Callable[[Place], Awaitable[None]]


@pytest.fixture(params=MODES, ids=list(MODES))
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario on an installation with a worker that keeps all runs, or none."""

    async def within(scenario: Scenario) -> None:
        place = Place(tmp_path)
        async with place.running(), place.worker(WORKFLOWS, ACTIVITIES, max_cached_workflows=MODES[request.param]):
            await scenario(place)

    return lambda scenario: asyncio.run(within(scenario))


ANSWER = {"by": "ann", "amount": 3, "note": "fine"}


def test_input_when_submitted_then_the_workflow_goes_on_with_the_model(run: Callable[[Scenario], None]) -> None:
    """The schema is that of the model, aliases included; the answer to whoever submits is an empty object."""

    async def scenario(place: Place) -> None:
        execution = await place.start("interactive-approval", {"label": uuid4().hex})
        (asked,) = await place.pending(execution)
        assert UUID(asked["task_id"]).version == 4
        assert asked["label"] == "Approve it"
        assert set(asked["input_schema"]["properties"]) == {"by", "amount", "note"}
        assert await place.submit(execution, asked["task_id"], ANSWER) == {}
        assert (await place.result(execution)).ending.result == {"result": "ann 3 fine"}

    run(scenario)


def test_input_when_awaited_and_taken_then_a_custom_task_tells_of_it(run: Callable[[Scenario], None]) -> None:
    """STARTED carries schema and label, COMPLETED the input as it was submitted besides; nothing comes between."""

    async def scenario(place: Place) -> None:
        execution = await place.start("interactive-approval", {"label": uuid4().hex})
        (asked,) = await place.pending(execution)
        await place.submit(execution, asked["task_id"], ANSWER)
        await place.result(execution)
        task_id, about = asked["task_id"], {"input_schema": asked["input_schema"], "label": "Approve it"}
        assert await place.stream_events(execution) == [
            ("STARTED", task_id, about),
            ("COMPLETED", task_id, {**about, "input": ANSWER}),
        ]

    run(scenario)


def test_input_when_it_does_not_fit_then_the_caller_hears_why_and_the_wait_stays_open(
    run: Callable[[Scenario], None],
) -> None:
    """Unknown task, wrong shape: refused for good, naming the field but not its value. The workflow knows nothing of it."""

    async def scenario(place: Place) -> None:
        execution = await place.start("interactive-approval", {"label": uuid4().hex})
        (asked,) = await place.pending(execution)
        with pytest.raises(HandlerFailed, match="no input with task_id 'nobody' is pending") as unknown:
            await place.submit(execution, "nobody", ANSWER)
        assert unknown.value.failure["non_retryable"] is True
        with pytest.raises(HandlerFailed, match=r"does not fit its schema: amount: .*greater") as misfit:
            await place.submit(execution, asked["task_id"], {"by": "a secret", "amount": -1})
        assert misfit.value.failure["non_retryable"] is True
        assert "a secret" not in str(misfit.value)
        with pytest.raises(InvalidInput):
            await call(place.engine.messages.update, WORKSPACE, execution, "__submit_input", {"input": ANSWER}, 20.0)
        assert await place.pending(execution) == [asked]
        await place.submit(execution, asked["task_id"], ANSWER)
        assert (await place.result(execution)).ending.result == {"result": "ann 3 fine"}

    run(scenario)


def test_inputs_when_several_are_pending_then_each_is_answered_by_its_id(run: Callable[[Scenario], None]) -> None:
    """Waits are independent of one another; the order of the answers does not matter. Handlers of bases are found."""

    async def scenario(place: Place) -> None:
        execution = await place.start("interactive-committee")
        asked = await place.pending(execution, 3)
        assert [one["label"] for one in asked] == ["first", "second", "third"]
        assert await call(place.engine.queries.ask, WORKSPACE, execution, "size", None, 20.0) == 3
        await place.submit(execution, asked[2]["task_id"], {"word": "c"})
        assert await place.pending(execution, 2) == asked[:2]
        await place.submit(execution, asked[0]["task_id"], {"word": "a"})
        with pytest.raises(HandlerFailed, match="is pending"):
            await place.submit(execution, asked[0]["task_id"], {"word": "again"})
        await place.submit(execution, asked[1]["task_id"], {"word": "b"})
        assert (await place.result(execution)).ending.result == {"result": ["a", "b", "c"]}

    run(scenario)


def test_input_when_submitted_by_many_at_once_then_one_is_taken(run: Callable[[Scenario], None]) -> None:
    """The first answer counts; whoever is told that his was taken can rely on it."""

    async def scenario(place: Place) -> None:
        execution = await place.start("interactive-approval", {"label": uuid4().hex})
        (asked,) = await place.pending(execution)
        answers = [{"by": f"p{number}", "amount": number} for number in range(5)]
        sent = [place.submit(execution, asked["task_id"], answer) for answer in answers]
        ends = await asyncio.gather(*sent, return_exceptions=True)
        taken = [answer for answer, end in zip(answers, ends, strict=True) if end == {}]
        assert len(taken) == 1
        said = taken[0]
        assert (await place.result(execution)).ending.result == {"result": f"{said['by']} {said['amount']} none"}

    run(scenario)


def test_wait_when_its_time_is_over_then_the_task_fails_and_nothing_is_pending(run: Callable[[Scenario], None]) -> None:
    """TimeoutError reaches the code, which may go on."""

    async def scenario(place: Place) -> None:
        execution = await place.start("interactive-approval", {"label": uuid4().hex, "seconds": 0.2})
        assert (await place.result(execution)).ending.result == {"result": "nobody answered"}
        (_, task_id, _), (phase, same_id, message) = await place.stream_events(execution)
        assert (phase, same_id, message) == ("FAILED", task_id, "nobody submitted the input in time")

    run(scenario)


def test_wait_when_the_execution_is_cancelled_then_the_task_fails(run: Callable[[Scenario], None]) -> None:
    """Contract, section 5: a wait that is cancelled has failed."""

    async def scenario(place: Place) -> None:
        execution = await place.start("interactive-approval", {"label": uuid4().hex})
        await place.pending(execution)
        await call(place.engine.messages.cancel, WORKSPACE, execution)
        assert (await place.result(execution)).status is ExecutionStatus.CANCELED
        assert [phase for phase, _, _ in await place.stream_events(execution)] == ["STARTED", "FAILED"]

    run(scenario)


def test_wait_when_each_run_continues_as_new_then_each_asks_anew(run: Callable[[Scenario], None]) -> None:
    """A wait belongs to its run; the next run's has an id of its own."""

    async def scenario(place: Place) -> None:
        execution = await place.start("interactive-diary", {"words": []})
        (first,) = await place.pending(execution)
        await place.submit(execution, first["task_id"], {"word": "one"})
        (second,) = await place.pending(execution)
        while second["task_id"] == first["task_id"]:
            (second,) = await place.pending(execution)
        await place.submit(execution, second["task_id"], {"word": "two"})
        assert (await place.result(execution)).ending.result == {"result": {"words": ["one", "two"]}}

    run(scenario)


def test_wait_when_workers_are_killed_in_it_then_it_ends_as_if_they_were_not(tmp_path: Path) -> None:
    """The id is the same for every worker that replays, no activity runs twice, and each step is told once."""

    async def scenario() -> None:
        place = Place(tmp_path)
        label = uuid4().hex
        async with place.running():
            ids, execution = [], ""
            for _ in range(3):
                async with place.worker(WORKFLOWS, ACTIVITIES) as worker:
                    execution = execution or await place.start("interactive-approval", {"label": label})
                    ids += [asked["task_id"] for asked in await place.pending(execution)]
                    place.kill(worker)
            assert len(set(ids)) == 1
            async with place.worker(WORKFLOWS, ACTIVITIES):
                await place.submit(execution, ids[0], ANSWER)
                assert (await place.result(execution)).ending.result == {"result": "ann 3 fine"}
            assert (RUNS[f"{label}/before"], RUNS[f"{label}/after"]) == (1, 1)
            assert [phase for phase, _, _ in await place.stream_events(execution)] == ["STARTED", "COMPLETED"]

    asyncio.run(scenario())


def test_submission_when_the_worker_is_killed_before_it_takes_it_then_the_next_one_does(tmp_path: Path) -> None:
    """An accepted submission is kept while no worker is there."""

    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.running():
            async with place.worker(WORKFLOWS, ACTIVITIES) as worker:
                execution = await place.start("interactive-approval", {"label": uuid4().hex})
                (asked,) = await place.pending(execution)
                place.kill(worker)
            sent = asyncio.create_task(place.submit(execution, asked["task_id"], ANSWER))
            while (await place.find(execution)).mail_count == 0:
                await asyncio.sleep(0)
            async with place.worker(WORKFLOWS, ACTIVITIES):
                assert await sent == {}
                assert (await place.result(execution)).ending.result == {"result": "ann 3 fine"}

    asyncio.run(scenario())
