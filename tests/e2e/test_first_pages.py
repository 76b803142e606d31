"""README and quickstart, done as they say: each command is typed, and prints what the page shows.

`make test-docs` installs as they say, too; `make test-slow` uses the environment that the tests run in.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.forms import either
from tests.support.pages import INSTALLS, ROOT, Terminals, evaluate, parse
from tests.support.processes import free_port

pytestmark = pytest.mark.timeout(600 if INSTALLS in os.environ else 120)


INSTALLATIONS = {"README.md": 1, "docs/quickstart.md": 2}
"""How many blocks of a page install something: Levante, and the official client."""


@pytest.mark.parametrize("name", either(short=["README.md"], full=list(INSTALLATIONS)))
def test_page_when_a_reader_does_what_it_says_then_it_prints_what_it_shows(name: str, tmp_path: Path) -> None:
    """In an empty directory with a host that has no data; with INSTALLS in a new checkout, without an environment."""
    environment = Path(sys.prefix)
    path = os.environ["PATH"]
    if INSTALLS not in os.environ:
        (tmp_path / ".venv").symlink_to(environment)
        path = f"{environment / 'bin'}:{path}"
    else:
        tmp_path = tmp_path / "levante"
        subprocess.run(["git", "clone", "--quiet", ROOT, tmp_path], check=True)  # noqa: S607 - whichever is there
        path = ":".join(part for part in path.split(":") if Path(part) != environment / "bin")
    terminals = Terminals(tmp_path, free_port(), path)
    try:
        skipped = evaluate(parse(ROOT / name, python=terminals.save, console=terminals.type))
    finally:
        terminals.close()
    assert skipped == (0 if INSTALLS in os.environ else INSTALLATIONS[name])
