"""What the commands are told, and what they would be answered."""

ONE = "/v1/workflows/executions/e1"
END_STREAM = "/v1/workflows/events/stream"
EXECUTE = "/v1/workflows/w/execute"
WHOAMI = "/v1/workflows/workers/whoami"
WORKFLOW_SOURCE = """
from levante import workflow

@workflow.define(name="first")
class First:
    @workflow.entrypoint
    async def run(self) -> None: ...

@workflow.define(name="second")
class Second:
    @workflow.entrypoint
    async def run(self) -> None: ...
"""
