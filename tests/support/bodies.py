"""Workflows that are just a coroutine function."""

from collections.abc import Callable, Coroutine
from typing import Any

Body = Callable[[], Coroutine[Any, Any, Any]]


class Definition:
    """Stands for the definition of a workflow whose entrypoint is a coroutine function without arguments."""

    name = "w"
    cls = object
    enforce_determinism = None
    search_keys = ()

    def __init__(self, body: Body) -> None:
        self._body = body

    async def run(self, _instance: object, _input: Any) -> Any:
        """See WorkflowDefinition."""
        return await self._body()

    def dump_result(self, value: Any) -> Any:
        """See WorkflowDefinition."""
        return value
