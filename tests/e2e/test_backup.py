"""A backup that is made while executions run: a host on it carries all of them on."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.processes import LocalSite, wait_until

HERE = Path(__file__).parent
EXECUTIONS = 30
STEPS = 20
LARGE = "x" * 100_000
"""Kept outside of the database."""


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[LocalSite]:
    """Another host on this machine, not started yet."""
    directory = tmp_path / "restored"
    directory.mkdir()
    site = LocalSite(directory)
    yield site
    site.close()


def lines(directory: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in directory.glob("chain-*"))


def has_lines(directory: Path, wanted: int) -> bool:
    return lines(directory) >= wanted


@pytest.mark.timeout(240)
def test_backup_when_taken_under_load_then_a_host_on_it_completes_every_execution(
    local_site: LocalSite, restored: LocalSite, tmp_path: Path
) -> None:
    """Each execution that was open at that moment is there with its payloads, and goes on."""
    local_site.start_worker("steps", HERE)
    local_site.wait_for_workers(1)
    executions = [
        local_site.start(
            "steps", {"path": str(tmp_path / f"chain-{number}"), "count": STEPS, "seconds": 0.1, "ballast": LARGE}
        )
        for number in range(EXECUTIONS)
    ]
    wait_until(partial(has_lines, tmp_path, EXECUTIONS * STEPS // 2), "a quarter of all lines is written")
    before = lines(tmp_path)
    command = [sys.executable, "-m", "levante", "backup", str(restored.directory / "data"), "--data"]
    ended = subprocess.run([*command, str(tmp_path / "data")], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    wait_until(partial(has_lines, tmp_path, before + EXECUTIONS), "the first host goes on")
    local_site.close()

    restored.key = local_site.key
    restored.start_host()
    restored.start_worker("steps", HERE)
    for execution in executions:
        assert restored.wait_for_result(execution, 120) == {"result": STEPS}
