# expect: workflow code uses time.sleep at .*blocking_sleep.py:\d+.*Use await workflow.sleep
# how: run
# mypy: ignore-errors
import time
from datetime import timedelta
from levante import activity, execute_workflow, execute_activities_in_parallel, workflow


@activity
async def charge(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


@workflow.define
class Mistake:
    @workflow.entrypoint
    async def run(self) -> str:
        time.sleep(1)
        return "done"
