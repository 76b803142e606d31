"""Rules that stand in one place stay there, and what is decided by cases is decided for all of them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [file for place in ("core", "functions", "worker_runtime") for file in sorted((ROOT / place).rglob("*.py"))]
OPEN_RUNS = ROOT / "core" / "levante_core" / "storage" / "runs.py"


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _texts(tree: ast.Module) -> Iterator[str]:
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_module_when_it_asks_whether_a_run_is_open_then_it_asks_the_one_that_knows_how_that_is_stored(file: Path) -> None:
    """A write that forgets that the run has to be the latest ends up in another one: `open_run` and its like do not."""
    assert ("is_open" in _texts(_tree(file))) == (file == OPEN_RUNS)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_module_when_it_matches_then_it_says_what_becomes_of_everything_else(file: Path) -> None:
    """What no case fits goes on in silence: with `assert_never`, the type checker finds a case that was forgotten."""
    matches = [node for node in ast.walk(_tree(file)) if isinstance(node, ast.Match)]
    assert [node.lineno for node in matches if not _takes_everything(node.cases[-1])] == []


def _takes_everything(case: ast.match_case) -> bool:
    return case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None
