"""A worker that is one task of a program of the user's."""

import sys
from pathlib import Path

import pytest

from tests.behaviour.modes import ROOT
from tests.support.processes import LocalSite, Process


@pytest.mark.slow
def test_worker_when_detached_then_it_serves_until_the_program_that_started_it_ends(site: LocalSite, tmp_path: Path) -> None:
    """`run_worker(detach=True)` returns at once, with the task that serves."""
    end = tmp_path / "end"
    program = Process(
        [sys.executable, "-m", "tests.behaviour.detached", str(end)],
        tmp_path / "log",
        {"LEVANTE_SERVER_URL": site.url, "LEVANTE_API_KEY": site.key, "DEPLOYMENT_NAME": "detached"},
        ROOT,
    )
    try:
        site.wait_for_workers(1, "detached")
        execution = site.start("behaviour-child", {"text": "a"}, deployment_name="detached")
        assert site.wait_for_result(execution) == {"result": "a"}
        end.touch()
        assert program.wait() == 0, program.log.read_text()
    finally:
        program.kill()
