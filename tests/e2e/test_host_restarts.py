"""The host is killed, or stands still, while workers live: what they have finished does not run again."""

import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.support.processes import LocalSite, wait_until

HERE = Path(__file__).parent
CHAINS = 50
STEPS = 16
SECONDS = 0.25
STANDSTILL_SECONDS = 36.0
"""Longer than a lease."""


def ends(directory: Path) -> Counter[tuple[str, int]]:
    """Tell how often each step of each chain ended."""
    found: Counter[tuple[str, int]] = Counter()
    for trace in directory.glob("chain-*"):
        for line in trace.read_text().splitlines():
            what, number, _ = line.split()
            found[trace.name, int(number)] += what == "end"
    return found


def has_steps(directory: Path, wanted: int) -> bool:
    return ends(directory).total() >= wanted


def started_chains(site: LocalSite, directory: Path) -> list[str]:
    """Start two workers, and chains of steps."""
    for _ in range(2):
        site.start_worker("steps", HERE)
    site.wait_for_workers(2)
    return [
        site.start("steps", {"path": str(directory / f"chain-{number}"), "count": STEPS, "seconds": SECONDS})
        for number in range(CHAINS)
    ]


def assert_each_step_ran_once(site: LocalSite, directory: Path, executions: list[str]) -> None:
    for execution in executions:
        assert site.wait_for_result(execution, 120) == {"result": STEPS}
    found = ends(directory)
    assert len(found) == CHAINS * STEPS
    assert {step: times for step, times in found.items() if times != 1} == {}


@pytest.mark.timeout(240)
def test_host_killed_three_times_while_its_workers_live_then_no_finished_step_runs_again(
    local_site: LocalSite, tmp_path: Path
) -> None:
    """Workers claim their leases back before the host sends anything anew."""
    executions = started_chains(local_site, tmp_path)
    for quarters in (1, 2, 3):
        wanted = quarters * CHAINS * STEPS // 4
        wait_until(partial(has_steps, tmp_path, wanted), f"{wanted} steps have ended", 120)
        assert local_site.host
        local_site.host.kill()
        local_site.start_host()
    assert_each_step_ran_once(local_site, tmp_path, executions)


@pytest.mark.timeout(300)
def test_host_that_stood_still_for_longer_than_a_lease_then_no_finished_step_runs_again(
    local_site: LocalSite, tmp_path: Path
) -> None:
    """Calls of workers that waited to be read come before the end of their leases."""
    executions = started_chains(local_site, tmp_path)
    wait_until(partial(has_steps, tmp_path, CHAINS * STEPS // 4), "a quarter has ended", 120)
    assert local_site.host
    local_site.host.signal(signal.SIGSTOP)
    time.sleep(STANDSTILL_SECONDS)  # what stands still shows nothing that could be waited for
    local_site.host.signal(signal.SIGCONT)
    assert_each_step_ran_once(local_site, tmp_path, executions)
