"""What a type checker sees of interactive workflows and of parallel executions. Checked by mypy, never run."""

from typing import Any, assert_type

from pydantic import BaseModel

import levante as workflows
from levante import conversational as talk


class Answer(BaseModel):
    text: str


@workflows.activity()
async def length(text: str) -> int:
    return len(text)


@workflows.activity()
async def forget(text: str) -> None: ...


@workflows.activity()
def opaque(text: str) -> Any:
    return text


class Typed(workflows.InteractiveWorkflow):
    async def ask(self) -> None:
        assert_type(await self.wait_for_input(Answer, label="Say something", timeout=5), Answer)
        chosen = await self.wait_for_input(talk.ConfirmationInput(["a", "b"]))
        assert_type(chosen.choice, str)
        assert_type(talk.is_accepted(await self.wait_for_input(talk.AcceptDeclineConfirmation("Sure?"))), bool)
        assert_type((await self.wait_for_input(talk.ChatInput("Well?"))).message[0].text, str)
        assert_type((await self.wait_for_input(talk.CanvasInput("canvas:1"))).canvas.content, str)
        await self.wait_for_input("no model")  # type: ignore[arg-type]

    async def handle(self) -> None:
        assert_type(await workflows.execute_activities_in_parallel(length, items=["a"]), list[int])
        await workflows.execute_activities_in_parallel(forget, items=["a"])
        nothing = await workflows.execute_activities_in_parallel(forget, items=["a"])  # type: ignore[func-returns-value]
        assert_type(nothing, None)
        assert_type(await workflows.execute_activities_in_parallel(opaque, items=["a"]), Any)
        await workflows.execute_activities_in_parallel("length", items=["a"])  # type: ignore[call-overload]
