# expect: unhandled errors in a TaskGroup: KeyError: 'total' .*error_in_group.py:\d+
# how: run
# mypy: ignore-errors
import asyncio
from datetime import timedelta
from levante import activity, execute_workflow, execute_activities_in_parallel, workflow


@activity
async def charge(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


@workflow.define
class Mistake:
    @workflow.entrypoint
    async def run(self) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.look())
        return "done"

    async def look(self) -> None:
        {}["total"]
