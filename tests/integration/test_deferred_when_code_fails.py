"""How attempts in place ended is recorded as it was, also when the code fails before it is told."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import levante as workflows
from levante import workflow
from levante.testing import WorkflowEnvironment
from levante.testing.installation import InProcessApi

pytestmark = pytest.mark.levante

TOKENS: list[str] = []
FAILED: list[int] = []
IS_BROKEN = [True]


@workflows.activity(name="unseen-first")
async def first() -> int:
    """End at once."""
    return 1


@workflows.activity(name="unseen-quick")
async def quick() -> int:
    """End together with the others."""
    await asyncio.sleep(0.1)
    return 2


@workflows.activity(name="unseen-later")
async def later() -> str:
    """Go on elsewhere."""
    TOKENS.append(workflows.activity.info().task_token)
    await asyncio.sleep(0.1)
    workflows.activity.complete_later()


@workflows.activity(name="unseen-final", retry_policy_max_attempts=3)
async def final() -> None:
    """Fail for good."""
    FAILED.append(workflows.activity.info().attempt)
    await asyncio.sleep(0.1)
    raise workflows.WorkflowError("for good", non_retryable=True)


@workflow.define(name="unseen", execution_timeout=timedelta(hours=10))
class Unseen:
    """Fails over one outcome while others are there of which it was not told."""

    @workflow.entrypoint
    async def run(self) -> Any:
        """See the class."""
        second, third, fourth = (asyncio.create_task(one) for one in (quick(), later(), final()))
        await first()
        await second
        if IS_BROKEN[0]:
            raise RuntimeError("a bug")
        try:
            await fourth
        except workflows.ActivityError as error:
            return [await third, str(error)]


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit takes as long as it may over a network, so that all of them end meanwhile."""
    TOKENS.clear()
    FAILED.clear()
    IS_BROKEN[0] = True
    plain = InProcessApi._call

    async def slow(self: InProcessApi, method: str, path: str, body: bytes | None) -> bytes:
        if path == "/workers/commits":
            await asyncio.sleep(0.4)
        return await plain(self, method, path, body)

    monkeypatch.setattr(InProcessApi, "_call", slow)


@pytest.mark.parametrize("always_replay", [False, True])
async def test_attempts_when_code_fails_before_it_is_told_of_them_then_each_is_recorded_as_it_ended(
    *, always_replay: bool
) -> None:
    """The deferred one waits for its token, once. The one that failed for good has failed, and does not run again."""
    activities: list[Any] = [first, quick, later, final]
    async with WorkflowEnvironment([Unseen], activities=activities, always_replay=always_replay) as place:
        execution = await place.start(Unseen, {})
        await asyncio.sleep(10)
        events = (await execution.history()).events
        (deferred,) = (event["seq"] for event in events if event.get("name") == "unseen-later")
        assert "code_failed" in [event["kind"] for event in events]
        assert deferred not in [event["seq"] for event in events if event["kind"] == "activity_completed"]
        IS_BROKEN[0] = False
        await asyncio.sleep(120)
        assert await place.complete_activity(TOKENS[0], "signed")
        signed, problem = await execution.result()
        assert (signed, len(TOKENS)) == ("signed", 1)
        assert "for good" in problem
        assert FAILED == [1]
        (await execution.history()).replay(Unseen)
