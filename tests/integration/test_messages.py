"""Signals, queries, updates, cancellation and continue-as-new: live from the cache, and replayed at every task."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId
from levante_core.errors import HandlerFailed, InvalidInput, NotFound, NotRunning, ResultNotReady
from levante_core.ports.item_store import Query
from levante_local.greenlets import call
from tests.integration.message_workflows import ACTIVITIES, RUNS, WORKFLOWS
from tests.support.direct import WORKSPACE, Installation

MODES = {"live": 1000, "always-replay": 0}


class Place(Installation):
    """An installation, and what callers say to its executions."""

    async def signal(self, execution: str, name: str, value: Any = None) -> None:
        await call(self.engine.messages.signal, WORKSPACE, execution, name, value)

    async def update(self, execution: str, name: str, value: Any = None, seconds: float = 20.0) -> Any:
        return await call(self.engine.messages.update, WORKSPACE, execution, name, value, seconds)

    async def query(self, execution: str, name: str, value: Any = None, seconds: float = 20.0) -> Any:
        return await call(self.engine.queries.ask, WORKSPACE, execution, name, value, seconds)

    async def cancel(self, execution: str) -> None:
        await call(self.engine.messages.cancel, WORKSPACE, execution)

    async def kinds(self, execution: str) -> list[str]:
        return [event["kind"] for event in (await self.history(execution))["events"]]


Scenario = Callable[[Place], Awaitable[None]]


@asynccontextmanager
async def served(tmp_path: Path, cached: int) -> AsyncIterator[Place]:
    """An installation with a worker."""
    place = Place(tmp_path)
    async with place.running(), place.worker(WORKFLOWS, ACTIVITIES, max_cached_workflows=cached):
        yield place


@pytest.fixture(params=MODES, ids=list(MODES))
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario on an installation with a worker that keeps all runs, or none."""

    async def within(scenario: Scenario) -> None:
        async with served(tmp_path, MODES[request.param]) as place:
            await scenario(place)

    return lambda scenario: asyncio.run(within(scenario))


# --- signals ----------------------------------------------------------------------------------------------------------


def test_signals_when_many_are_sent_then_all_are_taken_in_order(run: Callable[[Scenario], None]) -> None:
    """Invariant 5: an accepted signal is consumed, in acceptance order."""

    async def scenario(place: Place) -> None:
        execution = await place.start("message-basket")
        for number in range(40):
            await place.signal(execution, "add", {"item": str(number)})
        await place.signal(execution, "close")
        ended = await place.result(execution)
        assert ended.ending.result == {"result": [str(number) for number in range(40)]}

    run(scenario)


def test_signals_when_sent_before_any_worker_is_there_then_they_wait(tmp_path: Path) -> None:
    """Messages wait in the table; nobody has to be there when they are sent."""

    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.running():
            async with place.worker(WORKFLOWS, ACTIVITIES):
                first = await place.start("message-basket")
                await place.signal(first, "close")
                await place.result(first)
            execution = await place.start("message-basket")
            for word in ("a", "b"):
                await place.signal(execution, "add", {"item": word})
            await place.signal(execution, "close")
            async with place.worker(WORKFLOWS, ACTIVITIES, worker_name="late"):
                assert (await place.result(execution)).ending.result == {"result": ["a", "b"]}

    asyncio.run(scenario())


def test_signal_when_its_handler_runs_activities_then_they_are_durable(run: Callable[[Scenario], None]) -> None:
    """An async handler may do what the entrypoint may."""

    async def scenario(place: Place) -> None:
        execution, item = await place.start("message-basket"), uuid4().hex
        await place.signal(execution, "add_noted", {"item": item})
        while await place.query(execution, "count") == 0:
            await asyncio.sleep(0.01)
        await place.signal(execution, "close")
        assert (await place.result(execution)).ending.result == {"result": [f"noted {item}"]}
        assert RUNS[item] == 1

    run(scenario)


