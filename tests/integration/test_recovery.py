"""What is in flight when a process dies, or code fails: nothing is lost, nothing is counted twice."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

import levante as workflows
from levante_core.services.history import loading
from tests.support.direct import Installation

RUNS: Counter[str] = Counter()
IS_BROKEN = {"yes": True}


@workflows.activity(name="recovery-flaky", retry_policy_max_attempts=3, retry_policy_backoff_coefficient=1.0)
async def flaky(key: str) -> int:
    """Fail twice."""
    RUNS[key] += 1
    if RUNS[key] < 3:
        raise ConnectionError("not yet")
    return RUNS[key]


@workflows.activity(name="recovery-once", retry_policy_max_attempts=1)
async def once(key: str) -> str:
    """Run once at the most."""
    RUNS[key] += 1
    return key


@workflows.activity(name="recovery-stuck", retry_policy_max_attempts=1, start_to_close_timeout=timedelta(seconds=60))
async def stuck(key: str) -> None:
    """Start, and never end."""
    RUNS[key] += 1
    await asyncio.Event().wait()


@workflows.workflow.define(name="recovery-flaky")
class Flaky:
    """One activity that fails at first."""

    @workflows.workflow.entrypoint
    async def run(self, key: str) -> int:
        """Return the attempt that succeeded."""
        return await flaky(key)


@workflows.workflow.define(name="recovery-stuck")
class Stuck:
    """One activity that never ends."""

    @workflows.workflow.entrypoint
    async def run(self, key: str) -> None:
        """Wait for ever."""
        await stuck(key)


@workflows.workflow.define(name="recovery-branches")
class Branches:
    """Two branches: one goes on to another activity while the other runs into a bug."""

    @workflows.workflow.entrypoint
    async def run(self, key: str) -> list[str]:
        """Return what the activities returned."""

        async def good() -> str:
            await once(f"{key}/a")
            return await once(f"{key}/c")

        async def bad() -> str:
            found = await once(f"{key}/b")
            if IS_BROKEN["yes"]:
                raise KeyError("a bug")
            return found

        return list(await asyncio.gather(good(), bad()))


WORKFLOWS = [Flaky, Stuck, Branches]
ACTIVITIES = [flaky, once, stuck]


@pytest.mark.slow
def test_retry_when_the_host_restarts_while_it_waits_then_it_is_made(tmp_path: Path) -> None:
    """Invariant 7: an attempt that waits in a queue is asked for again, with its number."""

    async def scenario() -> None:
        key = uuid4().hex
        place = Installation(tmp_path)
        async with place.running(), place.worker(WORKFLOWS, ACTIVITIES):
            execution = await place.start("recovery-flaky", {"key": key})
            while RUNS[key] < 2:
                await asyncio.sleep(0)
            while not place.has_waiting_retry():
                await asyncio.sleep(0)
        place = Installation(tmp_path)
        async with place.running(), place.worker(WORKFLOWS, ACTIVITIES):
            ended = await place.result(execution)
            assert (ended.ending.result, RUNS[key]) == ({"result": 3}, 3)

    asyncio.run(scenario())


def test_history_when_it_takes_many_answers_then_a_worker_replays_the_whole_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer holds 6 MB on AWS; a history may be longer."""
    monkeypatch.setattr(loading, "PAGE_BYTES", 1)

    async def scenario() -> None:
        key = uuid4().hex
        place = Installation(tmp_path)
        async with place.running(), place.worker(WORKFLOWS, ACTIVITIES, max_cached_workflows=0):
            execution = await place.start("recovery-flaky", {"key": key})
            ended = await place.result(execution)
            assert (ended.ending.result, RUNS[key]) == ({"result": 3}, 3)
            assert place.api.calls["/workers/load"] == 2, "a batch and a fact, each in an answer of its own"

    asyncio.run(scenario())


def test_first_activity_when_its_worker_is_lost_before_anything_is_recorded_then_it_counts_as_an_attempt(
    tmp_path: Path,
) -> None:
    """What kills its worker is not tried for ever, and with one attempt it is not tried again at all."""

    async def scenario() -> None:
        key = uuid4().hex
        place = Installation(tmp_path)
        async with place.running():
            async with place.worker(WORKFLOWS, ACTIVITIES) as worker:
                execution = await place.start("recovery-stuck", {"key": key})
                while not RUNS[key]:
                    await asyncio.sleep(0)
                place.kill(worker)
            async with place.worker(WORKFLOWS, ACTIVITIES):
                ended = await place.result(execution)
                assert (ended.status, RUNS[key]) == ("FAILED", 1)
                assert "worker" in ended.ending.failure.message

    asyncio.run(scenario())


def test_claim_when_code_fails_before_it_is_started_then_it_is_not_counted(tmp_path: Path) -> None:
    """An activity that never ran has not failed: mended code gets its result, with one attempt allowed."""

    async def scenario() -> None:
        key = uuid4().hex
        IS_BROKEN["yes"] = True
        place = Installation(tmp_path)
        async with place.running(), place.worker(WORKFLOWS, ACTIVITIES):
            execution = await place.start("recovery-branches", {"key": key})
            while (await place.history(execution))["workflow_task_failure"] is None:
                await asyncio.sleep(0.01)
            IS_BROKEN["yes"] = False
            ended = await place.result(execution)
            assert ended.ending.result == {"result": [f"{key}/c", f"{key}/b"]}
            assert {RUNS[f"{key}/{name}"] for name in "abc"} == {1}

    asyncio.run(scenario())
