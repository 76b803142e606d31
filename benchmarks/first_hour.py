"""What it takes to begin: packages, megabytes, seconds of import, commands and time to a first result; peers likewise.

    python3 benchmarks/first_hour.py [--write]

Each is installed into a fresh environment, from the package index but for Levante, which is built here. --write puts the
table into benchmarks/first_hour.md. Import time is the least of some runs, less that of Python itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_suffix(".md")
RUNS = 7
PEERS = {
    "DBOS": ("dbos", "dbos"),
    "Restate": ("restate-sdk", "restate"),
    "Temporal": ("temporalio", "temporalio.client, temporalio.worker, temporalio.workflow"),
}
WORKFLOW = """
import levante as workflows

@workflows.activity()
async def charge(amount: int) -> str:
    return f"paid {amount}"

@workflows.workflow.define(name="checkout")
class Checkout:
    @workflows.workflow.entrypoint
    async def run(self, amount: int) -> str:
        return await charge(amount)
"""


@dataclass(frozen=True)
class Figures:
    """Of one environment. seconds: of its installation, with a warm cache of packages or without, as it happens."""

    packages: int
    megabytes: float
    install_seconds: float
    import_seconds: float


def run(*command: str, **more: object) -> str:
    """Run a command to its success, and return what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout  # type: ignore[call-overload,no-any-return]


def environment(directory: Path, requirement: str, modules: str) -> tuple[Path, Figures]:
    """Install something into a fresh environment. Returns its interpreter and the figures."""
    run(sys.executable, "-m", "venv", str(directory))
    python = directory / "bin" / "python"
    run(str(python), "-m", "pip", "install", "--quiet", "--upgrade", "pip")
    began = time.monotonic()
    run(str(python), "-m", "pip", "install", "--quiet", requirement)
    installed = time.monotonic() - began
    listed = json.loads(run(str(python), "-m", "pip", "list", "--format", "json"))
    packages = [one for one in listed if one["name"] not in {"pip", "setuptools", "wheel"}]
    site = Path(run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    ours = [path for path in site.rglob("*") if path.is_file() and path.relative_to(site).parts[0] != "pip"]
    size = sum(path.stat().st_size for path in ours if "pip-" not in path.relative_to(site).parts[0]) / 1e6
    return python, Figures(len(packages), size, installed, _least(python, f"import {modules}") - _least(python, "pass"))


def first_result(python: Path, directory: Path) -> float:
    """Return the seconds from `levante dev checkout.py` to the first result."""
    (directory / "checkout.py").write_text(WORKFLOW)
    port = "18700"
    levante = python.with_name("levante")
    names = {
        name: value for name, value in os.environ.items() if not name.startswith(("LEVANTE_", "MISTRAL_", "DEPLOYMENT_"))
    }
    names |= {"LEVANTE_SERVER_URL": f"http://127.0.0.1:{port}"}
    began = time.monotonic()
    host = subprocess.Popen([levante, "dev", "checkout.py", "--port", port], cwd=directory, env=names)
    try:
        while True:
            start = [levante, "executions", "start", "checkout", "--input", '{"amount": 3}', "--wait", "--timeout", "20"]
            done = subprocess.run(start, cwd=directory, env=names, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return time.monotonic() - began
            if time.monotonic() - began > 60:
                raise RuntimeError(done.stderr)
            time.sleep(0.2)
    finally:
        host.terminate()
        host.wait(30)


def table() -> str:
    """Measure all, and return the table."""
    with tempfile.TemporaryDirectory() as place:
        top = Path(place)
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(top), str(ROOT))
        (wheel,) = top.glob("levante-*.whl")
        python, own = environment(top / "levante", str(wheel), "levante")
        seconds = first_result(python, top)
        rows = {"Levante": own}
        for name, (requirement, modules) in PEERS.items():
            rows[name] = environment(top / name, requirement, modules)[1]
    lines = ["| | packages | MB | install, s | import, s |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {one.packages} | {one.megabytes:.0f} | {one.install_seconds:.0f} | {one.import_seconds:.2f} |"
        for name, one in rows.items()
    ]
    return "\n".join(lines) + (
        f"\n\nLevante: 3 commands and 1 file from nothing to a first result (`pip install`, `levante dev checkout.py`, "
        f"`levante executions start`), the last two in {seconds:.1f} s, server included. The others' servers and databases "
        "are not in the table: DBOS needs a database, Restate and Temporal a server of their own.\n"
    )


def _least(python: Path, code: str) -> float:
    """Return the seconds of the fastest of some runs."""
    times = []
    for _ in range(RUNS):
        began = time.monotonic()
        run(str(python), "-c", code)
        times.append(time.monotonic() - began)
    return min(times)


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    measured = table()
    print(measured)
    if write:
        head = "# The first hour\n\nMeasured by `make bench-first-hour` in one run, on 2 cores, in fresh environments.\n\n"
        PAGE.write_text(head + measured, encoding="utf-8")


if __name__ == "__main__":
    main()
