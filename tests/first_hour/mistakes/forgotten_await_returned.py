# expect: activity 'charge' is called at .*:\d+ (and never awaited|and returned at)
# how: run
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
        return charge(1)
