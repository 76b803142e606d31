"""Batch jobs whose steps a test takes: the change feed and the timers queue are emptied by hand."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from levante_core.domain.batch_jobs.job import BatchJob, PageOutcome
from levante_core.domain.batch_jobs.request import BatchRequest
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import ActivityScheduled, ExecutionCompleted, ExecutionFailed
from levante_core.domain.names import Workspace
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Update, Write
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.specs import HandlerSpec
from levante_core.protocol.workers import RegisterRequest
from levante_core.services.engine import Engine
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from levante_core.storage.catalogue import ApiKey, Role
from tests.support.engines import carry_out_changes
from tests.support.place import DEPLOYMENT, SPACE, Place

BUG = Failure(message="it broke")
RETRY = {"max_attempts": 5, "initial_interval_seconds": 600}
CANCEL, TERMINATE, RETRY_ALL, RERUN = ({"kind": kind} for kind in ("cancel", "terminate", "retry", "rerun"))
RESET = {"kind": "reset"}
SIGNAL = {"kind": "signal", "name": "s"}


@dataclass
class Driven:
    """A place with a workflow that takes signals, and its batch jobs."""

    place: Place
    seen: str | None = None
    pages: list[PageOutcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = ApiKey("k1", "digest", SPACE, Role.CLIENT, "ann", self.place.clock.now())
        spec = WorkflowSpec(
            name="w", task_queue="d", input_schema={}, signals=(HandlerSpec(name="s", input_schema={"type": "object"}),)
        )
        request = RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w")
        self.place.engine.catalogue.register(SPACE, request)

    # --- executions ---------------------------------------------------------------------------------------------------

    def executions(self, count: int, prefix: str = "e", **given: Any) -> list[RunKey]:
        """Start executions, one after the other; the last one lies in the past, too."""
        started = []
        for number in range(count):
            request = StartRequest(execution_id=f"{prefix}{number}", **given)
            started.append(self.place.engine.executions.start(SPACE, "w", request).key)
            self.place.clock.advance(1)
        return started

    def fail(self, run: RunKey) -> None:
        """Let an execution take a step, and fail."""
        self.place.commit(run, 1, ActivityScheduled(seq=1, name="a", input={}))
        self.place.commit(run, 2, ExecutionFailed(seq=2, failure=BUG), commit_id="d")

    def complete(self, run: RunKey, index: int = 1) -> None:
        """Let an execution complete."""
        self.place.commit(run, index, ExecutionCompleted(seq=9, result=None), commit_id="e")

    def back_off(self, run: RunKey) -> None:
        """Let an activity of an execution wait for its second attempt."""
        activity = {"seq": 1, "name": "a", "input": {}, "options": {"retry": RETRY}}
        self.place.commit(run, 1, ActivityScheduled.model_validate(activity))
        assert self.place.report(run, failure=BUG)

    def statuses(self, *ids: str) -> list[str]:
        """Return how executions stand."""
        return [self.place.engine.executions.status(SPACE, one)[0].status.value for one in ids]

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def start(self, action: dict[str, Any], value: Any = None, batch_id: str = "b1", **criteria: Any) -> BatchJob:
        """Start a job; of the workflow's executions, unless other criteria are given."""
        request = BatchRequest.model_validate(
            {"criteria": criteria or {"workflow_identifier": "w"}, "action": action, "reason": "because"}
        )
        return self.place.engine.batch_jobs.start(self.key, batch_id, request, value)

    def job(self, batch_id: str = "b1") -> BatchJob:
        """Return a job as it stands."""
        return self.place.engine.batch_jobs.get(SPACE, batch_id)

    def counts(self, batch_id: str = "b1") -> tuple[int, int, int, dict[str, int]]:
        """Return how many executions were found, done, failed, and skipped for which reason."""
        progress = self.job(batch_id).progress
        return progress.matched, progress.done, progress.failed, dict(progress.skipped)

    def messages(self, engine: Engine | None = None) -> list[str]:
        """Let the change feed send its messages, and take those of the timers queue."""
        self.seen = carry_out_changes(self.place, engine or self.place.engine, self.seen)
        return [body for body in self.place.due() if "batch_job_due" in body]

    def work(self, engine: Engine | None = None, steps: int = 1_000) -> int:
        """Take steps until there is nothing to do, or as many as are given. Returns how many messages were handled.

        Unavailable ends the work of an engine, as its message comes again later.
        """
        taken = 0
        while taken < steps and (bodies := self.messages()):
            for body in bodies:
                taken += 1
                try:
                    (engine or self.place.engine).due.handle(body)
                except Unavailable:
                    return taken
        return taken

    def run(self, action: dict[str, Any], value: Any = None, **criteria: Any) -> tuple[int, int, int, dict[str, int]]:
        """Start a job, and take its steps to the end. Returns its counts."""
        self.start(action, value, **criteria)
        self.work()
        assert self.job().status == "COMPLETED"
        return self.counts()


class Killed(BaseException):
    """The process ends: no code of it handles that."""


def is_of_the_job(write: Write) -> bool:
    """Tell whether a write changes a job."""
    return isinstance(write, Update) and keys.is_batch_job(write.key)


def fails(driven: Driven, monkeypatch: pytest.MonkeyPatch, execution_id: str, error: BaseException) -> list[str]:
    """Let an execution fail. Returns those that were tried, as they come."""
    cancel, tried = driven.place.engine.messages.cancel, list[str]()

    def failing(workspace: Workspace, wanted: str) -> None:
        tried.append(wanted)
        if wanted == execution_id:
            raise error
        cancel(workspace, wanted)

    monkeypatch.setattr(driven.place.engine.messages, "cancel", failing)
    return tried
