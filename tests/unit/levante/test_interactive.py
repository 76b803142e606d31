"""Interactive workflows as code and registration see them, driven by hand."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

import levante as workflows
from levante.definition.definitions import get_workflow_definition
from levante.errors import WorkflowsException
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.run import WorkflowRun
from levante_core.protocol import CancelRequested, Command, RunMessage, RunStart, UpdateRequested

DOCS = Path(__file__).parents[3] / "docs"
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Vote(BaseModel):
    yes: bool
    why: str = Field(default="", alias="because")


class Nested(BaseModel):
    votes: list[Vote]


class Council(workflows.InteractiveWorkflow):
    """No workflow itself."""

    @workflows.workflow.signal(name="adjourn")
    def adjourn(self) -> None:
        """Do nothing."""


@workflows.workflow.define(name="vote")
class AskForVote(Council):
    def __init__(self) -> None:
        self.asked = "nothing yet"

    @workflows.workflow.entrypoint
    async def run(self, model: str = "vote") -> str:
        models: dict[str, Any] = {"vote": Vote, "nested": Nested, "text": str, "instance": Vote(yes=True)}
        answer = await self.wait_for_input(models[model], label="Vote")
        return repr(answer)


def started(given: Any = None) -> WorkflowRun:
    start = {"workflow_name": "vote", "input": given, "started_at": AT, "deadline_at": AT}
    return WorkflowRun(get_workflow_definition(AskForVote), "e", "r", RunStart.model_validate(start))


@pytest.fixture
def run() -> Iterator[WorkflowRun]:
    run = started()
    yield run
    run.dispose()


def pending(run: WorkflowRun) -> list[dict[str, Any]]:
    answer: Any = run.query("__get_pending_inputs", None)
    found: list[dict[str, Any]] = answer["pending_inputs"]
    return found


def submission(number: int, task_id: str, value: Any) -> UpdateRequested:
    given = {"task_id": task_id, "input": value}
    return UpdateRequested(number=number, at=AT, name="__submit_input", input=given)


def by_kind(commands: Sequence[Command]) -> list[Any]:
    """Return commands without the events of tasks, and without search keys."""
    return [command for command in commands if command.kind not in {"task_published", "search_keys_changed"}]


def test_workflow_when_derived_then_it_is_registered_with_the_handlers_of_all_its_bases() -> None:
    """Clients find the query and the update in the description of the workflow, with their schemas."""
    spec = get_workflow_definition(AskForVote).spec("d")
    assert [signal.name for signal in spec.signals] == ["adjourn"]
    (query,), (update,) = spec.queries, spec.updates
    assert (query.name, update.name) == ("__get_pending_inputs", "__submit_input")
    assert set(update.input_schema["properties"]) == {"task_id", "input"}
    assert update.input_schema["required"] == ["task_id", "input"]
    assert query.output_schema is not None
    assert set(query.output_schema["properties"]) == {"pending_inputs"}


def test_inputs_when_nothing_is_asked_yet_then_none_are_pending_and_none_are_taken(run: WorkflowRun) -> None:
    """A user's constructor need not call ours; a submission that comes before the code begins is refused."""
    (refused,) = by_kind(run.begin([submission(1, "any", {"yes": True})]))
    assert refused.kind == "update_failed"
    assert len(pending(run)) == 1


def test_input_when_it_is_waited_for_then_the_execution_is_found_by_that(run: WorkflowRun) -> None:
    """SDK contract §5: `internal.execution.state` is there for as long as a wait is open."""
    run.begin()
    assert run.search_keys == {"internal.execution.state": "waiting_for_input"}
    (asked,) = pending(run)
    run.receive([submission(1, asked["task_id"], {"yes": True})])
    assert run.search_keys == {}


def test_input_when_its_model_is_nested_then_the_schema_is_complete() -> None:
    """A client needs nothing but the schema to make a form."""
    run = started({"model": "nested"})
    run.begin()
    (asked,) = pending(run)
    assert set(asked["input_schema"]["$defs"]) == {"Vote"}
    assert asked["input_schema"]["type"] == "object"
    (answered, ended) = by_kind(run.receive([submission(1, asked["task_id"], {"votes": [{"yes": True, "because": "x"}]})]))
    assert (answered.kind, answered.result) == ("update_completed", {})
    assert ended.result == {"result": "Nested(votes=[Vote(yes=True, why='x')])"}


def test_input_when_two_come_at_once_then_the_second_is_refused(run: WorkflowRun) -> None:
    """Both are in one delivery: the code has not gone on between them."""
    run.begin()
    (asked,) = pending(run)
    both: list[RunMessage] = [submission(number, asked["task_id"], {"yes": number == 1}) for number in (1, 2)]
    first, second, ended = by_kind(run.receive(both))
    assert (first.kind, first.update) == ("update_completed", 1)
    assert (second.kind, second.update, second.failure.non_retryable) == ("update_failed", 2, True)
    assert "yes=True" in ended.result["result"]


def test_wait_when_it_is_cancelled_with_its_answer_then_its_task_has_failed(run: WorkflowRun) -> None:
    """One delivery with both: the request to end is what the code sees."""
    run.begin()
    (asked,) = pending(run)
    commands = run.receive([submission(1, asked["task_id"], {"yes": True}), CancelRequested(number=2, at=AT)])
    assert [command.event.phase.value for command in commands if command.kind == "task_published"] == ["failed"]
    assert commands[-1].kind == "execution_canceled"


@pytest.mark.parametrize("model", ["text", "instance"])
def test_wait_when_its_model_is_none_then_the_code_is_wrong(model: str) -> None:
    """Only the class of a model has a schema and reads an input."""
    run = started({"model": model})
    with pytest.raises(WorkflowCodeFailed, match="has to be the class of a pydantic model") as failed:
        run.begin()
    assert isinstance(failed.value.__cause__, WorkflowsException)
    run.dispose()


def test_wait_when_replayed_then_its_id_is_the_same() -> None:
    """The id comes from the run, so that it is the same for every worker."""
    ids = set()
    for _ in range(2):
        run = started()
        run.begin()
        ids.add(pending(run)[0]["task_id"])
        run.dispose()
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("page", "cls", "given"), [("interactive.md", "Expense", "report"), ("parallel.md", "Index", "urls")]
)
def test_guide_when_its_first_example_is_run_then_it_waits(page: str, cls: str, given: str) -> None:
    """What the docs show works: it begins, and waits for a person, or for a child that handles the items."""
    block = re.search(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert block
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(block[1], page, "exec"), names)  # noqa: S102 - our own page
    definition = get_workflow_definition(names[cls])
    value = {given: ["a"] if given == "urls" else "a"}
    start = {"workflow_name": definition.name, "input": value, "started_at": AT, "deadline_at": AT}
    run = WorkflowRun(definition, "e", "r", RunStart.model_validate(start))
    asked = [command.kind for command in by_kind(run.begin())]
    assert asked == (["child_scheduled"] if given == "urls" else ["timer_started"])
    run.dispose()
