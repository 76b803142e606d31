"""What a batch job does to one execution. A repeat is recognised, or harmless."""

from dataclasses import dataclass
from typing import assert_never

from levante_core.domain.batch_jobs.job import BatchJob, SkipReason
from levante_core.domain.batch_jobs.request import (
    CancelAction,
    RerunAction,
    ResetAction,
    RetryAction,
    SignalAction,
    TerminateAction,
)
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.frozen import Json
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import RunId
from levante_core.errors import AlreadyRunning, NotApplicable, NotFound, NotRunning
from levante_core.ports.item_store import ItemStore
from levante_core.services.batch_jobs.candidates import Candidate
from levante_core.services.executions.close import ClosingService
from levante_core.services.executions.interventions import InterventionService
from levante_core.services.executions.lookup import summary_if_any
from levante_core.services.executions.reset import ResetRequest, ResetService
from levante_core.services.executions.start import ExecutionService, StartRequest
from levante_core.services.messages.accept import MessageService
from levante_core.storage.runs import RunSummary

AS_ASKED = {"cancel": ExecutionStatus.CANCELED, "terminate": ExecutionStatus.TERMINATED}
"""How an execution ends by an action: one that has ended so since the job was started need not be ended again."""
START_EVENT = 1


@dataclass(frozen=True, slots=True)
class BatchActions:
    """Acts on executions, with the services that single requests use."""

    store: ItemStore
    executions: ExecutionService
    closing: ClosingService
    messages: MessageService
    resets: ResetService
    interventions: InterventionService

    def act(self, job: BatchJob, value: Json, candidate: Candidate, run: RunSummary) -> SkipReason | None:
        """Act on an execution. Returns why nothing was to be done; None if it is done, now or before.

        value: the input of the action. Raises: what the service raises that does the action, but for what is a reason to
        skip. Cost: that of the action.
        """
        if candidate.is_reset:
            return None
        if run.ended_at and run.ended_at < job.created_at and job.request.action.kind not in {"reset", "rerun"}:
            return SkipReason.ENDED
        try:
            return self._act(job, value, candidate, run)
        except NotRunning:
            return self._ended(job, run.key)
        except NotApplicable:
            return SkipReason.NOT_APPLICABLE
        except NotFound:
            if summary_if_any(self.store, run.key.workspace, run.key.execution_id):
                raise
            return SkipReason.GONE

    def _act(self, job: BatchJob, value: Json, candidate: Candidate, run: RunSummary) -> SkipReason | None:
        action = job.request.action
        workspace, execution_id = run.key.workspace, run.key.execution_id
        match action:
            case CancelAction():
                self.messages.cancel(workspace, execution_id)
            case TerminateAction():
                self.closing.terminate(workspace, execution_id)
            case SignalAction():
                self.messages.signal(workspace, execution_id, action.name, value, f"batch-{job.derived_id(execution_id)}")
            case ResetAction():
                self.resets.reset(workspace, execution_id, _reset_request(job, action, run.key))
            case RetryAction():
                self.interventions.retry_failing(
                    workspace, execution_id, job.requested.model_copy(update={"reason": job.reason})
                )
            case RerunAction():
                return self._rerun(job, value, candidate, run)
            case _:
                assert_never(action)
        return None

    def _rerun(self, job: BatchJob, value: Json, candidate: Candidate, run: RunSummary) -> SkipReason | None:
        """Start an execution once more, unless it is open, or has a parent, which starts its children itself."""
        if run.parent_execution_id is not None:
            return SkipReason.CHILD
        if run.is_open or not candidate.is_latest:
            return SkipReason.OPEN
        execution_id = run.key.execution_id
        request = StartRequest(
            input=value, execution_id=job.derived_id(execution_id), user_id=job.requested.key_id, is_id_new=True
        )
        try:
            self.executions.rerun(run.key.workspace, execution_id, request)
        except AlreadyRunning:
            return None  # by an earlier try: nobody else knows the id
        return None

    def _ended(self, job: BatchJob, run: RunKey) -> SkipReason | None:
        """Say of an execution that has ended whether that is what was asked for."""
        latest = summary_if_any(self.store, run.workspace, run.execution_id)
        if latest is None:
            return SkipReason.GONE
        is_since = latest.ended_at is not None and latest.ended_at >= job.created_at
        return None if is_since and AS_ASKED.get(job.request.action.kind) is latest.status else SkipReason.ENDED


def _reset_request(job: BatchJob, action: ResetAction, run: RunKey) -> ResetRequest:
    return ResetRequest(
        event_id=START_EVENT if action.to == "start" else None,
        reason=job.reason,
        exclude_signals=action.exclude_signals,
        exclude_updates=action.exclude_updates,
        new_run_id=RunId(job.derived_id(run.execution_id)),
        only_run=run.run_id,
    )
