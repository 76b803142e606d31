"""What a workflow is busy with, for `task_from`. Source of the names: SDK contract §5 (read 2026-11-23)."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

__all__ = [
    "ChatAssistantWorkingTask",
    "CommandResultFailed",
    "CommandResultRunning",
    "CommandResultSuccess",
    "CommandToolUIState",
    "CreateFileOperation",
    "DeleteFileOperation",
    "FileToolUIState",
    "GenericToolUIState",
    "ReplaceFileOperation",
    "SearchReplaceBlock",
    "ToolResultFailed",
    "ToolResultRunning",
    "ToolResultSuccess",
    "ToolUIState",
]


class CreateFileOperation(BaseModel):
    """A file was made."""

    type: Literal["create"] = "create"
    uri: str
    content: str


class SearchReplaceBlock(BaseModel):
    """A text of a file, and what it became."""

    search: str
    replace: str


class ReplaceFileOperation(BaseModel):
    """Texts of a file were replaced."""

    type: Literal["replace"] = "replace"
    uri: str
    fileContentBefore: str  # noqa: N815 - the contract's name
    blocks: list[SearchReplaceBlock]


class DeleteFileOperation(BaseModel):
    """A file was deleted."""

    type: Literal["delete"] = "delete"
    uri: str


class FileToolUIState(BaseModel):
    """A tool that works on files."""

    type: Literal["file"] = "file"
    toolCallId: str  # noqa: N815 - the contract's name
    operations: list[CreateFileOperation | ReplaceFileOperation | DeleteFileOperation]


class ToolResultRunning(BaseModel):
    """The tool is running."""

    status: Literal["running"] = "running"


class ToolResultSuccess(BaseModel):
    """The tool has ended well."""

    status: Literal["success"] = "success"
    value: Any = None


class ToolResultFailed(BaseModel):
    """The tool has failed."""

    status: Literal["failed"] = "failed"
    error: str


class GenericToolUIState(BaseModel):
    """A tool of any kind."""

    type: Literal["generic"] = "generic"
    toolCallId: str  # noqa: N815 - the contract's name
    name: str
    arguments: dict[str, Any] = {}
    result: ToolResultRunning | ToolResultSuccess | ToolResultFailed


class CommandResultRunning(BaseModel):
    """The command is running."""

    status: Literal["running"] = "running"


class CommandResultSuccess(BaseModel):
    """The command has ended well."""

    status: Literal["success"] = "success"
    output: str = ""


class CommandResultFailed(BaseModel):
    """The command has failed."""

    status: Literal["failed"] = "failed"
    error: str


class CommandToolUIState(BaseModel):
    """A command line."""

    type: Literal["command"] = "command"
    toolCallId: str  # noqa: N815 - the contract's name
    command: str
    result: CommandResultRunning | CommandResultSuccess | CommandResultFailed


ToolUIState: TypeAlias = FileToolUIState | GenericToolUIState | CommandToolUIState


class ChatAssistantWorkingTask(BaseModel):
    """The state of a task that shows what the workflow is doing: `task_from(ChatAssistantWorkingTask(...))`."""

    type: Literal["thinking", "tool"] = "thinking"
    title: str
    content: str = ""
    toolUIState: ToolUIState | None = None  # noqa: N815 - the contract's name
