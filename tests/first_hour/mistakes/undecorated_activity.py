# expect: 'pay' \(.*undecorated_activity.py:\d+\) is no activity: decorate it with @activity
# how: run
# mypy: ignore-errors
from datetime import timedelta
from levante import activity, execute_workflow, execute_activities_in_parallel, workflow


@activity
async def charge(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


async def pay(amount: int) -> str:
    return ""


@workflow.define
class Mistake:
    @workflow.entrypoint
    async def run(self) -> str:
        return await execute_activities_in_parallel(pay, items=[1])
