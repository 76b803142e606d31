"""Forms, confirmations, chat and todo lists: what clients see, what is accepted, what is told."""

from collections.abc import Callable, Coroutine
from datetime import date, datetime
from itertools import count
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from levante import conversational as talk
from levante_core.protocol import TaskEvent
from tests.support.attempts import run_as_activity


class Expense(talk.FormInput):
    """What somebody wants back."""

    about: str = talk.TextField(description="What for", prefilled_value="a train")
    receipt: str = talk.TextField(pattern=r"^R-\d+$", prefilled_value="nonsense")
    amount: float = talk.NumberField(minimum=0, exclusive_maximum=100, prefilled_value=100)
    day: date = talk.DateField(prefilled_value="2026-02-30")
    due: datetime = talk.DateTimeField(prefilled_value="2026-02-28T12:00:00Z")
    kind: str = talk.SingleChoice([("trip", "A trip"), "other"], "Kind", prefilled_value="third")
    tags: list[str] = talk.MultiChoice(["a", "b", "c"], prefilled_value=["b", "x"])
    scan: str = talk.FileField()
    more: list[talk.FileWithMetadataValue] = talk.FileField(multiple=True, include_metadata=True)


FITTING: dict[str, Any] = {
    "about": "a train",
    "receipt": "R-1",
    "amount": 99.5,
    "day": "2026-02-28",
    "due": "2026-03-01T00:00:00Z",
    "kind": "other",
    "tags": ["c", "a"],
    "scan": "https://files/1",
    "more": [{"filename": "a.pdf", "url": "https://files/2", "content_type": "application/pdf"}],
}


def test_form_when_it_fits_then_its_fields_have_their_types() -> None:
    """A form is a model: dates are dates, files with metadata are models."""
    form = Expense.model_validate_json(Expense(**FITTING).model_dump_json())
    assert (form.day, form.kind, form.tags) == (date(2026, 2, 28), "other", ["c", "a"])
    assert form.more[0].content_type == "application/pdf"


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("receipt", "1", "match pattern"),
        ("amount", -1, "greater than or equal to 0"),
        ("amount", 100, "less than 100"),
        ("day", "2026-02-30", "day value is outside"),
        ("kind", "third", "has to be among: trip, other"),
        ("kind", "A trip", "has to be among: trip, other"),
        ("tags", ["a", "x"], "has to be among: a, b, c"),
        ("tags", ["a", "a"], "chosen twice"),
        ("more", [{"filename": "a.pdf"}], "Field required"),
        ("surprise", 1, "Extra inputs are not permitted"),
    ],
)
def test_form_when_a_field_does_not_fit_then_it_is_named(field: str, value: Any, why: str) -> None:
    """What the schema says is checked: bounds, patterns, options, and that there is nothing else."""
    with pytest.raises(ValidationError, match=why) as refused:
        Expense.model_validate({**FITTING, field: value})
    assert {error["loc"][0] for error in refused.value.errors()} == {field}


@pytest.mark.parametrize("field", sorted(FITTING))
def test_form_when_a_field_is_missing_then_it_is_refused_though_a_value_was_prefilled(field: str) -> None:
    """A prefilled value is a hint to clients: it makes no field optional."""
    with pytest.raises(ValidationError, match="Field required"):
        Expense.model_validate({name: value for name, value in FITTING.items() if name != field})


