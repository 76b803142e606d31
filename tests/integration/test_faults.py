"""The path through AWS, broken on purpose: stream, queues, store and workers. Everything completes, once."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from levante.testing.virtual_time import run_in_virtual_time
from levante_core.ports.item_store import Item
from levante_local.greenlets import call
from tests.integration.faults_scenarios import (
    ACTIVITIES,
    PAUSE_SECONDS,
    SLOW_SECONDS,
    WORKFLOWS,
    assert_completed_once,
    labels_of,
    new_key,
    note_outcomes,
    runs_of,
)
from tests.support.direct import WORKSPACE
from tests.support.faults import NO_FAULTS, Fate, Faults, Outage, RandomFaults
from tests.support.faulty_installation import STREAM, FaultyInstallation

pytestmark = pytest.mark.slow

LINE_SECONDS = 1 + PAUSE_SECONDS + SLOW_SECONDS
"""What a line takes when nothing fails: the retry, the timer, the slow activity."""
SOME = 4


def installation(data: Path, faults: Faults = NO_FAULTS, **given: Any) -> FaultyInstallation:
    """Make an installation whose outcomes are noted."""
    place = FaultyInstallation(data, faults, **given)
    place.store.listen(note_outcomes)
    return place


async def start_some(place: FaultyInstallation) -> dict[str, list[str]]:
    """Start a few executions. Returns what each is to result in."""
    expected: dict[str, list[str]] = {}
    for _ in range(SOME):
        key = new_key()
        expected[await place.start("faults-line", {"key": key})] = labels_of(key, "abc")
    key = new_key()
    expected[await place.start("faults-fan", {"key": key, "width": 5})] = labels_of(key, range(5))
    return expected


async def assert_all_completed_once(place: FaultyInstallation, expected: dict[str, list[str]]) -> None:
    for execution, labels in expected.items():
        await assert_completed_once(place, execution, labels)


def now() -> float:
    """Return the virtual seconds since the beginning."""
    return asyncio.get_running_loop().time()


# --- the fast path ----------------------------------------------------------------------------------------------------


async def run_undisturbed(data: Path, faults: Faults, *, fast_path: bool) -> None:
    """Run a line, and see that nothing but what fails by itself was entered twice, or took longer than it has to."""
    place = installation(data, faults, fast_path=fast_path)
    key = new_key()
    async with place.running(), place.workers(1, WORKFLOWS, ACTIVITIES):
        await place.registered("faults-line")
        began = now()
        execution = await place.start("faults-line", {"key": key})
        await assert_completed_once(place, execution, labels_of(key, "abc"))
        assert now() - began == pytest.approx(LINE_SECONDS)
    assert runs_of(key) == {"a": 1, "b": 2, "c": 1}


def test_stream_when_there_is_no_fast_path_then_it_delivers_everything(tmp_path: Path) -> None:
    """The stream is the guarantee: it sends every task, timer and retry by itself."""
    run_in_virtual_time(run_undisturbed(tmp_path, NO_FAULTS, fast_path=False))


def test_stream_when_every_send_of_the_fast_path_fails_then_it_delivers_everything(tmp_path: Path) -> None:
    """Losing the fast path costs latency, never work, and no caller hears of it."""
    outage = Outage({"api.send"})
    run_in_virtual_time(run_undisturbed(tmp_path, outage, fast_path=True))
    assert outage.met >= 2


@pytest.mark.parametrize("dispatchers", [1, 2])
@pytest.mark.parametrize("fast_path", [False, True], ids=["stream", "both"])
def test_messages_when_several_send_the_same_then_each_arrives_once(
    tmp_path: Path, dispatchers: int, *, fast_path: bool
) -> None:
    """The queue drops repeats, whoever sends them: work costs as many messages as test_costs.py allows."""

    async def scenario() -> None:
        place = installation(tmp_path, fast_path=fast_path, dispatchers=dispatchers, sweeps=dispatchers)
        width = 20
        async with place.running(), place.workers(1, WORKFLOWS, ACTIVITIES):
            for length in (1, 20):
                place.delivered.clear()
                key = new_key()
                execution = await place.start("faults-chain", {"key": key, "length": length})
                await assert_completed_once(place, execution, labels_of(key, range(length)))
                assert place.delivered.total() == 1
                assert set(runs_of(key).values()) == {1}
            place.believe_long("faults-step")
            place.delivered.clear()
            key = new_key()
            execution = await place.start("faults-fan", {"key": key, "width": width})
            await assert_completed_once(place, execution, labels_of(key, range(width)))
            await asyncio.sleep(120)
            assert width < place.delivered.total() <= 2 * width + 1
            assert set(runs_of(key).values()) == {1}

    run_in_virtual_time(scenario())


# --- the dispatcher ---------------------------------------------------------------------------------------------------

HALF = {Fate.REFUSED: 0.25, Fate.UNANSWERED: 0.25}
MOST = {Fate.REFUSED: 0.4, Fate.UNANSWERED: 0.4}
"""For what is done a few times only."""
FAILING_DISPATCHER = {
    "whole batches": {"stream.invoke": HALF, "timers.invoke": HALF},
    "sends": {"stream.send": {**HALF, Fate.CRASHED: 0.25}, "timers.send": {**HALF, Fate.CRASHED: 0.25}},
    "writes": {"timers.write": MOST, "stream.write": MOST},
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("failing", FAILING_DISPATCHER)
def test_dispatcher_when_half_of_what_it_does_fails_then_everything_completes_once(
    tmp_path: Path, failing: str, seed: int
) -> None:
    """A batch may fail at any point, also after it has sent something: it comes again, and the queues drop the repeats."""

    async def scenario() -> None:
        faults = RandomFaults(seed, FAILING_DISPATCHER[failing])
        place = installation(tmp_path, faults, stream=replace(STREAM, batch_size=3))
        async with place.running(), place.workers(2, WORKFLOWS, ACTIVITIES):
            await assert_all_completed_once(place, await start_some(place))
        assert faults.met.total() >= 2

    run_in_virtual_time(scenario())


def test_record_when_nobody_can_deal_with_it_then_it_holds_up_no_other_and_the_sweep_sends_for_its_run(
    tmp_path: Path,
) -> None:
    """A poison record is parked where it is met; what came with it in its batch was dealt with all the same."""

    async def scenario() -> None:
        place = installation(tmp_path, stream=replace(STREAM, lanes=1))
        poisoned = "poisoned"

        def is_poison(item: Item) -> bool:
            return item.attributes.get("execution_id") == poisoned and item.key.sort == "X"

        place.is_poison = is_poison
        keys = {poisoned: new_key(), "before": new_key(), "after": new_key(), "later": new_key()}
        async with place.running(), place.workers(1, WORKFLOWS, ACTIVITIES):
            await place.registered("faults-line")
            start = {name: {"key": key} for name, key in keys.items()}
            await asyncio.gather(
                *[place.start("faults-line", start[name], execution_id=name) for name in ("before", poisoned, "after")]
            )
            await asyncio.sleep(1)
            await place.start("faults-line", start["later"], execution_id="later")
            for name in ("before", "after", "later"):
                await assert_completed_once(place, name, labels_of(keys[name], "abc"))
            assert now() < 60, "nobody waited for the sweep"
            assert place.streams[0].discarded == []
            parked = place.engine.parking.list(WORKSPACE, 100, None).items
            assert {(one.kind, one.owner.execution_id) for one in parked} == {("change", poisoned)}
            assert runs_of(keys[poisoned]) == {}
            await assert_completed_once(place, poisoned, labels_of(keys[poisoned], "abc"))
            assert runs_of(keys[poisoned]) == {"a": 1, "b": 2, "c": 1}

    run_in_virtual_time(scenario())


def test_records_when_the_queues_are_out_for_minutes_then_what_was_given_up_is_sent_for(tmp_path: Path) -> None:
    """An outage that outlasts the retries of the stream loses no run: the sweep finds those that have gone quiet."""

    async def scenario() -> None:
        outage = Outage({"api.send", "stream.send", "timers.send", "sweep.send"})
        place = installation(tmp_path, outage, fast_path=True)
        async with place.running(), place.workers(1, WORKFLOWS, ACTIVITIES):
            expected = await start_some(place)
            await asyncio.sleep(300)
            assert place.streams[0].discarded or place.engine.parking.list(WORKSPACE, 100, None).items
            outage.is_on = False
            await assert_all_completed_once(place, expected)

    run_in_virtual_time(scenario())


# --- late and repeated records ----------------------------------------------------------------------------------------


async def repeat(place: FaultyInstallation, records: Sequence[dict[str, object]]) -> None:
    """Let the stream deliver records again, in any grouping, twice."""
    for size in (1, len(records)):
        for first in range(0, len(records), size):
            answer = await call(place.stream, {"Records": records[first : first + size]}, None)
            assert answer == {"batchItemFailures": []}


def test_records_when_repeated_hours_later_then_they_move_nothing(tmp_path: Path) -> None:
    """A stream may repeat a record for a day: after the run closed, and after its id went to a new run, open or closed."""

    async def scenario() -> None:
        place = installation(tmp_path, fast_path=True)
        first, second = new_key(), new_key()
        async with place.running():
            async with place.workers(2, WORKFLOWS, ACTIVITIES):
                await place.start("faults-line", {"key": first}, execution_id="reused")
                await assert_completed_once(place, "reused", labels_of(first, "abc"))
                of_first = list(place.streams[0].dealt_with)
                await repeat(place, of_first)
                await asyncio.sleep(60)
            await asyncio.sleep(2 * 3600)
            async with place.workers(2, WORKFLOWS, ACTIVITIES):
                await repeat(place, of_first)
                await asyncio.sleep(60)
                began = now()
                await place.start("faults-line", {"key": second}, execution_id="reused")
                await asyncio.sleep(PAUSE_SECONDS / 2)
                await repeat(place, of_first)
                await assert_completed_once(place, "reused", labels_of(second, "abc"))
                assert now() - began < 2 * LINE_SECONDS
                history = await place.history("reused")
                of_second = place.streams[0].dealt_with[len(of_first) :]
                await asyncio.sleep(400)
                await repeat(place, of_second)
                await asyncio.sleep(60)
                assert await place.history("reused") == history
                assert place.delivered.total() > 0
        assert runs_of(first) == runs_of(second) == {"a": 1, "b": 2, "c": 1}

    run_in_virtual_time(scenario())


# --- messages ---------------------------------------------------------------------------------------------------------

DISTURBED_MESSAGES = {
    "doubled": {Fate.DOUBLED: 0.5},
    "late": {Fate.LATE: 0.5},
    "lost": {Fate.LOST: 0.5},
    "all of it": {Fate.DOUBLED: 0.2, Fate.LATE: 0.2, Fate.LOST: 0.2},
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("how", DISTURBED_MESSAGES)
def test_messages_when_doubled_late_or_lost_then_everything_completes_once(tmp_path: Path, how: str, seed: int) -> None:
    """Standard queues double messages, any queue may be late, and what is lost is sent for by the sweep."""

    async def scenario() -> None:
        faults = RandomFaults(seed, {"send": DISTURBED_MESSAGES[how]})
        place = installation(tmp_path, faults, fast_path=True)
        async with place.running(), place.workers(2, WORKFLOWS, ACTIVITIES):
            await assert_all_completed_once(place, await start_some(place))
        assert faults.met.total() >= 2

    run_in_virtual_time(scenario())


def test_messages_when_all_are_lost_but_those_of_the_sweep_then_everything_completes_once(tmp_path: Path) -> None:
    """The fast path and the stream may both lose everything: the sweep moves each run from one wait to the next."""

    async def scenario() -> None:
        outage = Outage({"api.send", "stream.send", "timers.send"}, Fate.LOST)
        place = installation(tmp_path, outage, fast_path=True)
        async with place.running(), place.workers(1, WORKFLOWS, ACTIVITIES):
            await assert_all_completed_once(place, await start_some(place))

    run_in_virtual_time(scenario())


def test_messages_when_all_are_lost_but_those_of_a_redrive_then_everything_completes_once(tmp_path: Path) -> None:
    """`levante redrive` alone sends whatever open runs need: the queues are disposable."""

    async def scenario() -> None:
        outage = Outage({"api.send", "stream.send", "timers.send"}, Fate.LOST)
        place = installation(tmp_path, outage, fast_path=True, sweeps=0)
        async with place.running(), place.workers(1, WORKFLOWS, ACTIVITIES):
            expected = await start_some(place)
            while not all([await place.is_closed(execution) for execution in expected]):
                assert now() < 600
                await call(place.engine.redrive.redrive)
                await asyncio.sleep(20)
            await assert_all_completed_once(place, expected)

    run_in_virtual_time(scenario())
