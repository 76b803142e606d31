"""§5 and §6: workflows that publish their progress, and that ask people."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel

import levante as workflows
from levante import conversational as talk
from levante import workflow
from tests.behaviour.driving import Behaviour, Driver, Ended, completed, refused
from tests.behaviour.programs import echo

STATE_KEY = "internal.execution.state"


class Draft(BaseModel):
    """What is written."""

    text: str = ""
    words: int = 0


class Age(BaseModel):
    """How old somebody is."""

    years: int


class Claim(talk.FormInput):
    """What somebody wants to be paid."""

    about: str = talk.TextField(description="What for")
    amount: float = talk.NumberField(minimum=0, maximum=100)
    kind: str = talk.SingleChoice(options=[("trip", "A trip"), "other"], prefilled_value="trip")
    days: list[str] = talk.MultiChoice(options=["mon", "tue"])
    on: date = talk.DateField()


@workflows.activity(name="behaviour-write", retry_policy_max_attempts=1)
async def write(words: list[str]) -> str:
    """Publish each word, and of what goes wrong."""
    async with workflows.task_from(Draft(), type="draft") as draft:
        for word in words:
            await draft.update_state({"text": f"{draft.state.text if draft.state else ''}{word}"})
            if word == "fail":
                raise workflows.WorkflowError("no more words", non_retryable=True)
    return draft.state.text if draft.state else ""


@workflow.define(name="behaviour-publishing")
class Publishing:
    """§6: custom tasks of workflow code, which span several activities."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        async with workflows.task("progress", {"done": 0, "last": ""}, id="the-progress") as progress:
            await progress.update_state({"done": 1, "last": await echo("a")})
            await progress.set_state({"done": 2, "last": await echo("ab")})
        found = [progress.id, progress.type, str(progress.state)]
        async with workflows.task_from(Draft(text="model")) as draft:
            found.append(draft.type)
        without: Any = workflows.task("stateless")
        try:
            async with without as stateless:
                await stateless.update_state({"done": 1})
        except RuntimeError as error:
            found.append(str(error))
        return found


@workflow.define(name="behaviour-writing")
class Writing:
    """§6: custom tasks of activities."""

    @workflow.entrypoint
    async def run(self, words: list[str]) -> str:
        try:
            return await write(words)
        except workflows.ActivityError as error:
            return str(error.cause)


@workflow.define(name="behaviour-interview")
class Interview(workflows.InteractiveWorkflow):
    """§5: several are asked at once; each answer goes where it belongs."""

    @workflow.entrypoint
    async def run(self, labels: list[str], seconds: float | None = None) -> list[Any]:
        answers = await asyncio.gather(*(self.ask(label, seconds) for label in labels))
        return [await echo("asked"), *answers]

    async def ask(self, label: str, seconds: float | None) -> int | str:
        try:
            return (await self.wait_for_input(Age, label, seconds)).years
        except TimeoutError:
            return f"{label} said nothing"


@workflow.define(name="behaviour-conversation")
class Conversation(workflows.InteractiveWorkflow):
    """§5: forms, confirmations, messages, documents, and steps that people can follow."""

    @workflow.entrypoint
    async def run(self) -> talk.ChatAssistantWorkflowOutput:
        claim = await self.wait_for_input(Claim, label="claim")
        answer = await self.wait_for_input(talk.AcceptDeclineConfirmation("Pay it?"))
        colour = await self.wait_for_input(talk.ConfirmationInput(["red", ("blue", "Blue")]))
        said = await self.wait_for_input(talk.ChatInput("Anything else?", suggestions=["no"]))
        canvas = talk.CanvasResource(canvas=talk.CanvasPayload(type="text/markdown", title="Letter", content="Dear"))
        await talk.send_assistant_message("This is the letter.", canvas=canvas)
        edited = await self.wait_for_input(talk.CanvasInput(canvas.uri))
        steps = [talk.TodoListItem("pay"), talk.TodoListItem("send")]
        async with talk.TodoList(steps):
            for step in steps:
                async with step:
                    await echo(step.title)
        found = [claim.about, claim.on.isoformat(), str(talk.is_accepted(answer)), colour.choice]
        found += [said.message[0].text, edited.canvas.content, *(step.status for step in steps)]
        return talk.ChatAssistantWorkflowOutput(content=[talk.TextOutput(text=" ".join(found))])


