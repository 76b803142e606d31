"""The installation of the testing kit, with what tests of the engine want to know and to break."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from levante.definition.definitions import get_activity_definition, get_workflow_definition
from levante.testing.installation import WORKSPACE, InProcessApi
from levante.testing.installation import Installation as InstallationOfTheKit
from levante_core.errors import NotFound
from levante_core.ports.item_store import Change
from levante_core.storage import keys
from levante_local.clock import LocalClock
from levante_local.greenlets import call

__all__ = ["WORKSPACE", "InProcessApi", "Installation"]


class Installation(InstallationOfTheKit):
    """By the clock of this machine."""

    api: Any

    def __init__(self, data: Path, *, fast_path: bool = False) -> None:
        super().__init__(data, LocalClock(), fast_path=fast_path)
        self.heard: list[Change] = []
        self.store.listen(self.heard.extend)

    @asynccontextmanager
    async def worker(
        self, workflows: Sequence[type], activities: Sequence[Any] = (), **settings: Any
    ) -> AsyncIterator["asyncio.Task[None]"]:
        """Run a worker inside the block. Cancel the task it yields to kill it without a farewell."""
        served = {definition.name: definition for definition in map(get_activity_definition, activities)}
        async with self.serving(map(get_workflow_definition, workflows), served, **settings) as task:
            yield task

    def believe_long(self, activity: str) -> None:
        """Let all workers take an activity for a long one, which they leave to the queue."""
        for runner in self.runners:
            runner.learn(activity, 3600)

    def has_waiting_retry(self) -> bool:
        """Whether some attempt of an activity waits for its time."""
        return any(change.key.sort.startswith(keys.ATTEMPT) for change in self.heard)

    async def settled(self) -> None:
        """Return when the pumps have nothing left to do."""
        while self.store.read_changes(None, 1):
            await asyncio.sleep(0)

    async def result(self, execution_id: str, seconds: float = 20) -> Any:
        """Wait until the execution is closed; return it."""
        return await super().result(execution_id, seconds)

    async def find(self, execution_id: str) -> Any:
        """Return the execution, or None."""
        with suppress(NotFound):
            return await call(self.engine.executions.get, WORKSPACE, execution_id)
        return None

    async def is_closed(self, execution_id: str) -> bool:
        """Whether the execution has ended."""
        execution = await call(self.engine.executions.get, WORKSPACE, execution_id)
        return not execution.is_open
