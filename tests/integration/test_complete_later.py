"""Activities that are completed from outside, with the token of their attempt."""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest

import levante as workflows
from levante import workflow
from levante.testing import Execution, ExecutionNotCompleted, WorkflowEnvironment
from levante_core.errors import InvalidInput

pytestmark = pytest.mark.levante

TOKENS: list[str] = []
"""Those given away, in order."""
SEEN: list[Any] = []
"""Details of heartbeats that attempts after the first one found."""


@pytest.fixture(autouse=True)
def _nothing_given_away() -> None:
    TOKENS.clear()
    SEEN.clear()


def give_away() -> None:
    TOKENS.append(workflows.activity.info().task_token)
    SEEN.append(workflows.activity.heartbeat_details())


@workflows.activity(name="later-sign", start_to_close_timeout=timedelta(hours=2), retry_policy_max_attempts=2)
async def sign(document: str) -> str:
    """Ask somebody to sign; the answer comes with the token."""
    give_away()
    workflows.activity.complete_later()


@workflows.activity(
    name="later-sign-limited",
    start_to_close_timeout=timedelta(hours=2),
    retry_policy_max_attempts=2,
    rate_limit=workflows.RateLimit(time_window_in_sec=1, max_execution=100),
)
def sign_limited(document: str) -> str:
    """As `sign`, over the activity queue and in a thread."""
    give_away()
    workflows.activity.complete_later()


@workflows.activity(name="later-watched", heartbeat_timeout=timedelta(seconds=30), retry_policy_max_attempts=2)
async def watched() -> str:
    """Wait for days, but not without heartbeats."""
    give_away()
    workflows.activity.complete_later(timedelta(days=3))


@workflow.define(name="later", execution_timeout=timedelta(days=30))
class Signing:
    """Waits for a signature."""

    @workflow.entrypoint
    async def run(self, how: str) -> str:
        """See the class."""
        match how:
            case "in place":
                return await sign("contract")
            case "over the queue":
                return await sign_limited("contract")
            case "locally":
                with workflows.run_activities_locally():
                    return await sign("contract")
            case _:
                return await watched()


async def given_away(count: int) -> str:
    """Wait until so many attempts have begun, and none is at work. Returns the token of the last one."""
    while len(TOKENS) < count:
        await asyncio.sleep(1)
    await asyncio.sleep(1)
    return TOKENS[count - 1]


def environment(*, always_replay: bool = False, crashes: Collection[int] = ()) -> WorkflowEnvironment:
    activities: list[Any] = [sign, sign_limited, watched]
    return WorkflowEnvironment([Signing], activities=activities, always_replay=always_replay, crashes=crashes)


async def started(place: WorkflowEnvironment, how: str) -> Execution:
    return await place.start(Signing, {"how": how})


@pytest.mark.parametrize("how", ["in place", "over the queue"])
@pytest.mark.parametrize("always_replay", [False, True])
async def test_activity_when_it_is_completed_with_its_token_then_the_workflow_goes_on(
    how: str, *, always_replay: bool
) -> None:
    """An hour passes, and no worker is kept busy. A repeat is harmless, and says that nobody waits any more."""
    async with environment(always_replay=always_replay) as place:
        execution = await started(place, how)
        token = await given_away(1)
        await asyncio.sleep(3600)
        assert await place.complete_activity(token, "signed")
        assert await execution.result() == "signed"
        assert not await place.complete_activity(token, "signed twice")
        history = await execution.history()
    assert len(TOKENS) == 1
    assert history.kinds.count("activity_scheduled") == 1
    history.replay(Signing)


@pytest.mark.parametrize("how", ["in place", "over the queue"])
@pytest.mark.parametrize("crash", [1, 2, 3])
async def test_activity_when_the_worker_dies_meanwhile_then_its_token_still_completes_it(how: str, crash: int) -> None:
    """Killed right after any commit: before or after the token was given away."""
    async with environment(crashes=[crash]) as place:
        execution = await started(place, how)
        await given_away(1)
        await asyncio.sleep(60)
        await place.complete_activity(TOKENS[-1], "signed")
        assert await execution.result() == "signed"


@pytest.mark.parametrize("how", ["in place", "over the queue"])
async def test_activity_when_it_fails_with_its_token_then_the_next_attempt_has_another_one(how: str) -> None:
    """Retries are those of the policy; the first token is of no use any more."""
    async with environment() as place:
        execution = await started(place, how)
        first = await given_away(1)
        assert await place.fail_activity(first, "the pen was dry")
        second = await given_away(2)
        assert first != second
        assert not await place.complete_activity(first, "too late")
        assert await place.complete_activity(second, "signed")
        assert await execution.result() == "signed"


async def test_activity_when_it_fails_for_good_with_its_token_then_the_workflow_sees_why() -> None:
    """A failure that is not to be retried ends the activity at once."""
    async with environment() as place:
        execution = await started(place, "in place")
        await place.fail_activity(await given_away(1), "nobody signs this", non_retryable=True)
        with pytest.raises(ExecutionNotCompleted, match="nobody signs this"):
            await execution.result()
    assert len(TOKENS) == 1


@pytest.mark.parametrize("how", ["in place", "over the queue"])
async def test_activity_when_nobody_completes_it_then_its_time_is_up_once_per_attempt(how: str) -> None:
    """start_to_close_timeout limits what goes on elsewhere too; then the retry policy decides."""
    async with environment() as place:
        execution = await started(place, how)
        with pytest.raises(ExecutionNotCompleted, match="nobody completed it in time"):
            await execution.result()
        history = await execution.history()
    assert len(TOKENS) == 2
    began, ended = history.events[0]["started_at"], history.events[-1]["recorded_at"]
    assert began[11:13] != ended[11:13], "two attempts of two hours each"


@pytest.mark.slow
async def test_activity_when_heartbeats_come_then_it_may_take_days_and_without_them_it_fails() -> None:
    """The heartbeat timeout counts elsewhere too; the next attempt finds what the last heartbeat said."""
    async with environment() as place:
        execution = await started(place, "watched")
        token = await given_away(1)
        for number in range(100):
            await asyncio.sleep(20)
            assert await place.heartbeat_activity(token, number)
        second = await given_away(2)
        assert SEEN == [(), (99,)]
        assert not await place.heartbeat_activity(token)
        await place.complete_activity(second, "seen")
        assert await execution.result() == "seen"


async def test_activity_when_it_is_cancelled_then_the_heartbeat_says_that_nobody_waits() -> None:
    """Whoever works on it learns that it can stop."""
    async with environment() as place:
        execution = await started(place, "watched")
        token = await given_away(1)
        await execution.cancel()
        with pytest.raises(ExecutionNotCompleted):
            await execution.result()
        assert not await place.heartbeat_activity(token)
        assert not await place.complete_activity(token, "too late")


async def test_activity_when_it_runs_locally_then_it_cannot_be_completed_later() -> None:
    """A local activity has no queue to go to."""
    async with environment() as place:
        execution = await started(place, "locally")
        with pytest.raises(ExecutionNotCompleted, match="runs locally"):
            await execution.result()


@pytest.mark.parametrize("token", ["x", "", "e30", "AAAA"])
async def test_token_when_it_is_none_then_it_is_refused(token: str) -> None:
    """Nothing is guessed."""
    async with environment() as place:
        with pytest.raises(InvalidInput, match="not good here"):
            await place.complete_activity(token)
