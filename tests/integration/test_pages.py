"""The Python of the docs runs as it is printed: every block of every page, or the page says why not."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from levante.definition.definitions import WORKFLOW
from levante.testing import WorkflowEnvironment
from tests.support.pages import PAGES, ROOT, Module, evaluate, file_of, parse

DOCS = ROOT / "docs"
WITH_PYTHON = {page for page in PAGES if "```python\n" in page.read_text(encoding="utf-8")}
ELSEWHERE = {
    ROOT / "README.md": "tests/e2e/test_first_pages.py",
    DOCS / "quickstart.md": "tests/e2e/test_first_pages.py",
    DOCS / "client.md": "tests/e2e/test_client_page.py",
    DOCS / "events.md": "tests/e2e/test_client_snippets.py",
    DOCS / "interactive.md": "tests/e2e/test_client_snippets.py",
    DOCS / "schedules.md": "tests/e2e/test_client_snippets.py",
    DOCS / "encoding.md": "tests/compat/test_encoding.py",
}
"""Pages that need a host, or another environment, and which test has it."""
WITH_FILES = {page for page in WITH_PYTHON - ELSEWHERE.keys() if "`test_" in page.read_text(encoding="utf-8")}
"""Pages that show a module and its test."""
PROGRAMS = {"answer.py", "schedule.py", "watch.py"}
"""Files of pages that are programs which call a host."""
ALONE = sorted(WITH_PYTHON - ELSEWHERE.keys() - WITH_FILES)

TO_THE_END: list[tuple[str, str, Any, Any]] = [
    ("concepts.md", "Order", {"order": "kite", "cents": 1200}, "parcel with kite, payment for kite: 1200"),
    ("concepts.md", "Conversion", {"url": "https://example.org/a.wav"}, "/tmp/a.mp3"),  # noqa: S108 - what the page prints
    ("concepts.md", "CloseYear", {"year": 2026}, "parcel with report of 2026, payment for report of 2026: 0"),
    ("concepts.md", "PickOrder", {"customer": {"id": "ann"}}, None),
    ("interactive.md", "Expense", {"report": "Lisbon"}, "nobody answered"),
    ("parallel.md", "Index", {"urls": ["a", "bcd"]}, [1, 3]),
    ("schedules.md", "DailyReport", {"shop": "harbour"}, "the report of harbour"),
]
"""Workflows of the pages that come to an end by themselves: page, class, input, result."""


@pytest.mark.parametrize("page", ALONE, ids=lambda page: page.stem)
def test_page_when_its_python_is_executed_then_nothing_is_missing(page: Path) -> None:
    """One block after the other, as in one module."""
    module = Module(page)
    try:
        evaluate(parse(page, python=module))
    finally:
        module.close()


@pytest.mark.levante
@pytest.mark.parametrize(
    ("page", "name", "given", "result"), TO_THE_END, ids=lambda value: value if isinstance(value, str) else ""
)
async def test_workflow_of_a_page_when_it_is_run_to_its_end_then_it_completes(
    page: str, name: str, given: Any, result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No example fails where a reader runs it, not even after days."""
    module = Module(DOCS / page)
    try:
        evaluate(parse(DOCS / page, python=module), without=PROGRAMS)
        served = [value for value in vars(module.module).values() if isinstance(value, type) and WORKFLOW in vars(value)]
        async with WorkflowEnvironment(served) as environment:
            assert await environment.execute(getattr(module.module, name), given) == result
    finally:
        module.close()


@pytest.mark.slow
def test_pages_with_files_when_a_reader_saves_them_then_pytest_passes(tmp_path: Path) -> None:
    """Each page in a directory of its own, without any configuration."""
    tests = 0
    for page in sorted(WITH_FILES):
        directory = tmp_path / page.stem
        directory.mkdir()
        for example in parse(page, python=print).examples():
            name = file_of(example)
            assert name, f"{example.path}:{example.line} belongs to no file"
            (directory / name).write_text(str(example.parsed), encoding="utf-8")
            tests += str(example.parsed).count("async def test_")
    assert len(WITH_FILES) > 8
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", "error", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(rf"^{tests} passed", ended.stdout, re.MULTILINE), ended.stdout + ended.stderr


def test_pages_when_they_are_tested_elsewhere_then_that_test_is_there() -> None:
    """No page is left out."""
    assert ELSEWHERE.keys() <= WITH_PYTHON
    for page, test in ELSEWHERE.items():
        assert page.name in (ROOT / test).read_text(encoding="utf-8")
