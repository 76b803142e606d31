"""A run that code of workflows meets in tests of single calls: it records nothing and never waits."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any, NoReturn
from uuid import UUID

from levante.context import current_workflow
from levante_core.protocol import ActivityOptions


class FakeRun:
    """Answers every activity with one result and remembers what was asked for. Its time is fixed.

    Conditions hold at once or never. What no test asks of it raises NotImplementedError.
    """

    execution_id = "x-1"
    run_id = "r-1"
    workflow_name = "fake"
    is_replaying = False
    events = 0

    def __init__(self, result: Any = None) -> None:
        self.random = Random(7)  # noqa: S311 - a test
        self.asked: list[tuple[str, Any, ActivityOptions]] = []
        self._result = result

    def now(self) -> datetime:
        """Return the fixed time."""
        return datetime(2026, 1, 2, tzinfo=UTC)

    def uuid4(self) -> UUID:
        """Draw a UUID."""
        return UUID(int=self.random.getrandbits(128), version=4)

    def all_handlers_finished(self) -> bool:
        """Not asked for."""
        raise NotImplementedError

    def should_continue_as_new(self) -> bool:
        """Not asked for."""
        raise NotImplementedError

    def patched(self, patch_id: str) -> bool:
        """Not asked for."""
        raise NotImplementedError

    def deprecate_patch(self, patch_id: str) -> None:
        """Not asked for."""
        raise NotImplementedError

    def change_search_keys(self, change: Any) -> None:
        """Not asked for."""
        raise NotImplementedError

    def publish(self, event: Any) -> None:
        """Not asked for."""
        raise NotImplementedError

    def start_child(self, child: Any) -> Any:
        """Not asked for."""
        raise NotImplementedError

    def continue_as_new(self, input: Any) -> NoReturn:  # noqa: A002 - the protocol's word
        """Not asked for."""
        raise NotImplementedError

    def start_activity(
        self,
        name: str,
        input: Any,  # noqa: A002 - the protocol's word
        options: ActivityOptions,
        *,
        waits_for_end: bool = False,
    ) -> asyncio.Future[Any]:
        """Remember the call, and answer it."""
        self.asked.append((name, input, options))
        future = asyncio.get_running_loop().create_future()
        future.set_result(self._result)
        return future

    async def wait_condition(self, predicate: Callable[[], bool], timeout_seconds: float | None) -> None:
        """Return at once, or time out at once."""
        if not predicate():
            raise TimeoutError(timeout_seconds)


@contextmanager
def in_workflow(result: Any = None) -> Iterator[FakeRun]:
    """Let the code inside the block be that of a workflow."""
    fake = FakeRun(result)
    token = current_workflow.set(fake)
    try:
        yield fake
    finally:
        current_workflow.reset(token)
