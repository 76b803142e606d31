"""What every part of a worker works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from levante.definition.definitions import WorkflowDefinition, with_retry_defaults
from levante.worker.activities.runner import ActivityRunner
from levante.worker.payloads import Payloads
from levante.worker.settings import WorkerSettings
from levante.worker.tasks.source import TaskSource
from levante.worker.transport.api import Api
from levante.worker.transport.batcher import Batcher
from levante_core.protocol import ActivityOptions, RetryPolicy, WorkerPool
from levante_core.protocol.activities import ActivityReportResult
from levante_core.protocol.workers import CommitResult


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """worker_id: new at each start of a process, unlike the worker's name. now: the time, in UTC.

    heartbeat_seconds: between two signs of life to the catalogue. tasks_of: where tasks come from under another name of
    workers, such as that of a sticky session.
    """

    settings: WorkerSettings
    worker_id: str
    api: Api
    tasks: TaskSource
    commits: Batcher[CommitResult]
    reports: Batcher[ActivityReportResult]
    runner: ActivityRunner
    payloads: Payloads
    workflows: Mapping[str, WorkflowDefinition]
    now: Callable[[], datetime]
    tasks_of: Callable[[WorkerPool], Awaitable[TaskSource]]
    heartbeat_seconds: float = 10.0
    _options: dict[int, tuple[ActivityOptions, ActivityOptions]] = field(default_factory=dict)

    def with_defaults(self, options: ActivityOptions) -> ActivityOptions:
        """Fill in the retry fields that a decorator left to the settings; worked out once per decorator."""
        known = None if options.session else self._options.get(id(options))
        if known is None or known[0] is not options:
            settings = self.settings
            defaults = RetryPolicy(
                max_attempts=settings.retry_max_attempts, backoff_coefficient=settings.retry_backoff_coefficient
            )
            known = (options, with_retry_defaults(options, defaults))
            if options.session is None:
                self._options[id(options)] = known
        return known[1]
