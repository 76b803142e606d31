"""One worker process, workflows that would hold it up for ever, and good ones beside them."""

import json
import time

import pytest

from tests.e2e.test_crashes import HERE
from tests.support.processes import LocalSite, Process, Refused, wait_until

DRAIN_SECONDS = 1
PATIENCE_SECONDS = 20.0
"""Within which a good execution ends while hostile code is ended time and again, on a machine that has other work."""


@pytest.fixture
def worker(local_site: LocalSite) -> Process:
    """The only worker."""
    worker = local_site.start_worker("hostile", HERE, DRAIN_SECONDS=str(DRAIN_SECONDS))
    local_site.wait_for_workers(1)
    return worker


def good_ones_end(site: LocalSite) -> None:
    """Start some good executions, and wait for their results."""
    started = [site.start("good", {"number": number}) for number in range(3)]
    results = [site.wait_for_result(execution, PATIENCE_SECONDS) for execution in started]
    assert [result["result"] if isinstance(result, dict) else result for result in results] == [0, 4, 8]


def fails(site: LocalSite, execution: str, failure: str) -> None:
    """Wait until the history of an execution says that its code failed so; it stays open."""
    wait_until(lambda: failure in json.dumps(site.history(execution)), f"{execution} says {failure}")
    assert site.status(execution) == "RUNNING"


def ends_at_first_signal(worker: Process) -> None:
    """Ask the worker to end, once, and see it gone in time."""
    began_at = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began_at < DRAIN_SECONDS + PATIENCE_SECONDS


@pytest.mark.parametrize("kind", ["busy loop", "sleep(0) loop", "condition"])
def test_code_when_it_never_waits_then_the_worker_ends_it_and_goes_on_with_others(
    local_site: LocalSite, worker: Process, kind: str
) -> None:
    """Containment: the execution says where its code was, and is tried again later."""
    execution = local_site.start("hostile", {"kind": kind})
    good_ones_end(local_site)
    fails(local_site, execution, "TurnTooLong")
    assert "hostile.py" in json.dumps(local_site.history(execution))
    good_ones_end(local_site)
    ends_at_first_signal(worker)


def test_constructor_when_it_never_ends_then_the_worker_ends_it_and_goes_on(local_site: LocalSite, worker: Process) -> None:
    """What makes the instance is watched like the rest."""
    execution = local_site.start("hostile_constructor", {})
    good_ones_end(local_site)
    fails(local_site, execution, "TurnTooLong")
    ends_at_first_signal(worker)


@pytest.mark.parametrize("kind", ["swallower", "finally"])
def test_run_when_it_does_not_end_when_it_is_thrown_away_then_the_worker_leaves_it(
    local_site: LocalSite, worker: Process, kind: str
) -> None:
    """The execution has completed: what is left of its code costs nobody anything. Code that waits is just closed."""
    for _ in range(3):
        local_site.wait_for_result(local_site.start("hostile", {"kind": kind}), PATIENCE_SECONDS)
    good_ones_end(local_site)
    assert ("holds up this worker" in worker.log.read_text()) is (kind == "finally")
    ends_at_first_signal(worker)


def test_query_when_it_never_ends_then_who_asks_is_told_and_the_worker_goes_on(
    local_site: LocalSite, worker: Process
) -> None:
    """A query handler has the same time as other code."""
    execution = local_site.start("hostile", {"kind": "waits"})
    with pytest.raises(Refused, match=r"TurnTooLong|without waiting"):
        local_site.call("POST", f"/v1/workflows/executions/{execution}/queries", {"name": "spins", "input": {}})
    assert local_site.status(execution) == "RUNNING"
    good_ones_end(local_site)
    ends_at_first_signal(worker)


def test_network_when_workflow_code_uses_it_then_it_is_refused_and_named(local_site: LocalSite, worker: Process) -> None:
    """The history names the call and its line."""
    execution = local_site.start("hostile", {"kind": "network"})
    fails(local_site, execution, "urllib.request.urlopen")
    good_ones_end(local_site)
    ends_at_first_signal(worker)


def test_worker_when_it_is_told_to_stop_while_code_spins_then_it_ends_all_the_same(
    local_site: LocalSite, worker: Process
) -> None:
    """What was not advanced waits for another worker; the code of exit says whether all of it was handed over."""
    for kind in ("busy loop", "sleep(0) loop", "condition"):
        local_site.start("hostile", {"kind": kind})
    assert worker.stop() in {0, 1}
