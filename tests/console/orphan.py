"""A workflow whose only worker goes away."""

from levante import workflow


@workflow.define(name="orphan")
class Orphan:
    @workflow.entrypoint
    async def run(self) -> None:
        """Return at once."""