@pytest.mark.slow
def test_signal_when_the_code_is_about_to_return_then_it_is_taken_first(run: Callable[[Scenario], None]) -> None:
    """Design, rules: a workflow that returns while an accepted signal is unread gets it first and decides again."""

    async def scenario(place: Place) -> None:
        for _ in range(5):
            label = uuid4().hex
            execution = await place.start("message-hasty", {"label": label})
            accepted = 0
            while True:
                try:
                    await place.signal(execution, "see", {"number": accepted})
                except NotRunning:
                    break
                accepted += 1
            ended = await place.result(execution)
            assert ended.ending.result == {"result": list(range(accepted))}
            assert RUNS[label] == 1

    run(scenario)


@pytest.mark.parametrize(
    ("name", "value", "error", "said"),
    [
        ("nobody", None, NotFound, "has no signal 'nobody'; it has: add, add_noted, close"),
        ("add", {"item": 3}, InvalidInput, 'the value is not of type "string"'),
        ("add", {}, InvalidInput, '"item" is a required property'),
        ("add", {"item": "x", "more": 1}, InvalidInput, "more"),
    ],
)
def test_signal_when_it_cannot_be_taken_then_the_caller_hears_at_once(
    tmp_path: Path, name: str, value: Any, error: type[Exception], said: str
) -> None:
    """Bad input is refused at the earliest point, and nothing is recorded."""

    async def scenario() -> None:
        async with served(tmp_path, 1000) as place:
            execution = await place.start("message-basket")
            with pytest.raises(error, match=said):
                await place.signal(execution, name, value)
            assert (await place.find(execution)).mail_count == 0

    asyncio.run(scenario())


def test_messages_when_the_execution_is_closed_or_unknown_then_they_are_refused(tmp_path: Path) -> None:
    """A closed execution takes nothing more: 409 with its status."""

    async def scenario() -> None:
        async with served(tmp_path, 1000) as place:
            execution = await place.start("message-basket")
            await place.signal(execution, "close")
            await place.result(execution)
            for say in (place.signal, place.update):
                with pytest.raises(NotRunning, match="COMPLETED"):
                    await say(execution, "add")
            for say in (place.signal, place.update, place.query):
                with pytest.raises(NotFound, match="no execution"):
                    await say("nobody", "add")
            with pytest.raises(NotRunning):
                await place.cancel(execution)

    asyncio.run(scenario())


def test_query_when_the_execution_is_closed_then_a_worker_answers_from_its_history(tmp_path: Path) -> None:
    """As it stood at its end, whether a worker still has it in memory or not; nothing is recorded, and nothing fails."""

    async def scenario() -> None:
        async with served(tmp_path, 1000) as place:
            execution = await place.start("message-basket")
            await place.signal(execution, "add", {"item": "kite"})
            await place.signal(execution, "close")
            await place.result(execution)
            before = await place.find(execution)
            for _ in range(2):
                assert await place.query(execution, "count") == 1
            with pytest.raises(HandlerFailed):
                await place.query(execution, "broken")
            assert await place.find(execution) == before

    asyncio.run(scenario())


# --- queries ----------------------------------------------------------------------------------------------------------


def test_query_when_the_workflow_waits_then_it_answers_and_nothing_is_recorded(run: Callable[[Scenario], None]) -> None:
    """A query is read-only."""

    async def scenario(place: Place) -> None:
        execution = await place.start("message-basket")
        await place.signal(execution, "add", {"item": "x"})
        assert await place.query(execution, "count") == 1
        before = await place.kinds(execution)
        assert await place.query(execution, "count") == 1
        assert await place.kinds(execution) == before

    run(scenario)


def test_query_when_an_activity_is_running_in_place_then_it_is_answered_meanwhile(tmp_path: Path) -> None:
    """Whoever holds an execution looks for what is new each second."""

    async def scenario() -> None:
        async with served(tmp_path, 1000) as place:
            execution = await place.start("message-basket", {"slow_seconds": 30, "label": uuid4().hex})
            assert await place.query(execution, "count", seconds=5) == 0

    asyncio.run(scenario())


def test_query_when_the_last_worker_has_gone_then_the_caller_soon_hears_that_and_what_to_do(tmp_path: Path) -> None:
    """Though it was heard of a moment ago, and the caller would wait for much longer."""

    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.running():
            async with place.worker(WORKFLOWS, ACTIVITIES):
                execution = await place.start("message-basket")
                assert await place.query(execution, "count") == 0
            with pytest.raises(ResultNotReady, match="no worker of deployment 'd' is there: start one"):
                await place.query(execution, "count", seconds=300)
            async with place.worker(WORKFLOWS, ACTIVITIES):
                assert await place.query(execution, "count") == 0

    asyncio.run(scenario())


