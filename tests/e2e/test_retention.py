"""Closed executions expire on a real host."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.e2e.test_crashes import HERE
from tests.support.processes import LocalSite, Refused, wait_until

DAY = 86400
BALLAST = "x" * 100_000


def left(data: Path, execution_id: str) -> list[str]:
    """Return the partitions of executions, histories and streams that name an execution, and the payloads."""
    with closing(sqlite3.connect(data / "levante.sqlite")) as reader:
        found = reader.execute(
            "SELECT partition FROM items WHERE partition LIKE '_#default#%' AND attributes LIKE ?", [f"%{execution_id}%"]
        ).fetchall()
    return [*(partition for (partition,) in found), *map(str, payloads(data))]


def payloads(data: Path) -> list[Path]:
    return [path for path in (data / "payloads").rglob("*") if path.is_file()]


def grow_old(data: Path, days: float) -> None:
    """Let everything that is kept have been written so many days earlier."""
    change = "json_set(attributes, '$.expires_at', json_extract(attributes, '$.expires_at') - ?)"
    with closing(sqlite3.connect(data / "levante.sqlite")) as writer, writer:
        writer.execute(
            f"UPDATE items SET attributes = {change} WHERE json_extract(attributes, '$.expires_at') IS NOT NULL",  # noqa: S608
            [int(days * DAY)],
        )
    for path in payloads(data):
        put_at = path.stat().st_mtime - days * DAY
        os.utime(path, (put_at, put_at))


def is_gone(site: LocalSite, execution_id: str) -> bool:
    try:
        site.status(execution_id)
    except Refused as refused:
        return refused.status == 404
    return False


def test_execution_when_its_time_is_over_while_the_host_is_down_then_it_is_deleted_at_the_next_start(tmp_path: Path) -> None:
    """Nothing has to be up when the time comes; before it nothing goes, and open executions stay, whatever their age."""
    site, data = LocalSite(tmp_path), tmp_path / "data"
    try:
        host = site.start_host()
        site.start_worker("steps", HERE)
        site.wait_for_workers(1)
        log = str(tmp_path / "steps.log")
        napping = site.start("naps", {"path": log, "seconds": 3600})
        done = site.start("steps", {"path": log, "count": 2, "seconds": 0, "ballast": BALLAST})
        site.wait_for_result(done)
        host.kill()
        assert payloads(data)
        before = left(data, done)
        grow_old(data, 29)
        site.start_host().kill()
        assert left(data, done) == before
        grow_old(data, 1.1)
        site.start_host()
        wait_until(lambda: is_gone(site, done), "the execution expires")
        wait_until(lambda: not left(data, done), "nothing of it is left")
        assert site.status(napping) == "RUNNING"
    finally:
        site.close()
