"""A batch job outlives the host: it goes on where it was, and does nothing twice."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import LocalSite, wait_until

HERE = Path(__file__).parent
EXECUTIONS = 400


def job(site: LocalSite) -> dict[str, Any]:
    """Return the job as it stands."""
    found: dict[str, Any] = site.call("GET", "/v1/batches/b1")
    return found


def has_done(site: LocalSite, count: int) -> bool:
    return int(job(site)["done"]) >= count


@pytest.mark.timeout(240)
def test_rerun_of_many_when_the_host_is_killed_in_its_middle_then_each_starts_once_more_once(
    local_site: LocalSite, tmp_path: Path
) -> None:
    """The new host finds it in the table."""
    worker = local_site.start_worker("steps", HERE)
    local_site.wait_for_workers(1)
    trace = {"path": str(tmp_path / "trace"), "count": 0, "seconds": 0}
    started = [local_site.start("steps", trace) for _ in range(EXECUTIONS)]
    for execution in started:
        local_site.wait_for_result(execution)
    worker.kill()
    body = {"batch_id": "b1", "filter": {"workflow_identifier": "steps"}, "action": {"kind": "rerun"}}
    local_site.call("POST", "/v1/batches", body)
    wait_until(partial(has_done, local_site, 1), "the job is in its middle")
    assert local_site.host
    local_site.host.kill()
    local_site.start_host()
    wait_until(lambda: job(local_site)["status"] != "RUNNING", "the job has ended", 120)
    ended = job(local_site)
    assert (ended["status"], ended["done"], ended["skipped"], ended["failed"]) == ("COMPLETED", EXECUTIONS, 0, 0)
    listed = local_site.call("GET", "/v1/workflows/runs?page_size=1000&status=RUNNING")["executions"]
    assert len({one["execution_id"] for one in listed}) == len(listed) == EXECUTIONS
