# expect: importing 'two_names' failed: .*'Reciept' is not defined.*two_names.py:\d+
# how: import
# mypy: ignore-errors
from datetime import timedelta
from levante import activity, execute_workflow, execute_activities_in_parallel, workflow


@activity
async def charge() -> "Reciept": ...
