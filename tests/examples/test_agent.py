"""examples/agent.py: questions, tools, and a conversation that becomes long."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from examples.agent import Agent, Message, look_up, think

from levante.testing import Execution, WorkflowEnvironment

pytestmark = pytest.mark.levante
ACTIVITIES: list[Any] = [think, look_up]


async def said(execution: Execution, expected: str) -> None:
    """Wait until the agent says this."""
    while expected not in (await execution.query("last_answer")):
        await asyncio.sleep(1)


async def test_agent_when_it_is_asked_then_it_uses_its_tool_and_answers(mode: Mapping[str, Any]) -> None:
    """Whatever dies meanwhile, each question is answered once."""
    async with WorkflowEnvironment([Agent], activities=ACTIVITIES, **mode) as environment:
        execution = await environment.start(Agent, {})
        await execution.signal("ask", question="how much tea?")
        await said(execution, "7 tea")
        await execution.signal("ask", question="hello?")
        await said(execution, "Ask me")
        await execution.signal("stop")
        assert await execution.result() == 2
        (await execution.history()).replay(Agent)


async def test_agent_when_the_conversation_is_long_then_its_run_is_continued_and_no_question_is_lost(
    mode: Mapping[str, Any],
) -> None:
    """Questions that wait go with it, and so does the wish to stop."""
    async with WorkflowEnvironment([Agent], activities=ACTIVITIES, **mode) as environment:
        execution = await environment.start(Agent, {"most": 6})
        for number in range(5):
            await execution.signal("ask", question=f"{number}: how much coffee?")
        await execution.signal("stop")
        assert await execution.result() == 5


async def test_agent_when_the_model_fails_then_it_is_asked_again(mode: Mapping[str, Any]) -> None:
    """The model is an activity: a failure of it is retried, and nothing before it is done again."""
    calls: list[str] = []

    async def moody(messages: list[Message]) -> Message:
        calls.append(messages[-1].text)
        if len(calls) < 3:
            raise ConnectionError("the model is not to be reached")
        return Message(role="assistant", text="at last")

    async with WorkflowEnvironment([Agent], activities=ACTIVITIES, mocks={think: moody}, **mode) as environment:
        execution = await environment.start(Agent, {})
        await execution.signal("ask", question="hello?")
        await said(execution, "at last")
        await execution.signal("stop")
        assert await execution.result() == 1
