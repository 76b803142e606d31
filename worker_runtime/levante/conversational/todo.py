"""A list of steps that a person can follow. Source of the names: SDK contract §5 (read 2026-11-23)."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel

from levante.conversational.ids import new_id
from levante.tasks import Task

__all__ = ["TodoItemState", "TodoList", "TodoListItem", "TodoListState", "TodoStatus"]

TODO_TASK = "todo_list"

TodoStatus: TypeAlias = Literal["todo", "in_progress", "done"]


class TodoItemState(BaseModel):
    """A step as clients see it."""

    id: str
    title: str
    description: str
    status: TodoStatus


class TodoListState(BaseModel):
    """The steps as clients see them."""

    items: list[TodoItemState]


class TodoListItem:
    """A step. `async with item:` is in progress inside the block, and done after it unless an exception leaves it."""

    def __init__(
        self,
        title: str,
        description: str = "",
        *,
        id: str | None = None,  # noqa: A002 - the contract's name
        status: TodoStatus = "todo",
    ) -> None:
        """id: None generates one."""
        self.id = new_id() if id is None else id
        self.title = title
        self.description = description
        self._status: TodoStatus = status
        self._list: TodoList | None = None

    @property
    def status(self) -> TodoStatus:
        """How far the step is."""
        return self._status

    async def set_status(self, status: TodoStatus) -> None:
        """Set the status, and publish it while the list is entered."""
        self._status = status
        if self._list is not None:
            await self._list.tell()

    def listed(self, in_list: TodoList | None) -> None:
        """Belong to a list that publishes changes, or to none."""
        self._list = in_list

    async def __aenter__(self) -> Self:
        await self.set_status("in_progress")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.set_status("done")


class TodoList:
    """Steps under a custom task of type `todo_list`: every change of a status is published inside the block.

    Works in workflows and activities; raises as Task does where it is entered.
    """

    def __init__(self, items: Sequence[TodoListItem]) -> None:
        self.items = list(items)
        self._task: Task[TodoListState] | None = None

    async def tell(self) -> None:
        """Tell how far the steps are."""
        if self._task is not None:
            await self._task.set_state(self._state())

    async def __aenter__(self) -> Self:
        self._task = await Task(TODO_TASK, self._state()).__aenter__()
        for item in self.items:
            item.listed(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for item in self.items:
            item.listed(None)
        if self._task is not None:
            await self._task.__aexit__(kind, error, trace)
            self._task = None

    def _state(self) -> TodoListState:
        return TodoListState(
            items=[
                TodoItemState(id=item.id, title=item.title, description=item.description, status=item.status)
                for item in self.items
            ]
        )
