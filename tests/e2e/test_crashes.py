"""Processes are killed in the middle of their work; history stays right and the work goes on."""

import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import LocalSite, Site, wait_until

HERE = Path(__file__).parent


def lines(trace: Path) -> list[list[str]]:
    """Return the trace, a list of words a line."""
    return [line.split() for line in trace.read_text().splitlines()] if trace.exists() else []


def count(trace: Path, what: str) -> Counter[int]:
    """Tell how often each step started or ended."""
    return Counter(int(number) for kind, number, _ in lines(trace) if kind == what)


def recorded_steps(history: dict[str, Any]) -> set[int]:
    """Return the steps whose outcome is recorded."""
    return {event["result"] for event in history["events"] if event["kind"] == "activity_completed"}


def kill_in_the_middle(site: Site, trace: Path, execution: str) -> set[int]:
    """Kill the worker that runs the execution after some steps. Returns the steps recorded by then."""
    wait_until(lambda: sum(count(trace, "end").values()) >= 8, "eight steps have ended")
    pid = int(lines(trace)[-1][2])
    next(worker for worker in site.workers if worker.pid == pid).kill()
    return recorded_steps(site.history(execution))


def assert_nothing_recorded_ran_again(trace: Path, recorded: set[int], steps: int) -> None:
    """The rule about activities: recorded ones never again, the one in flight at most once more."""
    started, ended = count(trace, "start"), count(trace, "end")
    assert recorded
    assert {number for number in recorded if started[number] != 1} == set()
    assert set(ended) == set(range(steps))
    assert sum(started.values()) <= steps + 1


def test_worker_killed_when_another_is_there_then_it_carries_on_at_once(site: Site, tmp_path: Path) -> None:
    """Invariants 3 and 7: the spare worker resumes from the recorded history, well before the lease would end."""
    trace = tmp_path / "trace"
    for _ in range(2):
        site.start_worker("steps", HERE)
    site.wait_for_workers(2)
    execution = site.start("steps", {"path": str(trace), "count": 20, "seconds": 0.05})
    recorded = kill_in_the_middle(site, trace, execution)
    assert site.wait_for_result(execution, site.recovery_seconds) == {"result": 20}
    assert_nothing_recorded_ran_again(trace, recorded, 20)


def test_worker_killed_when_there_is_no_other_then_the_next_one_carries_on(site: Site, tmp_path: Path) -> None:
    """Invariants 3 and 7: the execution stays RUNNING until a worker comes, and is resumed then."""
    trace = tmp_path / "trace"
    site.start_worker("steps", HERE)
    site.wait_for_workers(1)
    execution = site.start("steps", {"path": str(trace), "count": 20, "seconds": 0.05})
    recorded = kill_in_the_middle(site, trace, execution)
    assert site.status(execution) == "RUNNING"
    site.start_worker("steps", HERE)
    assert site.wait_for_result(execution, 2 * site.recovery_seconds) == {"result": 20}
    assert_nothing_recorded_ran_again(trace, recorded, 20)


def test_worker_stopped_politely_in_the_middle_then_another_carries_on_without_loss(site: Site, tmp_path: Path) -> None:
    """SIGTERM drains: the running step ends and is recorded, and nothing waits for a lease to end."""
    trace = tmp_path / "trace"
    first = site.start_worker("steps", HERE)
    site.wait_for_workers(1)
    execution = site.start("steps", {"path": str(trace), "count": 20, "seconds": 0.05})
    wait_until(lambda: sum(count(trace, "end").values()) >= 5, "five steps have ended")
    assert first.stop() == 0
    site.start_worker("steps", HERE)
    assert site.wait_for_result(execution, site.recovery_seconds) == {"result": 20}
    assert count(trace, "start") == Counter(dict.fromkeys(range(20), 1))


def test_host_killed_in_the_middle_of_many_executions_then_all_complete(local_site: LocalSite, tmp_path: Path) -> None:
    """Invariants 7 and 10: nothing that was acknowledged is lost, and every open run is moved again."""
    trace = tmp_path / "trace"
    site = local_site
    site.start_worker("steps", HERE)
    site.wait_for_workers(1)
    started: list[str] = []
    seen = threading.Lock()

    def start(_: int) -> None:
        execution = site.start("steps", {"path": str(trace), "count": 3, "seconds": 0.2})
        with seen:
            started.append(execution)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(start, range(50)))
    wait_until(lambda: sum(count(trace, "end").values()) >= 30, "many steps have ended")
    assert site.host
    site.host.kill()
    site.start_host()
    for execution in started:
        assert site.wait_for_result(execution) == {"result": 3}
    assert len(started) == 50


def test_executions_shared_by_two_workers_then_both_take_part_and_all_complete(site: Site, tmp_path: Path) -> None:
    """Workers of one deployment are interchangeable and share the load."""
    trace = tmp_path / "trace"
    for _ in range(2):
        site.start_worker("steps", HERE)
    site.wait_for_workers(2)
    many, at_once = site.many
    with ThreadPoolExecutor(at_once) as pool:
        started = list(
            pool.map(lambda _: site.start("steps", {"path": str(trace), "count": 2, "seconds": 0.01}), range(many))
        )
    for execution in started:
        assert site.wait_for_result(execution) == {"result": 2}
    assert {pid for _, _, pid in lines(trace)} == {str(worker.pid) for worker in site.workers}
    assert sum(count(trace, "end").values()) == 2 * many


@pytest.mark.timeout(900)
def test_worker_frozen_past_its_lease_when_it_wakes_then_it_changes_nothing(site: Site, tmp_path: Path) -> None:
    """Invariant 1: who lost the lease commits late and is refused; the history of the other one stands."""
    trace = tmp_path / "trace"
    first = site.start_worker("steps", HERE)
    site.wait_for_workers(1)
    execution = site.start("steps", {"path": str(trace), "count": 6, "seconds": 0.3})
    wait_until(lambda: sum(count(trace, "end").values()) >= 2, "two steps have ended")
    first.signal(signal.SIGSTOP)
    site.start_worker("steps", HERE)
    assert site.wait_for_result(execution, 100) == {"result": 6}
    before = site.history(execution)
    first.signal(signal.SIGCONT)
    other = site.start("steps", {"path": str(trace), "count": 1, "seconds": 0.0})
    assert site.wait_for_result(other) == {"result": 1}
    assert first.stop() == 0
    assert site.history(execution) == before
    assert {event["result"] for event in before["events"] if event["kind"] == "activity_completed"} == set(range(6))