def stream_events(event: Any) -> tuple[str, Any]:
    """Return the end of an event's type, and what it says."""
    said = event["attributes"]
    kind = event["event_type"].removeprefix("CUSTOM_TASK_")
    return kind, said["payload"]["value"] if "payload" in said else said.get("failure", {}).get("message")


async def _follow(driver: Driver) -> None:
    """Read what workflow code has published: once, whoever ran it."""
    await driver.result()
    events = await driver.events("CUSTOM_TASK")
    of = {kind: [stream_events(one) for one in events if one["attributes"]["custom_task_type"] == kind] for kind in TASKS}
    assert of == TASKS
    assert {one["attributes"]["custom_task_id"] for one in events[:4]} == {"the-progress"}


STATELESS = "task 'stateless' has no state with fields to update: give it one when it is made"
TASKS = {
    "progress": [
        ("STARTED", {"done": 0, "last": ""}),
        (
            "IN_PROGRESS",
            [{"op": "replace", "path": "/done", "value": 1}, {"op": "append", "path": "/last", "value": "a"}],
        ),
        (
            "IN_PROGRESS",
            [{"op": "replace", "path": "/done", "value": 2}, {"op": "append", "path": "/last", "value": "b"}],
        ),
        ("COMPLETED", {"done": 2, "last": "ab"}),
    ],
    "Draft": [("STARTED", {"text": "model", "words": 0}), ("COMPLETED", {"text": "model", "words": 0})],
    "stateless": [
        ("STARTED", None),
        ("FAILED", STATELESS),
    ],
}


def _read(*expected: tuple[str, Any]) -> Callable[[Driver], Awaitable[None]]:
    """Read what an activity has told; an attempt whose worker died has told some of it before."""

    async def drive(driver: Driver) -> None:
        await driver.result()
        events = [stream_events(one) for one in await driver.events("CUSTOM_TASK")]
        assert events[-len(expected) :] == list(expected)

    return drive


async def pending(driver: Driver, count: int) -> dict[str, Any]:
    """Wait until so many are asked. Returns what they are asked, by label."""
    found: list[Any] = []

    async def are_asked() -> bool:
        found[:] = (await driver.query("__get_pending_inputs"))["pending_inputs"]
        return len(found) == count

    await driver.until(are_asked)
    return {one["label"] or str(place): one for place, one in enumerate(found)}


async def another(driver: Driver, before: Any) -> Any:
    """Wait until something else is asked. Returns that."""
    found: list[Any] = []

    async def is_asked() -> bool:
        found[:] = (await pending(driver, 1)).values()
        return bool(found[0]["task_id"] != before["task_id"])

    await driver.until(is_asked)
    return found[0]


async def submit(driver: Driver, asked: Any, given: Any) -> None:
    """Answer what is asked."""
    assert await driver.update("__submit_input", task_id=asked["task_id"], input=given) == {}


async def _answer(driver: Driver) -> None:
    """Answer the second first; be refused what is wrong."""
    asked = await pending(driver, 2)
    assert asked["ann"]["input_schema"]["properties"]["years"]["type"] == "integer"
    assert (await driver.get())["search_keys"][STATE_KEY] == "waiting_for_input"
    unknown = driver.update("__submit_input", task_id="none", input={"years": 1})
    await refused(unknown, 409, "HANDLER_FAILED", "no input with task_id 'none' is pending")
    wrong = driver.update("__submit_input", task_id=asked["ann"]["task_id"], input={"years": "many"})
    await refused(wrong, 409, "HANDLER_FAILED", "years")
    await submit(driver, asked["ben"], {"years": 7})
    assert list(await pending(driver, 1)) == ["ann"]
    again = driver.update("__submit_input", task_id=asked["ben"]["task_id"], input={"years": 8})
    await refused(again, 409, "HANDLER_FAILED")
    await submit(driver, asked["ann"], {"years": 35})
    await driver.result()
    assert STATE_KEY not in (await driver.get())["search_keys"]
    events = await driver.events("CUSTOM_TASK")
    assert {one["attributes"]["custom_task_type"] for one in events} == {"wait_for_input"}
    schema = asked["ann"]["input_schema"]
    assert stream_events(events[0]) == ("STARTED", {"input_schema": schema, "label": "ann"})
    assert stream_events(events[-1]) == ("COMPLETED", {"input_schema": schema, "label": "ann", "input": {"years": 35}})


