# expect: defines no workflows: decorate a class with @workflow.define
# how: import-unplaced
# mypy: ignore-errors
from datetime import timedelta
from levante import activity, execute_workflow, execute_activities_in_parallel, workflow


class Mistake:
    @workflow.entrypoint
    async def run(self) -> str:
        return ""
