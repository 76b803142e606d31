# expect: at .*long_wait.py:\d+: execution_timeout is 1:00:00 \(the default\); this waits for 1 day: give @workflow.define\(execution_timeout
# how: warning
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
        await workflow.sleep(timedelta(days=1))
        return ""
