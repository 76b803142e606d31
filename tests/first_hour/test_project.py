"""What `levante init` writes runs as it is: its test, its workflow, and the commands of its README."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.first_hour.test_dev import LEVANTE, SERVES, Terminal, terminal

__all__ = ["terminal"]


def commands_of(readme: str) -> list[str]:
    """Return what the page tells people to type, without their remarks."""
    return [line[2:].partition("  #")[0].strip() for line in readme.splitlines() if line.startswith("$ ")]


def test_project_when_it_is_new_then_its_readme_leads_to_results(terminal: Terminal, tmp_path: Path) -> None:
    """Each command as printed, but for the making of an environment, which this is; the port alone is given."""
    terminal.file.unlink()
    terminal.said(f"{LEVANTE} init")
    commands = commands_of((tmp_path / "README.md").read_text())
    assert [command.split()[0] for command in commands] == ["python", "pip", *["levante"] * 5, "python"]
    dev, *others = commands[2:]
    running = terminal.run(f"{sys.executable} -m {dev} --port {terminal.port}")
    running.expect(SERVES)
    said = [terminal.said(f"{LEVANTE} {command.removeprefix('levante ')}") for command in others if "levante" in command]
    assert said[0].endswith('{"result": "charged 250 cents for tea"}')
    assert said[-1].endswith('{"result": "charged 900000 cents for piano"}')
    running.sendintr()


def test_project_when_its_test_is_run_then_it_passes(terminal: Terminal, tmp_path: Path) -> None:
    """With pytest as a user has it."""
    terminal.file.unlink()
    terminal.said(f"{LEVANTE} init")
    command = shlex.split(f"{sys.executable} -m pytest -p no:randomly -p no:cacheprovider")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, re.findall(r"(\d+) passed", done.stdout)) == (0, ["2"]), done.stdout + done.stderr
