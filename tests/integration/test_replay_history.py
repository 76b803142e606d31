"""Histories as the API gives them are replayed against code: by `replay_history` and by `levante replay`."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import levante as workflows
from levante import NonDeterminismError, replay_history
from levante.cli import main
from levante.replay.endings import WorkflowCodeFailed
from levante_local.greenlets import call
from tests.integration import child_workflows, message_workflows, scenarios, task_workflows
from tests.support.direct import WORKSPACE, Installation


@workflows.workflow.define(name="replayed")
class Replayed:
    """Waits for two letters between two activities."""

    def __init__(self) -> None:
        self.letters: list[str] = []

    @workflows.workflow.entrypoint
    async def run(self) -> list[str]:
        """Answer when both are there."""
        await scenarios.plain("replayed")
        await workflows.workflow.wait_condition(lambda: len(self.letters) == 2)
        await workflows.workflow.sleep(0.01)
        return self.letters

    @workflows.workflow.signal(name="letter")
    def take(self, text: str) -> None:
        """Keep it."""
        self.letters.append(text)


def changed(end: Callable[[Replayed], Awaitable[list[str]]]) -> type:
    """Make another version of the workflow, with another end."""

    @workflows.workflow.define(name="replayed")
    class Changed(Replayed):
        @workflows.workflow.entrypoint
        async def run(self) -> list[str]:
            await scenarios.plain("replayed")
            await workflows.workflow.wait_condition(lambda: len(self.letters) == 2)
            return await end(self)

    return Changed


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A history with messages that were taken at once."""

    async def record() -> dict[str, Any]:
        place = Installation(tmp_path_factory.mktemp("replayed"))
        async with place.running():
            async with place.worker([Replayed], scenarios.ACTIVITIES):
                execution = await place.start("replayed", {})
                while not any(event["kind"] == "activity_completed" for event in (await place.history(execution))["events"]):
                    await asyncio.sleep(0.01)
            for text in ("one", "two"):
                await call(place.engine.messages.signal, WORKSPACE, execution, "letter", {"text": text})
            async with place.worker([Replayed], scenarios.ACTIVITIES):
                await place.result(execution)
                return await place.history(execution)

    return asyncio.run(record())


def test_history_when_the_code_is_the_same_then_replay_says_nothing(history: dict[str, Any], tmp_path: Path) -> None:
    """From what the API answers, and from a file."""
    path = tmp_path / "history.json"
    path.write_text(json.dumps(history))
    assert any(event.get("taken_until") == 2 for event in history["events"])
    for given in (history, path, str(path)):
        replay_history(given, Replayed)


@pytest.mark.parametrize("until", range(1, 7))
def test_history_when_it_is_still_growing_then_it_is_replayed_as_far_as_it_goes(history: dict[str, Any], until: int) -> None:
    """An open execution can be asked for its history at any time, after any batch."""
    events = history["events"][:until]
    if len(events) == len(history["events"]) or events[-1]["recorded_at"] != history["events"][until]["recorded_at"]:
        replay_history({**history, "events": events}, Replayed)


def test_history_when_the_code_has_changed_then_the_first_difference_is_shown(history: dict[str, Any]) -> None:
    """With the events before it, under the ids that the API gives them."""

    async def end(self: Replayed) -> list[str]:
        await scenarios.plain("more")
        return self.letters

    with pytest.raises(NonDeterminismError) as raised:
        replay_history(history, changed(end))
    timer = next(event for event in history["events"] if event["kind"] == "timer_started")
    assert raised.value.event_id == timer["event_id"]
    lines = str(raised.value).splitlines()
    assert lines[-2].split() == ["-", str(timer["event_id"]), "timer_started", "(command", "2)"]
    assert lines[-1].split() == ["+", "activity_scheduled", "'scenario-plain'", "(command", "2)"]
    before = [event for event in history["events"] if event["event_id"] < timer["event_id"]]
    assert [line.split()[:2] for line in lines[1:-2]] == [[str(one["event_id"]), one["kind"]] for one in before[-4:]]


def test_history_when_the_code_fails_then_that_is_raised(history: dict[str, Any]) -> None:
    """It is no difference, but no success either."""

    async def end(self: Replayed) -> list[str]:
        raise ZeroDivisionError

    with pytest.raises(WorkflowCodeFailed) as raised:
        replay_history(history, changed(end))
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    "document", [{}, [], {"events": []}, {"execution_id": "e", "run_id": "r", "events": [{"kind": "execution_started"}]}]
)
def test_history_when_it_is_none_then_the_error_says_so(document: Any, tmp_path: Path) -> None:
    """Such as the answer of another endpoint."""
    path = tmp_path / "history.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="no history of an execution"):
        replay_history(path, Replayed)


@pytest.mark.parametrize(
    ("workflow", "input_", "classes", "activities"),
    [
        ("scenario-fan", {"key": "replayed-fan", "width": 20}, scenarios.ALL, scenarios.ACTIVITIES),
        ("scenario-waits", {"key": "replayed-waits"}, scenarios.ALL, scenarios.ACTIVITIES),
        ("children-parent", {"labels": ["r1", "r2"]}, child_workflows.WORKFLOWS, child_workflows.ACTIVITIES),
        ("tasks-tell", {"label": "r", "questions": 2}, task_workflows.WORKFLOWS, task_workflows.ACTIVITIES),
    ],
)
def test_histories_when_workflows_of_all_kinds_wrote_them_then_they_are_replayed(
    workflow: str, input_: Any, classes: list[type], activities: list[Any], tmp_path: Path
) -> None:
    """Facts, timers, children and tasks included."""

    async def record() -> dict[str, Any]:
        place = Installation(tmp_path)
        async with place.running(), place.worker(classes, activities):
            execution = await place.start(workflow, input_)
            await place.result(execution)
            return await place.history(execution)

    recorded = asyncio.run(record())
    (cls,) = (one for one in classes if workflows.get_workflow_definition(one).name == workflow)
    replay_history(recorded, cls)


def test_command_when_called_then_it_finds_the_workflow_and_prints_the_difference(
    history: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the current directory; exit code 1 says that executions could not go on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "history.json").write_text(json.dumps(history))
    same = CliRunner().invoke(main, ["replay", "history.json", f"{__name__}:Replayed"])
    assert (same.exit_code, same.output) == (0, "replayed: the code matches this history\n")
    (tmp_path / "replayed_later.py").write_text(
        "import levante as workflows\n\n\n"
        "@workflows.workflow.define(name='replayed')\n"
        "class Later:\n"
        "    @workflows.workflow.entrypoint\n"
        "    async def run(self) -> list[str]:\n"
        "        return []\n"
    )
    later = CliRunner().invoke(main, ["replay", "history.json", "replayed_later"])
    assert later.exit_code == 1
    assert "- " in later.output
    assert "+         execution_completed (command 1)" in later.output
    other = CliRunner().invoke(main, ["replay", "history.json", message_workflows.__name__])
    assert other.exit_code == 1
    assert "the history is of workflow 'replayed'" in other.output
