"""From nothing to a first result: a fresh environment, the wheel alone, one file and three commands."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.first_hour.test_dev import CHECKOUT, SERVES, Terminal, ended, terminal
from tests.support.forms import is_full

__all__ = ["is_full", "terminal"]

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif("not is_full()", reason="installs the wheel into a fresh environment: make test-full")
MOST_LINES = 8
"""Printed on the way, what the installer says left out."""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What users install."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(directory), str(ROOT)]
    subprocess.run(command, check=True)
    (found,) = directory.glob("levante-*.whl")
    return found


@pytest.mark.timeout(600)
def test_newcomer_when_there_is_nothing_but_python_then_three_commands_bring_a_result(
    wheel: Path, terminal: Terminal
) -> None:
    """No key, no name, no second file; and what is printed fits on a screen."""
    terminal.file.write_text(CHECKOUT)
    subprocess.run([sys.executable, "-m", "venv", str(terminal.directory / "venv")], check=True)
    programs = terminal.directory / "venv" / "bin"
    typed = [
        f"{programs}/pip install --quiet {wheel}",
        f"{programs}/levante dev checkout.py --port {terminal.port}",
        f"{programs}/levante executions start checkout --input '{{\"amount\": 3}}' --wait",
    ]
    install, dev, start = typed
    subprocess.run(shlex.split(install), check=True)
    running = terminal.run(dev)
    running.expect(SERVES)
    printed = (running.before or "") + "\n"
    said = terminal.said(start)
    assert said == '{"result": "paid 3"}'
    running.sendintr()
    code, text = ended(running)
    lines = [line for line in (printed + text + said).splitlines() if line.strip()]
    assert (code, len(lines) <= MOST_LINES) == (0, True), lines
