# expect: no workflow has the name or id 'Mistaek': .*Did you mean 'Mistake'
# how: attempt
# mypy: ignore-errors
import asyncio

from levante.testing.installation import WORKSPACE
from levante_core.services.executions.start import StartRequest
from levante_local.greenlets import call
from levante import activity, execute_workflow, execute_activities_in_parallel, workflow


@activity
async def charge(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


@workflow.define
class Mistake:
    @workflow.entrypoint
    async def run(self) -> str:
        await workflow.wait_condition(lambda: False)
        return ""

    @workflow.signal
    def approve(self, by: str) -> None: ...

    @workflow.update
    def change(self, by: int) -> int:
        return by

    @workflow.query
    def total(self) -> int:
        return 1


async def attempt(environment):
    engine = environment._place.engine
    while not list(engine.catalogue.list_workflows(WORKSPACE, limit=1, descending=False, after=None).items):
        await asyncio.sleep(0)
    await call(engine.executions.start, WORKSPACE, "Mistaek", StartRequest())
