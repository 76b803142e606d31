"""Mistakes of the first hour: each file in `mistakes` makes one, and says on top what its author is to read."""

import asyncio
import importlib
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from levante.cli.exits import CommandFailed
from levante.cli.targets import workflows_of
from levante.testing import ExecutionNotCompleted, WorkflowEnvironment, run_in_virtual_time

FOLDER = Path(__file__).with_name("mistakes")
FILES = sorted(FOLDER.glob("*.py"))
MOST_LINES = 6
HEAD = re.compile(r"# expect: (?P<expect>.+)\n# how: (?P<how>.+)\n")
UNPLACED = frozenset({"attempt", "import-unplaced"})
"""Ways in which a mistake shows where no line of the author's is at work, such as in an answer of the API."""


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave none of the modules behind. A copy of `sys.modules` would load extensions twice, which some refuse."""
    monkeypatch.syspath_prepend(FOLDER)
    yield
    for file in FILES:
        sys.modules.pop(file.stem, None)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_mistake_when_it_is_made_then_the_message_says_where_and_what_to_do(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It names the line, if there is one, and fits on a screen beside the code."""
    head = HEAD.match(file.read_text(encoding="utf-8"))
    assert head, "the file says what is expected"
    message = _message(head["how"], file.stem, caplog)
    assert re.search(head["expect"], message, re.DOTALL), message
    assert head["how"] in UNPLACED or re.search(rf"{file.name}:\d+", message), message
    assert len(message.splitlines()) <= MOST_LINES


def _message(how: str, name: str, caplog: pytest.LogCaptureFixture) -> str:
    """Make the mistake, and return what its author reads."""
    if how.startswith("import"):
        with pytest.raises(CommandFailed) as refused:
            workflows_of([name])
        return refused.value.message
    module = importlib.import_module(name)
    if how == "warning":
        with caplog.at_level(logging.WARNING, "levante.workflow"), pytest.raises(ExecutionNotCompleted):
            run_in_virtual_time(_run(module))
        return next(text for text in caplog.messages if name in text)
    if how == "attempt":
        with pytest.raises(Exception) as answered:  # noqa: PT011 - whatever it is, its text is looked at
            run_in_virtual_time(_attempt(module))
        return str(answered.value)
    with pytest.raises(ExecutionNotCompleted) as ended:
        run_in_virtual_time(_run(module))
    failure = ended.value.failure
    if failure is None:  # what the guard refuses is tried again until the execution is over
        return next(text for text in caplog.messages if "cannot be advanced" in text).splitlines()[0]
    return f"{failure.type}: {failure.message} ({failure.location})"


async def _run(module: ModuleType) -> None:
    async with _environment(module) as environment:
        await environment.execute(module.Mistake)


async def _attempt(module: ModuleType) -> None:
    async with _environment(module) as environment, asyncio.timeout(3600):
        await module.attempt(environment)


def _environment(module: ModuleType) -> WorkflowEnvironment:
    found = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    activities = [module.charge] if hasattr(module, "charge") else []
    environment = WorkflowEnvironment([cls for cls in found if hasattr(cls, "run")], activities=activities)
    environment._serving["fail_on_errors"] = True
    return environment
