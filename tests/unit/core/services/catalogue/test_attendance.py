"""Whether a worker is there, for somebody who would wait for one in vain."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.workers import RegisterRequest
from levante_core.services.catalogue.attendance import LOOK_EVERY, Attendance
from tests.support.place import DEPLOYMENT, SPACE, Place, new_place


class Queues:
    """Knows as much of who is there as it is told."""

    def __init__(self, *, attended: bool | None) -> None:
        self.attended = attended

    def is_attended(self, queue: str) -> bool | None:
        assert queue.startswith(f"{DEPLOYMENT}-")
        return self.attended


def attendance(place: Place, *, attended: bool | None) -> tuple[Attendance, Queues]:
    """Make what is tested, with a worker that was heard of just now, of a build and of none."""
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={}, execution_timeout=timedelta(hours=1))
    for build_id in (None, "b1"):
        request = RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w", build_id=build_id)
        place.engine.catalogue.register(SPACE, request)
    queues: Any = Queues(attended=attended)
    return Attendance(queues, place.engine.worker_groups, place.clock), queues


@pytest.mark.parametrize(
    ("build_id", "later", "is_served"),
    [
        pytest.param(None, timedelta(), True, id="heard of just now"),
        pytest.param("b1", timedelta(), True, id="of the build"),
        pytest.param("b2", timedelta(), False, id="of another build"),
        pytest.param(None, timedelta(minutes=3), False, id="not heard of for long"),
    ],
)
def test_workers_when_the_queue_cannot_tell_then_their_heartbeats_do(
    tmp_path: Path, build_id: str | None, later: timedelta, *, is_served: bool
) -> None:
    """Of the execution's own build, if it has one."""
    with new_place(tmp_path) as place:
        found, _ = attendance(place, attended=None)
        place.clock.advance(later.total_seconds())
        assert found.is_served(SPACE, WorkerPool(DEPLOYMENT, build_id)) is is_served


def test_watch_when_nobody_is_there_then_two_looks_in_a_row_have_to_say_so(tmp_path: Path) -> None:
    """A worker between two polls is not taken for one that is gone."""
    with new_place(tmp_path) as place:
        found, queues = attendance(place, attended=False)
        watch = found.watch(SPACE, WorkerPool(DEPLOYMENT, "b1"))
        seen = []
        for attended in (False, True, False, False):
            place.clock.advance(LOOK_EVERY.total_seconds() / 2)
            assert not watch.is_nobody_there()
            place.clock.advance(LOOK_EVERY.total_seconds() / 2)
            queues.attended = attended
            seen.append(watch.is_nobody_there())
        assert seen == [False, False, False, True]
        assert "`BUILD_ID=b1 levante worker MODULE --deployment-name d`" in watch.describe()