def test_form_when_described_then_the_schema_says_how_to_show_it() -> None:
    """Plain JSON schema where that has a word; prefilled values that do not fit are left out."""
    schema = Expense.model_json_schema()
    properties = schema["properties"]
    assert schema["x-input-kind"] == "form"
    assert schema["additionalProperties"] is False
    assert {name: shape["x-field"] for name, shape in properties.items()} == {
        "about": "text",
        "receipt": "text",
        "amount": "number",
        "day": "date",
        "due": "date-time",
        "kind": "single-choice",
        "tags": "multi-choice",
        "scan": "file",
        "more": "file",
    }
    assert {name: shape["x-prefilled-value"] for name, shape in properties.items() if "x-prefilled-value" in shape} == {
        "about": "a train",
        "due": "2026-02-28T12:00:00Z",
        "tags": ["b"],
    }
    assert properties["kind"]["oneOf"] == [{"const": "trip", "title": "A trip"}, {"const": "other", "title": "other"}]
    assert [one["const"] for one in properties["tags"]["items"]["oneOf"]] == ["a", "b", "c"]
    assert (properties["amount"]["minimum"], properties["amount"]["exclusiveMaximum"]) == (0, 100)
    assert (properties["day"]["format"], properties["due"]["format"]) == ("date", "date-time")
    assert (properties["more"]["x-multiple"], properties["scan"]["x-multiple"]) == (True, False)


def test_choice_when_it_may_be_none_then_none_is_no_option_but_accepted() -> None:
    """The annotation decides whether there has to be a choice."""

    class Optional(talk.FormInput):
        kind: str | None = talk.SingleChoice(["a"])

    assert Optional.model_validate({"kind": None}).kind is None


@pytest.mark.parametrize("options", [[], ["a", "a"], ["a", ("a", "again")]])
def test_choice_when_its_options_are_none_or_ambiguous_then_it_cannot_be_made(options: Any) -> None:
    """A wrong definition is an error where it is written."""
    with pytest.raises(ValueError, match="options have to be given"):
        talk.SingleChoice(options)


def test_confirmation_when_chosen_then_the_value_counts_not_the_label() -> None:
    """One field, `choice`."""
    model = talk.ConfirmationInput([("f", "Fire"), ("w", "Water")], "Which?")
    assert model.model_validate({"choice": "w"}).choice == "w"
    schema = model.model_json_schema()
    assert (schema["x-input-kind"], schema["properties"]["choice"]["description"]) == ("confirmation", "Which?")
    with pytest.raises(ValidationError, match="has to be among: f, w"):
        model.model_validate({"choice": "Fire"})


@pytest.mark.parametrize(("choice", "accepted"), [("accept", True), ("decline", False)])
def test_accept_decline_when_answered_then_is_accepted_reads_it(choice: str, accepted: bool) -> None:  # noqa: FBT001
    """Labels are for people, the two values are fixed."""
    model = talk.AcceptDeclineConfirmation("Sure?", accept_label="Yes", decline_label="No")
    assert talk.is_accepted(model.model_validate({"choice": choice})) is accepted
    schema = model.model_json_schema()
    assert schema["x-input-kind"] == "accept-decline"
    assert [one["title"] for one in schema["properties"]["choice"]["oneOf"]] == ["Yes", "No"]
    with pytest.raises(ValidationError):
        model.model_validate({"choice": "Yes"})


def test_chat_input_when_made_then_the_schema_carries_prompt_and_suggestions() -> None:
    """The answer is a list of pieces; a suggestion is such a list too."""
    model = talk.ChatInput("Which one?", suggestions=["a", [talk.TextChunk(text="b")]])
    schema = model.model_json_schema()
    assert schema["x-prompt"] == "Which one?"
    assert schema["x-suggestions"] == [[{"type": "text", "text": "a"}], [{"type": "text", "text": "b"}]]
    assert model.model_validate({"message": [{"type": "text", "text": "hello"}]}).message[0].text == "hello"
    assert "x-prompt" not in talk.ChatInput().model_json_schema()


def test_canvas_input_when_answered_then_it_brings_the_document_and_perhaps_a_message() -> None:
    """The schema says which canvas is meant."""
    canvas = talk.CanvasResource(canvas=talk.CanvasPayload(type="text/markdown", title="T", content="C"))
    model = talk.CanvasInput(canvas_uri=canvas.uri, prompt="Any changes?")
    assert model.model_json_schema()["x-canvas-uri"] == canvas.uri
    plain = model.model_validate({"canvas": {"title": "T", "content": "C2"}})
    assert (plain.canvas.content, plain.chatInput) == ("C2", None)
    message = {"message": [{"text": "shorter"}]}
    said = model.model_validate({"canvas": {"title": "T", "content": "C2"}, "chatInput": message})
    assert said.chatInput is not None
    assert said.chatInput.message[0].text == "shorter"


