"""An agent that thinks with a model and acts with tools, and survives the death of its worker in the middle of a thought.

    python examples/agent.py

The loop is workflow code, so it is durable: each call of the model and each use of a tool is an activity, done once and
recorded. `think` stands in for a model, with answers that are known beforehand; put your own client there. The conversation
goes on when people write, and when it has become long, the run is continued with the last messages.
"""

import json
import time
from collections.abc import Callable
from typing import Any, Literal

from mistralai.client import Mistral
from pydantic import BaseModel

import levante as workflows
from levante import conversational as talk
from levante import workflow


class Message(BaseModel):
    """Part of a conversation. tool: which one is called, or has answered."""

    role: Literal["user", "assistant", "tool"]
    text: str
    tool: str | None = None


class Talk(BaseModel):
    """A conversation: what was said, what is asked, and how many messages are kept when there are more than `most`."""

    messages: list[Message] = []
    asked: list[str] = []
    most: int = 50
    is_over: bool = False
    answered: int = 0


STOCK = {"tea": 7, "coffee": 0}


@workflows.activity(retry_policy_max_attempts=5)
async def think(messages: list[Message]) -> Message:
    """Ask the model what comes next: an answer, or the call of a tool. This one looks up whatever it is asked about."""
    last = messages[-1]
    if last.role == "tool":
        found = json.loads(last.text)
        text = ", ".join(f"{count or 'no'} {what}" for what, count in found.items())
        return Message(role="assistant", text=f"There is {text}.")
    wanted = [what for what in STOCK if what in last.text]
    if wanted:
        return Message(role="assistant", text=json.dumps(wanted), tool="look_up")
    return Message(role="assistant", text="Ask me about tea or coffee.")


@workflows.activity()
async def look_up(names: list[str]) -> dict[str, int]:
    """The only tool: what is in stock."""
    print(f"   tool: look_up {', '.join(names)}", flush=True)
    return {name: STOCK[name] for name in names}


@workflow.define(name="agent")
class Agent(workflows.InteractiveWorkflow):
    """Talks until it is told to stop, and returns how many questions it has answered."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.messages: list[Message] = []
        self.is_over = False

    @workflow.entrypoint
    async def run(self, talk_so_far: Talk) -> int:
        """See the class."""
        self.messages, answered, most = [*talk_so_far.messages], talk_so_far.answered, talk_so_far.most
        self.asked, self.is_over = [*talk_so_far.asked, *self.asked], talk_so_far.is_over or self.is_over
        while True:
            await workflow.wait_condition(lambda: bool(self.asked) or self.is_over)
            if not self.asked:
                return answered
            await self.answer(self.asked.pop(0))
            answered += 1
            if workflow.should_continue_as_new() or len(self.messages) > most:
                kept = self.messages[-(most // 2) :]
                left = Talk(messages=kept, asked=self.asked, most=most, is_over=self.is_over, answered=answered)
                workflow.continue_as_new(left)

    async def answer(self, question: str) -> None:
        """Think and act until there is an answer, and show the steps as a list of things to do."""
        self.messages.append(Message(role="user", text=question))
        thinking, acting = talk.TodoListItem("think", question), talk.TodoListItem("act", "")
        async with talk.TodoList([thinking, acting]):
            async with thinking:
                message = await think(self.messages)
            self.messages.append(message)
            async with acting:
                while message.tool:
                    result = await look_up(json.loads(message.text))
                    self.messages.append(Message(role="tool", text=json.dumps(result), tool=message.tool))
                    message = await think(self.messages)
                    self.messages.append(message)
        await talk.send_assistant_message(message.text)

    @workflow.signal(name="ask")
    def ask(self, question: str) -> None:
        """Ask something."""
        self.asked.append(question)

    @workflow.signal(name="stop")
    def stop(self) -> None:
        """Let it end when all is answered."""
        self.is_over = True

    @workflow.query(name="last_answer")
    def last_answer(self) -> str:
        """Return what was said last."""
        return next((one.text for one in reversed(self.messages) if one.role == "assistant" and not one.tool), "")


def drive(client: Mistral, replace_worker: Callable[[], None]) -> None:
    """Ask two things, with another worker in between, and end the conversation."""
    executions = client.workflows.executions
    execution_id = client.workflows.execute_workflow(workflow_identifier="agent", input={}).execution_id

    def ask(question: str, expected: str) -> None:
        print(f"   you: {question}")
        executions.signal_workflow_execution(execution_id=execution_id, name="ask", input={"question": question})
        said = ""
        while expected not in said:
            said = executions.query_workflow_execution(execution_id=execution_id, name="last_answer").result
            time.sleep(0.05)
        print(f"   agent: {said}")

    print("1. a question")
    ask("how much tea is there?", "7 tea")
    print("2. the worker is killed; another one knows the conversation")
    replace_worker()
    ask("and tea and coffee?", "no coffee")
    executions.signal_workflow_execution(execution_id=execution_id, name="stop")
    ended: Any = client.workflows.wait_for_workflow_completion(execution_id, polling_interval=1)
    print(f"3. {ended.result['result']} questions answered")


if __name__ == "__main__":
    from running import example  # type: ignore[import-not-found]  # beside this file, where Python looks when it is run

    with example(__file__) as site:
        drive(site.client, site.replace_worker)
