"""Types that are inferred are inferred by other checkers than mypy, too: editors show what pyright finds."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "tests" / "typing" / "client.py"


def problems(file: Path, place: Path) -> list[str]:
    """Return what basedpyright finds wrong with a file, by the rules that it has in common with pyright."""
    checker = shutil.which("basedpyright", path=str(Path(sys.executable).parent))
    if checker is None:
        pytest.fail("basedpyright is not installed beside this Python: run `make setup`")
    config = place / "pyrightconfig.json"
    config.write_text(json.dumps({"include": [str(file)], "typeCheckingMode": "standard", "pythonVersion": "3.11"}))
    command = [checker, "--outputjson", "--project", str(config), "--pythonpath", sys.executable]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    return [f"{one['range']['start']['line'] + 1}: {one['message']}" for one in report["generalDiagnostics"]]


@pytest.mark.slow
def test_client_when_checked_by_pyright_then_it_infers_the_same_types_as_mypy(tmp_path: Path) -> None:
    """The result of a workflow has a type without a word from the caller."""
    assert problems(CLIENT, tmp_path) == []


@pytest.mark.slow
def test_client_when_another_type_is_expected_then_pyright_says_so(tmp_path: Path) -> None:
    """It does look at the file, and finds the packages."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text(CLIENT.read_text(encoding="utf-8").replace("result(timeout=1), Receipt)", "result(timeout=1), Order)"))
    (problem,) = problems(wrong, tmp_path)
    assert '"Order" but received "Receipt"' in problem
