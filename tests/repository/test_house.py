"""The house stays as it is drawn: rooms that are no drawers, modules that can be read at a sitting, a map that is true."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs import make_map

ROOT = Path(__file__).parents[2]
SOURCES = [file for top in make_map.PACKAGES for file in sorted((ROOT / top).rglob("*.py"))]
UNIT_TESTS = sorted((ROOT / "tests" / "unit").rglob("*.py"))
MOST_LINES = 400
MOST_MODULES = 12
MOST_LINES_OF_A_FUNCTION = 40
LONGER: dict[str, int] = {
    # what every part is built of, in one list
    "levante_core/services/engine.py::build_engine": 111,
    "levante_local/host.py::__init__": 44,
    "levante/testing/installation.py::serving": 45,
    # options of the contract, each with its line of documentation
    "levante/activity.py::_decorator": 48,
    "levante/decorators/workflows.py::define": 57,
    "levante/children.py::execute_workflow": 54,
    "levante/parallel/calling.py::execute_activities_in_parallel": 52,
    "levante/cli/operations/worker.py::worker": 45,
}
"""Functions that may have more lines, and how many: fewer each year, never more."""
PATH = re.compile(r"`((?:core|functions|worker_runtime)/[\w/.-]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_module_when_measured_then_it_and_its_functions_can_be_read(file: Path) -> None:
    """A longer one has a second subject."""
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.count("\n") <= MOST_LINES
    assert ast.get_docstring(tree), "the map has a line for each module"
    too_long = {name: lines for name, lines in _functions(file, tree) if lines > LONGER.get(name, MOST_LINES_OF_A_FUNCTION)}
    assert too_long == {}


def test_files_of_unit_tests_when_measured_then_each_can_be_read() -> None:
    """A longer one is about several things: divide it by them."""
    assert UNIT_TESTS
    lines = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8").count("\n") for file in UNIT_TESTS}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


@pytest.mark.slow
def test_exceptions_when_compared_with_the_code_then_each_is_needed_and_tight() -> None:
    """A list of exceptions that nobody needs any more lets new ones in."""
    lengths: dict[str, int] = {}
    for file in SOURCES:
        for name, lines in _functions(file, ast.parse(file.read_text(encoding="utf-8"))):
            if name in LONGER:
                lengths[name] = max(lines, lengths.get(name, 0))
    assert lengths == LONGER


@pytest.mark.parametrize("folder", sorted({file.parent for file in SOURCES}), ids=lambda one: str(one.relative_to(ROOT)))
def test_package_when_its_modules_are_counted_then_they_are_few(folder: Path) -> None:
    """What has more is a drawer: divide it into rooms."""
    assert len([file for file in folder.glob("*.py") if file.name != "__init__.py"]) <= MOST_MODULES


@pytest.mark.slow
def test_map_when_it_is_drawn_again_then_it_is_the_same() -> None:
    """`make map` was run."""
    page = make_map.PAGE.read_text(encoding="utf-8")
    assert make_map.page(page) == page, "run `make map`"


@pytest.mark.parametrize("page", ["map.md", "architecture.md"])
def test_places_when_a_page_names_them_then_they_are_there(page: str) -> None:
    """Files, and what is defined in them."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    places = set(PATH.findall(text))
    assert places
    for path, name in places:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert not name or re.search(rf"^\s*(?:async def|def|class) {name}\b|^{name}\b", source, re.MULTILINE), (path, name)


def _functions(file: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the name of each function, below its distribution's root, and how many lines it has."""
    short = file.relative_to(
        next(root for root in map(ROOT.joinpath, make_map.PACKAGES) if root in file.parents or root == file.parent).parent
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{short}::{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1
