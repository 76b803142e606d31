# expect: expected is \{"order": \{\.\.\.\}, "note": \.\.\.\}, sent was \{"total": \.\.\.\}
# how: attempt
# mypy: ignore-errors
from pydantic import BaseModel
from datetime import timedelta
from levante import activity, execute_workflow, execute_activities_in_parallel, workflow


class Order(BaseModel):
    total: int


@workflow.define
class Mistake:
    @workflow.entrypoint
    async def run(self, order: Order, note: str) -> str:
        return note


async def attempt(environment):
    await environment.start(Mistake, {"total": 1})