def _failed_at_the_end(failure: str, meanwhile: Callable[[Driver], Awaitable[Any]]) -> Callable[[Driver], Awaitable[None]]:
    async def drive(driver: Driver) -> None:
        await meanwhile(driver)
        await driver.result()
        assert stream_events((await driver.events("CUSTOM_TASK"))[-1]) == ("FAILED", failure)
        assert STATE_KEY not in (await driver.get())["search_keys"]

    return drive


async def _wait(driver: Driver) -> None:
    """Do nothing."""


async def _cancel(driver: Driver) -> None:
    await pending(driver, 1)
    await driver.cancel()


async def _converse(driver: Driver) -> None:
    """Answer one after the other, the first time with something that does not fit."""
    claim = {"about": "a trip", "amount": 17, "kind": "trip", "days": ["mon"], "on": "2026-05-01"}
    asked = (await pending(driver, 1))["claim"]
    for wrong in ({"amount": 101}, {"kind": "third"}, {"days": ["mon", "mon"]}, {"on": "soon"}, {"more": 1}):
        given = {**claim, **wrong}
        await refused(driver.update("__submit_input", task_id=asked["task_id"], input=given), 409, "HANDLER_FAILED")
    await submit(driver, asked, claim)
    answers: list[Any] = [
        {"choice": "accept"},
        {"choice": "blue"},
        {"message": [{"type": "text", "text": "no"}]},
        {"canvas": {"title": "Letter", "content": "Dear all"}},
    ]
    for answer in answers:
        asked = await another(driver, asked)
        await submit(driver, asked, answer)
    await driver.result()
    events = [one for one in await driver.events("CUSTOM_TASK") if one["attributes"]["custom_task_type"] == "todo_list"]
    assert [stream_events(one)[0] for one in events] == ["STARTED", *["IN_PROGRESS"] * 4, "COMPLETED"]
    messages = [one["attributes"]["custom_task_type"] for one in await driver.events("CUSTOM_TASK_COMPLETED")]
    assert messages.count("assistant_message") == 1


SAID = "a trip 2026-05-01 True blue no Dear all done done"
BEHAVIOURS: Mapping[str, Behaviour] = {
    "custom tasks of workflow code": Behaviour(
        Publishing,
        completed(["the-progress", "progress", "{'done': 2, 'last': 'ab'}", "Draft", STATELESS]),
        drive=_follow,
    ),
    "custom tasks of activities": Behaviour(
        Writing,
        completed("tea"),
        {"words": ["te", "a"]},
        _read(
            ("STARTED", {"text": "", "words": 0}),
            ("IN_PROGRESS", [{"op": "append", "path": "/text", "value": "te"}]),
            ("IN_PROGRESS", [{"op": "append", "path": "/text", "value": "a"}]),
            ("COMPLETED", {"text": "tea", "words": 0}),
        ),
    ),
    "custom tasks of activities that fail": Behaviour(
        Writing,
        completed("no more words"),
        {"words": ["fail"]},
        _read(("IN_PROGRESS", [{"op": "append", "path": "/text", "value": "fail"}]), ("FAILED", "no more words")),
    ),
    "several people are asked": Behaviour(Interview, completed(["asked", 35, 7]), {"labels": ["ann", "ben"]}, _answer),
    "people say nothing": Behaviour(
        Interview,
        completed(["asked", "ann said nothing"]),
        {"labels": ["ann"], "seconds": 0.2},
        _failed_at_the_end("nobody submitted the input in time", _wait),
    ),
    "people are not waited for any more": Behaviour(
        Interview,
        Ended("CANCELED"),
        {"labels": ["ann"]},
        _failed_at_the_end("the wait for the input was cancelled", _cancel),
    ),
    "forms, confirmations and chats": Behaviour(
        Conversation,
        Ended(
            "COMPLETED",
            {"content": [{"type": "text", "text": SAID}], "isError": False, "structuredContent": None},
        ),
        drive=_converse,
    ),
}
