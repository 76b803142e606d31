# expect: query 'total' of workflow 'Mistake': its return annotation has to be something other than None .*query_without_result.py:\d+
# how: import
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
        return ""

    @workflow.query
    def total(self) -> None: ...
