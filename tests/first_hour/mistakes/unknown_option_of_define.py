# expect: @workflow.define at .*:\d+: .*'timeout'. Did you mean 'execution_timeout'
# how: import
# mypy: ignore-errors
from datetime import timedelta
from levante import activity, execute_workflow, execute_activities_in_parallel, workflow


@activity
async def charge(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


@workflow.define(timeout=timedelta(days=1))
class Mistake:
    @workflow.entrypoint
    async def run(self) -> str:
        return ""
