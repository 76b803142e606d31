"""Workers are told to stop at bad moments: nothing is lost, nothing overlaps, and the process is gone in time."""

import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import LocalSite, Process, free_port, wait_until

HERE = Path(__file__).parent
DRAIN_SECONDS = 1
GONE_SECONDS = DRAIN_SECONDS + 2
SLACK_SECONDS = 2.0
"""The machine may be busy with other tests."""


def seconds_to_end(worker: Process) -> float:
    """Tell a worker to stop. Returns how long it took."""
    began = time.monotonic()
    worker.stop()
    return time.monotonic() - began


def begun(site: LocalSite, kind: str, trace: Path) -> tuple[Process, str]:
    """Start a worker and an execution, and wait until its activity has begun. Returns the worker and the execution's id."""
    worker = site.start_worker("stops", HERE, DRAIN_SECONDS=str(DRAIN_SECONDS))
    site.wait_for_workers(1)
    execution = site.start("stops", {"kind": kind, "trace": str(trace)})
    wait_until(trace.exists, "the activity has begun")
    return worker, execution


@pytest.mark.broad
@pytest.mark.parametrize("kind", ["rows", "rows in a thread"])
@pytest.mark.parametrize("rows", [0, 7, 60])
def test_heartbeats_when_the_worker_is_stopped_at_some_moment_then_the_next_attempt_knows_the_last_row(
    local_site: LocalSite, tmp_path: Path, rows: int, kind: str
) -> None:
    """What was said last is there for the next attempt, whether that was sent before, was on its way, or had to wait."""
    trace = tmp_path / "trace"
    row = Path(f"{trace}.row")
    worker = local_site.start_worker("stops", HERE, DRAIN_SECONDS="0")
    local_site.wait_for_workers(1)
    execution = local_site.start("stops", {"kind": kind, "trace": str(trace)})
    wait_until(lambda: row.exists() and int(row.read_text() or 0) >= rows, f"{rows} rows are copied")
    assert worker.stop() == 0
    last = int(row.read_text())
    local_site.start_worker("stops", HERE)
    (known,) = local_site.wait_for_result(execution)["result"]
    assert known >= last
    assert {event["kind"] for event in local_site.history(execution)["events"]}.isdisjoint({"activity_failed"})


@pytest.mark.parametrize("kind", ["thread", "thread of the loop", "thread of its own", "hook at the exit", "blocked loop"])
def test_worker_when_something_in_its_process_never_ends_then_the_process_does(
    local_site: LocalSite, tmp_path: Path, kind: str
) -> None:
    """One SIGTERM is enough, whatever user code has left behind; another worker goes on with the execution."""
    worker, execution = begun(local_site, kind, tmp_path / "trace")
    assert seconds_to_end(worker) < GONE_SECONDS + SLACK_SECONDS
    assert kind != "thread" or f"of execution {execution}: attempt 1 ended" in worker.log.read_text()
    local_site.start_worker("stops", HERE)
    assert local_site.wait_for_result(execution) == {"result": "done"}


@pytest.mark.parametrize("kind", ["cleanup in place", "cleanup from the queue"])
def test_activity_when_its_worker_is_stopped_then_it_cleans_up_before_another_attempt_begins(
    local_site: LocalSite, tmp_path: Path, kind: str
) -> None:
    """The two attempts never overlap, and the one that was stopped does not count."""
    trace = tmp_path / "trace"
    worker, execution = begun(local_site, kind, trace)
    local_site.start_worker("stops", HERE)
    local_site.wait_for_workers(2)
    assert seconds_to_end(worker) < GONE_SECONDS + SLACK_SECONDS
    assert local_site.wait_for_result(execution) == {"result": "done"}
    assert trace.read_text().splitlines() == ["began 1", "cleaned-up 1", "began 1"]


def test_activity_when_it_takes_no_notice_of_being_cancelled_then_another_worker_makes_it_anew(
    local_site: LocalSite, tmp_path: Path
) -> None:
    """It holds up neither the end of its worker nor the others that are handed over."""
    worker, execution = begun(local_site, "swallowed cancellation", tmp_path / "trace")
    assert seconds_to_end(worker) < GONE_SECONDS + SLACK_SECONDS
    local_site.start_worker("stops", HERE)
    assert local_site.wait_for_result(execution) == {"result": "done"}


@pytest.mark.parametrize("is_script", [False, True], ids=["levante worker", "python stops.py"])
def test_worker_when_there_is_no_host_then_it_ends_at_the_first_signal(tmp_path: Path, *, is_script: bool) -> None:
    """While it tries to register, nothing has to be drained."""
    command = [sys.executable, "stops.py"] if is_script else [sys.executable, "-m", "levante", "worker", "stops"]
    log = tmp_path / "log"
    settings = {
        "LEVANTE_SERVER_URL": f"http://127.0.0.1:{free_port()}",
        "LEVANTE_API_KEY": "k" * 20,
        "DEPLOYMENT_NAME": "d",
        "LOG_LEVEL": "warning",
    }
    worker = Process(command, log, settings, HERE)
    try:
        wait_until(lambda: "trying again" in log.read_text(), "it has tried to reach the host")
        assert worker.stop() == 0
    finally:
        worker.kill()


def test_worker_when_the_host_is_gone_then_it_ends_at_the_first_signal(local_site: LocalSite, tmp_path: Path) -> None:
    """What it cannot hand back counts as lost, and keeps it no longer than anything else."""
    worker, _ = begun(local_site, "cleanup in place", tmp_path / "trace")
    assert local_site.host
    local_site.host.kill()
    assert seconds_to_end(worker) < GONE_SECONDS + SLACK_SECONDS
