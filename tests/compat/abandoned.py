"""A workflow whose only worker is stopped once it has registered."""

import levante as workflows


@workflows.workflow.define(name="abandoned")
class Abandoned:
    """Nobody runs it."""

    @workflows.workflow.entrypoint
    async def run(self, number: int) -> int:
        """Return what came."""
        return number