# --- what is told -----------------------------------------------------------------------------------------------------


def stream_events(code: Callable[[], Coroutine[Any, Any, object]]) -> list[TaskEvent]:
    """Run code as an activity. Returns what it published."""
    events: list[TaskEvent] = []
    run_as_activity(code, events.append, map(str, count()).__next__)
    return events


def phases(events: list[TaskEvent]) -> list[str]:
    return [event.phase.value for event in events]


def test_message_when_sent_then_a_task_starts_and_completes_with_it() -> None:
    """Text first, then the canvas, which has an id made in the attempt."""

    async def code() -> None:
        payload = talk.CanvasPayload(type="mermaid", title="T", content="C")
        await talk.send_assistant_message("look", canvas=talk.CanvasResource(canvas=payload))

    events = stream_events(code)
    assert phases(events) == ["started", "completed"]
    assert {event.task_type for event in events} == {"assistant_message"}
    payload: Any = events[0].payload
    text, resource = payload["content"]
    assert text == {"type": "text", "text": "look"}
    assert resource["resource"]["canvas"] == {"type": "mermaid", "title": "T", "content": "C"}
    assert resource["resource"]["uri"].startswith("canvas:")


def test_todo_list_when_steps_are_entered_then_each_change_is_told_once() -> None:
    """todo, in_progress, done; an exception leaves a step where it is, and fails the list."""
    items = [talk.TodoListItem("first", "the first"), talk.TodoListItem("second"), talk.TodoListItem("third")]

    async def steps() -> None:
        async with talk.TodoList(items=items):
            async with items[0]:
                pass
            await items[1].set_status("in_progress")
            await items[1].set_status("done")
            async with items[2]:
                raise ValueError("no")

    async def code() -> None:
        with pytest.raises(ValueError, match="no"):
            await steps()
        await items[2].set_status("todo")

    events = stream_events(code)
    assert phases(events) == ["started", *5 * ["in_progress"], "failed"]
    assert {event.task_type for event in events} == {"todo_list"}
    start: Any = events[0].payload
    assert [item["status"] for item in start["items"]] == ["todo", "todo", "todo"]
    assert [item["id"] for item in start["items"]] == [item.id for item in items]
    patches: list[Any] = [one for event in events[1:-1] for one in event.patch or ()]
    assert {one.path for one in patches} == {"/items"}
    assert [[item["status"] for item in one.value] for one in patches] == [
        ["in_progress", "todo", "todo"],
        ["done", "todo", "todo"],
        ["done", "in_progress", "todo"],
        ["done", "done", "todo"],
        ["done", "done", "in_progress"],
    ]


def test_output_when_dumped_then_it_has_the_names_of_the_contract() -> None:
    """Programs read isError and structuredContent."""
    output = talk.ChatAssistantWorkflowOutput(content=[talk.TextOutput(text="no")], isError=True, structuredContent={"a": 1})
    assert output.model_dump() == {
        "content": [{"type": "text", "text": "no"}],
        "isError": True,
        "structuredContent": {"a": 1},
    }


def test_working_task_when_it_carries_a_tool_then_the_state_says_which() -> None:
    """Unions are told apart by `type` and `status`."""
    command = talk.CommandToolUIState(toolCallId="1", command="make", result=talk.CommandResultFailed(error="exit code 2"))
    task = talk.ChatAssistantWorkingTask(type="tool", title="Building", toolUIState=command)
    assert talk.ChatAssistantWorkingTask.model_validate_json(task.model_dump_json()) == task


def test_names_when_exported_then_all_are_there() -> None:
    """`__all__` is complete: models and functions, nothing private."""
    public = {name for name, value in vars(talk).items() if isinstance(value, type) and issubclass(value, BaseModel)}
    assert public <= set(talk.__all__)
    assert len(set(talk.__all__)) == len(talk.__all__)
    assert all(hasattr(talk, name) for name in talk.__all__)