def test_query_when_its_handler_fails_then_the_caller_hears_why(run: Callable[[Scenario], None]) -> None:
    """The workflow goes on as if nothing had been asked."""

    async def scenario(place: Place) -> None:
        execution = await place.start("message-basket")
        with pytest.raises(HandlerFailed, match="no answer"):
            await place.query(execution, "broken")
        with pytest.raises(HandlerFailed, match="must not start anything"):
            await place.query(execution, "greedy")
        await place.signal(execution, "close")
        assert (await place.result(execution)).status is ExecutionStatus.COMPLETED

    run(scenario)


def test_query_when_nobody_serves_the_workflow_then_the_caller_is_told_to_ask_again(tmp_path: Path) -> None:
    """The wait has an end, and leaves nothing behind."""

    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.running():
            async with place.worker(WORKFLOWS, ACTIVITIES):
                execution = await place.start("message-basket")
                await place.query(execution, "count")
            with pytest.raises(ResultNotReady, match="no worker answered"):
                await place.query(execution, "count", seconds=0.2)
            partition = next(change.key.partition for change in place.heard if change.key.sort.startswith("FQ#"))
            assert not place.store.query(Query(partition, first="FQ#", last="FQ$")).items

    asyncio.run(scenario())


# --- updates ----------------------------------------------------------------------------------------------------------


def test_update_when_handled_then_the_caller_gets_its_result(run: Callable[[Scenario], None]) -> None:
    """Updates change state and answer; async ones may run activities first."""

    async def scenario(place: Place) -> None:
        execution, item = await place.start("message-basket"), uuid4().hex
        assert await place.update(execution, "swap", {"item": "a"}) == []
        assert await place.update(execution, "swap", {"item": "b"}) == ["a"]
        assert await place.update(execution, "note", {"item": item}) == f"noted {item}"
        await place.signal(execution, "close")
        assert (await place.result(execution)).ending.result == {"result": ["b", item]}
        assert RUNS[item] == 1

    run(scenario)


def test_update_when_its_handler_refuses_then_the_caller_hears_why_and_the_workflow_goes_on(
    run: Callable[[Scenario], None],
) -> None:
    """A WorkflowError in an update is the caller's, not the execution's end."""

    async def scenario(place: Place) -> None:
        execution = await place.start("message-basket")
        with pytest.raises(HandlerFailed, match="bad items are refused"):
            await place.update(execution, "swap", {"item": "bad"})
        assert await place.update(execution, "swap", {"item": "good"}) == []

    run(scenario)


def test_update_when_the_execution_ends_first_then_the_caller_hears_so(tmp_path: Path) -> None:
    """Terminate is one of the ends that leave an update unanswered."""

    async def scenario() -> None:
        place = Place(tmp_path)
        async with place.running():
            async with place.worker(WORKFLOWS, ACTIVITIES):
                execution = await place.start("message-basket")
            asking = asyncio.create_task(place.update(execution, "note", {"item": "x"}))
            while (await place.find(execution)).mail_count == 0:
                await asyncio.sleep(0.01)
            await call(place.engine.closing.terminate, WORKSPACE, ExecutionId(execution))
            with pytest.raises(NotRunning, match="before it answered the update: it is TERMINATED"):
                await asking

    asyncio.run(scenario())


# --- cancellation -----------------------------------------------------------------------------------------------------


def test_cancel_when_asked_for_then_the_code_cleans_up_and_the_execution_is_canceled(
    run: Callable[[Scenario], None],
) -> None:
    """CancelledError reaches the code, which may run activities before it ends."""

    async def scenario(place: Place) -> None:
        label = uuid4().hex
        execution = await place.start("message-cancelable", {"label": label})
        await place.cancel(execution)
        await place.cancel(execution)
        ended = await place.result(execution)
        assert ended.status is ExecutionStatus.CANCELED
        assert ended.mail_count == 1

    run(scenario)


