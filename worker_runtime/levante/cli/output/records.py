"""How one execution, or one run of it, is found and shown."""

from __future__ import annotations

from levante.cli.client import Answer, segment
from levante.cli.output.text import print_json, print_record

RECORD = [
    "execution_id",
    "workflow_name",
    "status",
    "start_time",
    "end_time",
    "deployment_name",
    "build_id",
    "parent_execution_id",
    "run_id",
    "search_keys",
    "parked",
    "result",
    "failure",
]


def execution_path(execution_id: str) -> str:
    """Return the path of an execution."""
    return f"/v1/workflows/executions/{segment(execution_id)}"


def print_execution(answer: Answer, *, as_json: bool) -> None:
    """Print an execution."""
    if as_json:
        print_json(answer)
        return
    answer.field("execution_id", str)
    print_record({name: value for name, value in answer.value.items() if value != {}}, RECORD)
