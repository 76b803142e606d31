"""Workflows in this process, without a server."""

import asyncio
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

import levante as workflows
from levante import RecordedError, WorkflowError, WorkflowsException, activity, workflow

SEEN: list[Any] = []


class Question(BaseModel):
    """What is asked."""

    text: str
    times: int = 1


class Answer(BaseModel):
    """What is answered."""

    texts: list[str]


@workflows.activity(retry_policy_max_attempts=2, retry_policy_backoff_coefficient=1.0)
async def local_answer(text: str, fails: int = 0) -> str:
    """Fail some attempts, then answer."""
    SEEN.append((text, activity.info().attempt))
    workflows.activity_heartbeat(text)
    async with workflows.task("answer", {"text": text}):
        if activity.info().attempt <= fails:
            raise ConnectionError(text)
    return text.upper()


@workflows.activity(rate_limit=workflows.RateLimit(time_window_in_sec=1, max_execution=20))
def local_limited(label: str) -> str:
    """Say when it ran."""
    SEEN.append((label, time.monotonic()))
    return label


@workflow.define(name="local-ask")
class Ask:
    """Several activities at once, a pause and a child."""

    @workflow.entrypoint
    async def run(self, question: Question) -> Answer:
        """Return all answers."""
        texts = await asyncio.gather(*(local_answer(f"{question.text}{n}") for n in range(question.times)))
        await workflow.sleep(0.01)
        async with workflows.task("state", {"done": True}):
            more = await workflow.execute_workflow(AskOnce, {"text": "child"})
        handle = await workflow.execute_workflow(AskOnce, {"text": "other"}, wait=False)
        return Answer(texts=[*texts, more, await handle])


@workflow.define(name="local-once")
class AskOnce:
    """One activity."""

    @workflow.entrypoint
    async def run(self, text: str, fails: int = 0) -> str:
        """Return the answer."""
        return await local_answer(text, fails)


@workflow.define(name="local-again")
class Again:
    """Goes on as new until it has counted down."""

    @workflow.entrypoint
    async def run(self, left: int) -> str:
        """Count."""
        if left:
            workflow.continue_as_new({"left": left - 1})
        return "done"


@workflow.define(name="local-limited")
class Limited:
    """Activities under a rate limit."""

    @workflow.entrypoint
    async def run(self, label: str, count: int) -> None:
        """Run them all."""
        await asyncio.gather(*(local_limited(label) for _ in range(count)))


@workflow.define(name="local-raises")
class Raises:
    """Ends otherwise."""

    @workflow.entrypoint
    async def run(self, how: str) -> None:
        """Raise, wait for ever or too long, or give up an activity."""
        match how:
            case "error":
                raise WorkflowError("on purpose", details={"why": "test"})
            case "bug":
                raise ZeroDivisionError
            case "signal":
                await workflow.wait_condition(lambda: False)
            case "long":
                await workflow.sleep(timedelta(days=1))
            case _:
                async with asyncio.timeout(0.01):
                    await workflow.sleep(3600)


def run(workflow_class: type, params: Any, **given: Any) -> Any:
    return asyncio.run(workflows.execute_workflow(workflow_class, params=params, **given))


def test_workflow_when_executed_without_a_server_then_its_result_comes_back() -> None:
    """As its own type, with activities, timers, custom tasks and children."""
    assert run(Ask, Question(text="q", times=3)) == Answer(texts=["Q0", "Q1", "Q2", "CHILD", "OTHER"])


def test_activity_when_it_fails_then_it_is_tried_again() -> None:
    """By its own policy, as on a worker."""
    text = uuid4().hex
    assert run(AskOnce, {"text": text, "fails": 1}) == text.upper()
    assert [attempt for seen, attempt in SEEN if seen == text] == [1, 2]
    with pytest.raises(RecordedError, match="failed on attempt 2"):
        run(AskOnce, {"text": text, "fails": 2})


def test_workflow_when_it_continues_as_new_then_the_last_result_is_returned() -> None:
    """As often as it likes."""
    assert run(Again, {"left": 50}) == "done"


def test_activities_when_their_rate_is_limited_then_it_is_kept_in_this_process() -> None:
    """20 a second are one each 50 ms."""
    label = uuid4().hex
    run(Limited, {"label": label, "count": 5})
    times = sorted(at for seen, at in SEEN if seen == label)
    assert times[-1] - times[0] >= 3 * 0.05, "the first one may have begun late"


@pytest.mark.slow
def test_workflow_when_it_ends_otherwise_then_that_is_raised() -> None:
    """An error on purpose, a bug, a time-out; and what could never go on without a server."""
    with pytest.raises(RecordedError, match="on purpose") as raised:
        run(Raises, {"how": "error"})
    assert raised.value.details == {"why": "test"}
    with pytest.raises(ZeroDivisionError):
        run(Raises, {"how": "bug"})
    with pytest.raises(RecordedError, match="TimeoutError"):
        run(Raises, {"how": "timeout"})
    with pytest.raises(WorkflowsException, match="waits for a signal or an update"):
        run(Raises, {"how": "signal"})
    with pytest.raises(WorkflowsException, match=r"took longer than 0:00:00\.05"):
        run(Raises, {"how": "long"}, execution_timeout=timedelta(seconds=0.05))
    with pytest.raises(WorkflowsException, match="wait=False"):
        run(Raises, {"how": "error"}, wait=False)
    with pytest.raises(workflows.InvalidArguments):
        run(Raises, {"what": "error"})
