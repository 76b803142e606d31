"""What the activities of one test did is no concern of the next one's, and runs that are kept are thrown away."""

import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from levante.replay.run import WorkflowRun
from tests.unit.levante.worker.runs.flows import RAN


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    RAN.clear()


@pytest.fixture(autouse=True)
def _runs_are_thrown_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As workers do; else their code would be finalised by the garbage collector, wherever that runs next."""
    made: list[weakref.ref[WorkflowRun]] = []
    make = WorkflowRun.__init__

    def noted(self: WorkflowRun, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        made.append(weakref.ref(self))

    with monkeypatch.context() as patched:
        patched.setattr(WorkflowRun, "__init__", noted)
        yield
    for run in filter(None, (one() for one in made)):
        if not run._is_disposed:
            run.dispose()
