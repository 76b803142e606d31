"""examples/approval.py: decisions, reminders and ends, in virtual time."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from examples.approval import Approval, Decision, Expense, State, notify

from levante.testing import WorkflowEnvironment
from levante_core.errors import HandlerFailed

CHAIR = Expense(title="a chair", cents=12_000, approver="ann")
DAY_SECONDS = 86_400

pytestmark = pytest.mark.levante


class Outbox:
    """Keeps messages in order. One that a crash made come twice counts once."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, str], None] = {}
        self.has_reminder = asyncio.Event()

    async def deliver(self, person: str, text: str) -> None:
        self._sent[person, text] = None
        if "still waits" in text:
            self.has_reminder.set()

    @property
    def sent(self) -> list[tuple[str, str]]:
        return list(self._sent)


REQUEST = ("ann", "please decide on a chair")
REMINDER = ("ann", "a chair still waits for you")


def environment_with(outbox: Outbox, **mode: Any) -> WorkflowEnvironment:
    return WorkflowEnvironment([Approval], activities=[notify], mocks={notify: outbox.deliver}, **mode)


async def test_approval_when_decided_at_once_then_nobody_is_reminded(mode: Mapping[str, Any]) -> None:
    """The update answers who decided, and the result says the same."""
    outbox = Outbox()
    async with environment_with(outbox, **mode) as environment:
        execution = await environment.start(Approval, CHAIR)
        assert await execution.update("decide", by="ann", approved=True) == "approved"
        assert await execution.result() == Decision(state=State.APPROVED, by="ann")
        assert outbox.sent == [REQUEST, ("accounting", "a chair is approved")]
        (await execution.history()).replay(Approval)


async def test_approval_when_nobody_decides_then_a_reminder_comes_before_the_end(mode: Mapping[str, Any]) -> None:
    """A day to the reminder, six more to the end, whatever happens to the worker meanwhile."""
    outbox = Outbox()
    async with environment_with(outbox, **mode) as environment:
        began = asyncio.get_running_loop().time()
        decision = await environment.execute(Approval, CHAIR)
        took = asyncio.get_running_loop().time() - began
        assert decision == Decision(state=State.EXPIRED, reminders=1)
        assert outbox.sent == [REQUEST, REMINDER, ("accounting", "a chair is expired")]
        assert 7 * DAY_SECONDS <= took < 7.01 * DAY_SECONDS


async def test_approval_when_decided_after_the_reminder_then_it_counts(mode: Mapping[str, Any]) -> None:
    """The wait after the reminder is as good as the one before."""
    outbox = Outbox()
    async with environment_with(outbox, **mode) as environment:
        execution = await environment.start(Approval, CHAIR)
        await outbox.has_reminder.wait()
        assert await execution.update("decide", by="bob", approved=False) == "rejected"
        assert await execution.result() == Decision(state=State.REJECTED, by="bob", reminders=1)
        assert outbox.sent == [REQUEST, REMINDER, ("accounting", "a chair is rejected")]


async def test_approval_when_decided_twice_then_the_second_is_told_that_it_is_too_late() -> None:
    """A refused update changes nothing."""
    may_go_on = asyncio.Event()

    async def slowly(person: str, text: str) -> None:
        if person == "accounting":
            await may_go_on.wait()

    async with WorkflowEnvironment([Approval], activities=[notify], mocks={notify: slowly}) as environment:
        execution = await environment.start(Approval, CHAIR)
        await execution.update("decide", by="ann", approved=True)
        with pytest.raises(HandlerFailed, match="too late: it is approved"):
            await execution.update("decide", by="bob", approved=False)
        await execution.signal("withdraw")
        may_go_on.set()
        assert await execution.result() == Decision(state=State.APPROVED, by="ann")


async def test_approval_when_withdrawn_then_it_ends(mode: Mapping[str, Any]) -> None:
    """The query says so as soon as the signal is taken."""
    outbox = Outbox()
    async with environment_with(outbox, **mode) as environment:
        execution = await environment.start(Approval, CHAIR)
        assert (await execution.query("decision"))["state"] == "waiting"
        await execution.signal("withdraw")
        assert await execution.result() == Decision(state=State.WITHDRAWN)


async def test_approval_when_the_times_are_given_then_they_replace_the_defaults() -> None:
    """A reminder after an hour, and the end two hours later."""
    hurried = CHAIR.model_copy(update={"remind_after": timedelta(hours=1), "expire_after": timedelta(hours=2)})
    async with environment_with(Outbox()) as environment:
        began = asyncio.get_running_loop().time()
        assert (await environment.execute(Approval, hurried)).state is State.EXPIRED
        assert 3 * 3600 <= asyncio.get_running_loop().time() - began < 3.5 * 3600
