"""What a workflow and a person say to each other. Source of the names: SDK contract §5 (read 2026-11-23)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from levante.conversational.forms import INPUT_KIND
from levante.conversational.ids import new_id
from levante.tasks import task
from levante_core.protocol import JsonSchema

__all__ = [
    "CanvasContent",
    "CanvasInput",
    "CanvasInputModel",
    "CanvasPayload",
    "CanvasResource",
    "ChatAssistantWorkflowOutput",
    "ChatInput",
    "ChatInputModel",
    "ResourceOutput",
    "TextChunk",
    "TextOutput",
    "send_assistant_message",
]

M = TypeVar("M", bound=BaseModel)

MESSAGE_TASK = "assistant_message"


# --- what the workflow says -------------------------------------------------------------------------------------------


class TextChunk(BaseModel):
    """A piece of a message."""

    type: Literal["text"] = "text"
    text: str


class TextOutput(BaseModel):
    """A text to be shown."""

    type: Literal["text"] = "text"
    text: str


class CanvasPayload(BaseModel):
    """A document. type: such as `text/markdown`, `text/html`, `image/svg+xml`, `code`, `mermaid`, `slides`, `react`."""

    type: str
    title: str
    content: str


class CanvasResource(BaseModel):
    """A document under an id, by which it can be edited."""

    uri: str = Field(default_factory=lambda: f"canvas:{new_id()}")
    canvas: CanvasPayload


class ResourceOutput(BaseModel):
    """A document to be shown."""

    type: Literal["resource"] = "resource"
    resource: CanvasResource


Output: TypeAlias = TextOutput | ResourceOutput


class ChatAssistantWorkflowOutput(BaseModel):
    """The result of a workflow that a chat shows. isError: the text is an error. structuredContent: for programs."""

    content: list[Output]
    isError: bool = False  # noqa: N815 - the contract's name
    structuredContent: dict[str, Any] | None = None  # noqa: N815 - as above


class _AssistantMessage(BaseModel):
    content: list[Output]


async def send_assistant_message(content: str | Sequence[Output], *, canvas: CanvasResource | None = None) -> None:
    """Say something to the person: a custom task of type `assistant_message` that completes at once.

    canvas: a document to go with it. Raises: WorkflowsException outside workflows and activities.
    """
    said: list[Output] = [TextOutput(text=content)] if isinstance(content, str) else list(content)
    if canvas is not None:
        said.append(ResourceOutput(resource=canvas))
    async with task(MESSAGE_TASK, _AssistantMessage(content=said)):
        pass


# --- what the person says ---------------------------------------------------------------------------------------------


class ChatInputModel(BaseModel):
    """A message of the person, in pieces."""

    model_config = ConfigDict(extra="forbid")

    message: list[TextChunk]


class CanvasContent(BaseModel):
    """A document as the person left it."""

    title: str
    content: str


class CanvasInputModel(BaseModel):
    """An edited document. chatInput: what the person said to it, where something was asked."""

    model_config = ConfigDict(extra="forbid")

    canvas: CanvasContent
    chatInput: ChatInputModel | None = None  # noqa: N815 - the contract's name


def ChatInput(  # noqa: N802 - the contract's name
    prompt: str | None = None, suggestions: Sequence[str | Sequence[TextChunk]] = ()
) -> type[ChatInputModel]:
    """Make the model of a message, for `wait_for_input`. prompt: what is asked. suggestions: messages to choose from."""
    extra: JsonSchema = {INPUT_KIND: "chat"}
    if prompt is not None:
        extra["x-prompt"] = prompt
    if suggestions:
        chunks = [[TextChunk(text=one)] if isinstance(one, str) else one for one in suggestions]
        extra["x-suggestions"] = [[chunk.model_dump() for chunk in one] for one in chunks]
    return _with_schema(ChatInputModel, "ChatInput", extra)


def CanvasInput(canvas_uri: str, prompt: str | None = None) -> type[CanvasInputModel]:  # noqa: N802 - the contract's name
    """Make the model of an edited document, for `wait_for_input`.

    canvas_uri: of a CanvasResource that was sent before. prompt: what is asked about it.
    """
    extra: JsonSchema = {INPUT_KIND: "canvas", "x-canvas-uri": canvas_uri}
    return _with_schema(CanvasInputModel, "CanvasInput", extra if prompt is None else {**extra, "x-prompt": prompt})


def _with_schema(base: type[M], name: str, extra: JsonSchema) -> type[M]:
    """Derive a model that differs in what its JSON schema says besides."""
    derived: type[M] = type(name, (base,), {"model_config": ConfigDict(json_schema_extra=extra), "__module__": __name__})
    return derived