def test_cancel_when_the_code_waits_then_its_cleanup_is_recorded(run: Callable[[Scenario], None]) -> None:
    """An activity of the cleanup is as durable as any other."""

    async def scenario(place: Place) -> None:
        label = uuid4().hex
        execution = await place.start("message-cancelable", {"label": label})
        while "timer_started" not in await place.kinds(execution):
            await asyncio.sleep(0.01)
        await place.cancel(execution)
        assert (await place.result(execution)).status is ExecutionStatus.CANCELED
        assert RUNS[f"{label}/cleaned"] == 1

    run(scenario)


def test_cancel_when_the_code_goes_on_then_it_completes(run: Callable[[Scenario], None]) -> None:
    """Cancellation is a request."""

    async def scenario(place: Place) -> None:
        execution = await place.start("message-cancelable", {"label": uuid4().hex, "stubborn": True})
        while "timer_started" not in await place.kinds(execution):
            await asyncio.sleep(0.01)
        await place.cancel(execution)
        ended = await place.result(execution)
        assert (ended.status, ended.ending.result) == (ExecutionStatus.COMPLETED, {"result": "went on"})

    run(scenario)


def test_cancel_when_an_activity_runs_in_place_then_it_is_cancelled_too(run: Callable[[Scenario], None]) -> None:
    """Nobody waits for the activity any more, so it is stopped."""

    async def scenario(place: Place) -> None:
        label = uuid4().hex
        execution = await place.start("message-canceled-in-activity", {"label": label})
        while not RUNS[label]:
            await asyncio.sleep(0.01)
        await place.cancel(execution)
        assert (await place.result(execution, 10)).status is ExecutionStatus.CANCELED

    run(scenario)


# --- continue as new --------------------------------------------------------------------------------------------------


def test_continue_as_new_when_repeated_then_the_execution_is_one_and_its_runs_are_many(
    run: Callable[[Scenario], None],
) -> None:
    """The id stays, the history is empty, the deadline is that of the first run."""

    async def scenario(place: Place) -> None:
        execution = await place.start("message-pager", {"number": 1, "last": 6})
        first = await place.find(execution)
        while (latest := await place.find(execution)).start.input["number"] < 6:
            await asyncio.sleep(0.01)
        assert latest.is_open
        assert latest.start.deadline_at == first.start.deadline_at
        assert latest.start.first_run_id == first.key.run_id
        await place.signal(execution, "tell", {"word": "stop"})
        ended = await place.result(execution)
        assert ended.ending.result == {"result": {"number": 6, "seen": ["stop"]}}
        assert {RUNS[f"page {number}"] > 0 for number in range(1, 7)} == {True}

    run(scenario)


def test_continue_as_new_when_signals_keep_coming_then_none_is_lost(run: Callable[[Scenario], None]) -> None:
    """Design, rules: continue-as-new carries unread messages over, in order."""

    async def scenario(place: Place) -> None:
        execution = await place.start("message-pager", {"number": 1, "last": 12})
        words = [str(number) for number in range(30)]
        for word in words:
            await place.signal(execution, "tell", {"word": word})
        assert await place.update(execution, "ask", {"word": "sure"}) == "sure?"
        await place.signal(execution, "tell", {"word": "stop"})
        ended = await place.result(execution)
        assert ended.ending.result == {"result": {"number": 12, "seen": [*words, "sure", "stop"]}}

    run(scenario)


def test_messages_when_many_race_with_continue_as_new_then_every_caller_succeeds(run: Callable[[Scenario], None]) -> None:
    """A race that is lost is no error: callers pause at random, and each gets its turn."""

    async def scenario(place: Place) -> None:
        execution = await place.start("message-pager", {"number": 1, "last": 1_000_000})
        words = [f"{number:02}" for number in range(30)]
        signals = [place.signal(execution, "tell", {"word": word}) for word in words[:15]]
        updates = [place.update(execution, "ask", {"word": word}) for word in words[15:]]
        answers = await asyncio.gather(*signals, *updates)
        assert answers == [*[None] * 15, *[f"{word}?" for word in words[15:]]]
        latest = await place.find(execution)
        while len(latest.start.input["seen"]) < len(words):
            await asyncio.sleep(0.01)
            latest = await place.find(execution)
        assert sorted(latest.start.input["seen"]) == words
        await call(place.engine.closing.terminate, WORKSPACE, ExecutionId(execution))

    run(scenario)
