"""Runs that tests drive by hand are thrown away after each of them, as workers do."""

import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from levante.replay.run import WorkflowRun


@pytest.fixture(autouse=True)
def runs_are_thrown_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Else their code would be finalised by the garbage collector, wherever that runs next."""
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
