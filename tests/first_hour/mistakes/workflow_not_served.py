# expect: workflow 'Other' is not served here: WorkflowEnvironment\(\[Other\]\)
# how: attempt
# mypy: ignore-errors
from levante import workflow


@workflow.define
class Mistake:
    @workflow.entrypoint
    async def run(self) -> None: ...


def other():
    @workflow.define
    class Other:
        @workflow.entrypoint
        async def run(self) -> None: ...

    return Other


async def attempt(environment):
    await environment.start(other())
