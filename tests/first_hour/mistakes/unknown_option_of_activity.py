# expect: @activity at .*unknown_option_of_activity.py:\d+: .*'retrys'. Did you mean 'retry_policy_max_attempts'
# how: import
# mypy: ignore-errors
from datetime import timedelta
from levante import activity, execute_workflow, execute_activities_in_parallel, workflow


@activity(retrys=3)
async def charge(amount: int) -> str:
    return ""
