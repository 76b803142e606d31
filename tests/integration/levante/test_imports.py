"""What importing `levante`, or its command line, brings along."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_command_line_when_imported_then_it_brings_neither_the_worker_nor_the_host() -> None:
    """Commands that only talk to the API start fast."""
    program = (
        "import sys, levante.cli as c; c.main(['--help'], standalone_mode=False); "
        "print(sorted({'aiohttp', 'httpx', 'uvloop', 'uvicorn', 'levante.worker', 'levante_local'} & set(sys.modules)))"
    )
    path = [str(Path(one).absolute()) for one in sys.path if one]
    program = f"import sys; sys.path[:] = {path!r} + sys.path; " + program
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_package_when_imported_then_the_http_client_is_not() -> None:
    """Workflow code is light to import: the worker comes only when it is asked for."""
    code = "import sys, levante; print([name for name in ('aiohttp', 'httpx', 'levante.worker') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
