"""The guides' code: each page has workflow code, and a test of it, which is run here."""

import asyncio
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from levante.testing import ExecutionNotCompleted, WorkflowEnvironment
from levante_core.errors import HandlerFailed

pytestmark = pytest.mark.levante
GUIDES = sorted((Path(__file__).parents[2] / "docs" / "guides").glob("*.md"))
GIVEN: dict[str, Any] = {
    "ExecutionNotCompleted": ExecutionNotCompleted,
    "HandlerFailed": HandlerFailed,
    "WorkflowEnvironment": WorkflowEnvironment,
    "asyncio": asyncio,
    "pytest": pytest,
}
"""What the tests of the pages import."""


def blocks(page: Path) -> list[str]:
    """Return the Python of a page."""
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
async def test_guide_when_its_test_is_run_then_its_code_does_what_it_says(
    page: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Two blocks a page: code as a user would write it, and `test()`."""
    code, test = blocks(page)
    module = ModuleType(f"guide_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, str(page), "exec"), module.__dict__)  # noqa: S102 - our own pages
    names = {**module.__dict__, **GIVEN}
    exec(compile(test, str(page), "exec"), names)  # noqa: S102 - same
    fixtures = inspect.signature(names["test"]).parameters
    await names["test"](**{name: request.getfixturevalue(name) for name in fixtures})


def test_guides_when_listed_then_each_is_there() -> None:
    """A page that is not found is not tested."""
    expected = {
        "activities",
        "workflows",
        "messages",
        "children",
        "cancellation",
        "tasks",
        "dependencies",
        "logs-and-traces",
    }
    assert {page.stem for page in GUIDES} == expected
