"""The workflow `naps` after a change that does not fit executions already started."""

import asyncio

from steps import step  # type: ignore[import-not-found]  # the module beside this one, as a worker started here sees it

import levante as workflows


@workflows.activity()
async def announce() -> None:
    """Do something new."""


@workflows.workflow.define(name="naps")
class Naps:
    """Another step comes first now."""

    @workflows.workflow.entrypoint
    async def run(self, path: str, seconds: float) -> int:
        """Return 2."""
        await announce()
        await step(path, 1, 0)
        await asyncio.sleep(seconds)
        await step(path, 2, 0)
        return 2
