"""Workflow code that no longer fits the history of a running execution."""

from pathlib import Path

from tests.support.processes import Site, wait_until

HERE = Path(__file__).parent


def test_changed_code_when_it_replays_an_old_history_then_the_difference_is_named_and_old_code_completes_it(
    site: Site, tmp_path: Path
) -> None:
    """Invariant 2: a clear error names the first event that differs, the run stays open, and says so."""
    trace = tmp_path / "trace"
    old = site.start_worker("steps", HERE)
    site.wait_for_workers(1)
    execution = site.start("naps", {"path": str(trace), "seconds": 3.0})
    wait_until(lambda: any(e["kind"] == "timer_started" for e in site.history(execution)["events"]), "it sleeps")
    old.kill()
    changed = site.start_worker("changed", HERE)
    reported = "the difference is reported"
    failure = wait_until(lambda: site.history(execution)["workflow_task_failure"], reported, site.patience_seconds)
    assert failure["failure"]["type"] == "NonDeterminismError"
    assert "event 2" in failure["failure"]["message"]
    assert "'step'" in failure["failure"]["message"]
    assert "'announce'" in failure["failure"]["message"]
    assert site.status(execution) == "RUNNING"
    changed.kill()
    site.start_worker("steps", HERE)
    assert site.wait_for_result(execution) == {"result": 2}
