# expect: expected is \{"order": \{\.\.\.\}, "note": \.\.\.\}, sent was \{"total": \.\.\.\}.*called at .*:\d+
# how: run
# mypy: ignore-errors
from pydantic import BaseModel
from datetime import timedelta
from levante import activity, execute_workflow, execute_activities_in_parallel, workflow


@activity
async def charge(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


class Order(BaseModel):
    total: int


@workflow.define
class Child:
    @workflow.entrypoint
    async def run(self, order: Order, note: str) -> str:
        return note


@workflow.define
class Mistake:
    @workflow.entrypoint
    async def run(self) -> str:
        return await execute_workflow(Child, {"total": 1})
