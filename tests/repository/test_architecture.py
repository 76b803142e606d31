"""The shape of the project: who may import whom, how large a module may grow, what an installation pulls in."""

import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PACKAGES = sorted([*ROOT.glob("functions/*/levante_*"), ROOT / "core/levante_core", ROOT / "worker_runtime/levante"])
MOST_LINES = 400

NEVER_NEEDED_AT_RUN_TIME = {
    "boto3",
    "botocore",
    "coverage",
    "hypothesis",
    "import-linter",
    "mistralai",
    "moto",
    "mypy",
    "psutil",
    "pytest",
    "pytest-cov",
    "pytest-randomly",
    "pytest-timeout",
    "ruff",
}


@pytest.mark.slow
def test_imports_when_linted_then_every_contract_is_kept() -> None:
    """Arrows of import point one way; the contracts are in pyproject.toml."""
    lint_imports = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if lint_imports is None:
        pytest.fail("lint-imports is not installed beside this Python: run `make setup`")
    report = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert report.returncode == 0, report.stdout + report.stderr


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_modules_when_counted_then_none_is_over_the_limit(package: Path) -> None:
    """A module is one thing; none has more than 400 lines."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in package.rglob("*.py")}
    assert lengths
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_packages_when_shipped_then_they_are_typed(package: Path) -> None:
    """Users' type checkers see our annotations."""
    assert (package / "py.typed").exists()


def test_installation_without_extras_then_it_pulls_in_no_tool_and_no_boto3() -> None:
    """`pip install levante` is lean: tools stay in dependency groups, boto3 in the extra `aws`."""
    requirements = [Requirement(line) for line in requires("levante") or []]
    plain = {req.name for req in requirements if req.marker is None or req.marker.evaluate({"extra": ""})}
    assert "pydantic" in plain
    assert plain & NEVER_NEEDED_AT_RUN_TIME == set()
