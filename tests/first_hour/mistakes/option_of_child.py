# expect: execute_workflow\(\) at .*:\d+: got an unexpected keyword argument 'timeout'. Did you mean 'execution_timeout'
# how: run
# mypy: ignore-errors
from datetime import timedelta
from levante import activity, execute_workflow, execute_activities_in_parallel, workflow


@activity
async def charge(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


@workflow.define
class Child:
    @workflow.entrypoint
    async def run(self) -> str:
        return ""


@workflow.define
class Mistake:
    @workflow.entrypoint
    async def run(self) -> str:
        return await execute_workflow(Child, timeout=5)
