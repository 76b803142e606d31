# expect: workflow code uses .*urlopen at .*blocking_request.py:\d+.*Use an activity
# how: run
# mypy: ignore-errors
from urllib.request import urlopen
from datetime import timedelta
from levante import activity, execute_workflow, execute_activities_in_parallel, workflow


@activity
async def charge(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


@workflow.define
class Mistake:
    @workflow.entrypoint
    async def run(self) -> str:
        urlopen("http://127.0.0.1:9")
        return "done"
