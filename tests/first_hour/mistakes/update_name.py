# expect: has no update 'chnge'; it has: change. Did you mean 'change'
# how: attempt
# mypy: ignore-errors
from datetime import timedelta
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
    execution = await environment.start(Mistake)
    await execution.update("chnge", by=1)
