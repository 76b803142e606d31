"""`levante worker` as a process: SIGTERM ends it well."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from levante.client import steps, waiting
from tests.support.cli import Api, api
from tests.unit.levante.cli.commands import WHOAMI, WORKFLOW_SOURCE

__all__ = ["api"]


@pytest.fixture(autouse=True)
def _brief_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "FIRST_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0.005)


@pytest.mark.slow
def test_worker_when_it_is_told_to_stop_then_it_ends_well(api: Api, tmp_path: Path) -> None:
    """SIGTERM is how a worker is ended, so it is no failure; its log is on stderr."""
    (tmp_path / "cli_shop.py").write_text(WORKFLOW_SOURCE)
    refs = [{"workflow_id": "i", "workflow_registration_id": name} for name in ("1", "2")]
    registered = {
        "has_conflicts": False,
        "workflow_registration_ids": ["1", "2"],
        "workflow_registration_refs": refs,
    }
    api.on("POST", "/v1/workflows/register", (200, registered))
    api.on("GET", WHOAMI, (200, {"scheduler_url": "", "namespace": "n"}))
    api.on("POST", "/v1/workflows/workers/poll", (200, {"tasks": []}))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(Path(one).absolute()) for one in sys.path if one),
        "LEVANTE_SERVER_URL": api.url,
        "LEVANTE_API_KEY": "lev_secret",
        "DEPLOYMENT_NAME": "d",
    }
    command = [sys.executable, "-m", "levante", "worker", "cli_shop"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=-1, stderr=-1, text=True) as process:
        while process.poll() is None and not any(asked[1].endswith("/poll") for asked in api.asked):
            time.sleep(0.01)  # wait for the process, which has no clock of ours
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (0, ""), stderr
    assert "first, second" in stderr
