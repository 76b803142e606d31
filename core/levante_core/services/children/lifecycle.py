"""What is between executions: children are started, asked to end and left behind, and parents learn how they ended."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import assert_never

from levante_core.domain.dispatch.plan import (
    CancelChild,
    ChildEffect,
    FactRecorded,
    LeaveChildren,
    SignalChild,
    StartChild,
    TellParent,
)
from levante_core.domain.executions.execution import Execution, Parent, RunKey, child_outcome
from levante_core.domain.executions.failure import Failure, FailureKind
from levante_core.domain.history.events import (
    ChildFailed,
    ChildOutcome,
    ChildScheduled,
    ChildSignaled,
    ChildStarted,
    ParentClosePolicy,
)
from levante_core.domain.history.state import fold
from levante_core.domain.names import ExecutionId, Workspace
from levante_core.errors import (
    AlreadyRunning,
    AmbiguousWorkflow,
    InconsistentHistory,
    InvalidInput,
    NotFound,
    NotRunning,
    Unreadable,
)
from levante_core.ports.item_store import Absent, ConditionFailed, ItemStore, Put, Query
from levante_core.ports.surroundings import Clock
from levante_core.services.dispatch.sender import Dispatch
from levante_core.services.executions.close import ClosingService
from levante_core.services.executions.lookup import summary_if_any
from levante_core.services.executions.start import ExecutionService
from levante_core.services.history.loading import read_all, read_history
from levante_core.services.messages.accept import MessageService
from levante_core.storage import keys
from levante_core.storage.decoding import readable
from levante_core.storage.runs import (
    Recorded,
    RunSummary,
    batch_of,
    execution_of,
    fact_item,
    is_open_run,
    outcome_fact,
    started_fact,
    summary_of,
)

logger = logging.getLogger("levante.children")


class ChildService:
    """Carries out what `plan` asks for between executions. Every effect may be repeated at any later time."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        *,
        dispatch: Dispatch,
        executions: ExecutionService,
        closing: ClosingService,
        messages: MessageService,
    ) -> None:
        self._store = store
        self._clock = clock
        self._dispatch = dispatch
        self._executions = executions
        self._closing = closing
        self._messages = messages

    def carry_out(self, effect: ChildEffect) -> None:
        """Carry out an effect. Raises: Unavailable, after which it may have been carried out in part."""
        match effect:
            case StartChild():
                self._start(effect)
            case CancelChild():
                self._cancel(effect.execution_id, effect.parent, effect.seq)
            case SignalChild():
                self._signal(effect.parent, effect.signal)
            case TellParent():
                self._notify(effect.parent, effect.child.workspace, effect.outcome)
            case LeaveChildren():
                self._leave_children(effect.run)
            case _:
                assert_never(effect)

    def _start(self, effect: StartChild) -> None:
        """Start a child unless that was done; report to the parent; leave it if the parent is gone by now."""
        run, scheduled = effect.parent, effect.child
        parent = Parent(run.execution_id, run.run_id, effect.pool, scheduled.seq)
        child = self._find_whole(run, scheduled)
        if child is None:
            if self._parent_knows(run, scheduled):
                return
            try:
                child = self._executions.start_child(run.workspace, parent, scheduled)
            except (NotFound, AmbiguousWorkflow, InvalidInput, AlreadyRunning) as error:
                self._notify(parent, run.workspace, _refusal(scheduled, error, self._clock.now()))
                return
        if not scheduled.is_awaited:
            first_run_id = child.start.first_run_id or child.key.run_id
            started = ChildStarted(seq=scheduled.seq, at=child.start.started_at, run_id=first_run_id)
            self._notify(parent, run.workspace, started)
        outcome = child_outcome(child)
        if outcome:
            self._notify(parent, run.workspace, outcome)
        elif not self._is_current(run):
            self._leave(run, scheduled)

    def _find(self, run: RunKey, scheduled: ChildScheduled) -> RunSummary | None:
        """Return the child, if this command has started it."""
        child = summary_if_any(self._store, run.workspace, scheduled.execution_id)
        return child if child and _is_of(child, run, scheduled.seq) else None

    def _find_whole(self, run: RunKey, scheduled: ChildScheduled) -> Execution | None:
        """Return the child with its input and result, if this command has started it."""
        item = self._store.get(keys.execution(run.workspace, scheduled.execution_id))
        return execution_of(item) if item and _is_of(summary_of(item), run, scheduled.seq) else None

    def _parent_knows(self, run: RunKey, scheduled: ChildScheduled) -> bool:
        """Whether the parent knows more than that it asked: a repeat, long after, must not start the child again."""
        names = [keys.outcome_fact(scheduled.seq), keys.started_fact(scheduled.seq)]
        return any(self._store.get(keys.fact(run, name)) for name in names)

    def _is_current(self, run: RunKey) -> bool:
        return is_open_run(self._store.get(keys.execution(run.workspace, run.execution_id)), run.run_id)

    def _notify(self, parent: Parent, workspace: Workspace, outcome: ChildOutcome) -> None:
        """Record in the parent's run what became of a child; once the run has ended, nobody wants to know."""
        run = RunKey(workspace, parent.execution_id, parent.run_id)
        if not self._is_current(run):
            return
        now = self._clock.now()
        fact = started_fact(outcome) if isinstance(outcome, ChildStarted) else outcome_fact(outcome)
        recorded = Recorded(run, parent.pool, now)
        with suppress(ConditionFailed):
            self._store.write(Put(fact_item(recorded, fact), Absent()))
            self._dispatch.dispatch_now([FactRecorded(run, recorded.pool, now, fact)])

    def _leave_children(self, run: RunKey) -> None:
        """Leave the children whose outcome the run has not heard of; of a history that is damaged, all that can be read."""
        try:
            history = read_history(self._store, run)
            state = fold(history.batches, {fact.key: fact.input for fact in history.facts})
        except InconsistentHistory as damaged:
            logger.exception("the history of run %s is damaged: leaving all children that it has ever had", run.run_id)
            first, last = keys.prefixed(keys.BATCH)
            batches = read_all(self._store, Query(keys.history(run.workspace, run.run_id), first=first, last=last))
            for batch in readable(batches, batch_of):
                self._leave_all(run, [event for event in batch.events if isinstance(event, ChildScheduled)])
            if isinstance(damaged, Unreadable):  # some may be known once it is mended
                raise
        else:
            self._leave_all(run, [child.scheduled for child in state.children.values()])

    def _leave_all(self, run: RunKey, children: Sequence[ChildScheduled]) -> None:
        for child in children:
            self._leave(run, child)

    def _leave(self, run: RunKey, scheduled: ChildScheduled) -> None:
        """Do with a child whose parent's run has ended what its policy says."""
        match scheduled.close_policy:
            case ParentClosePolicy.ABANDON:
                pass
            case ParentClosePolicy.REQUEST_CANCEL:
                self._cancel(scheduled.execution_id, run, scheduled.seq)
            case ParentClosePolicy.TERMINATE:
                if self._find(run, scheduled):
                    with suppress(NotFound, NotRunning):
                        self._closing.terminate(run.workspace, scheduled.execution_id)
            case _:
                assert_never(scheduled.close_policy)

    def _signal(self, parent: RunKey, signal: ChildSignaled) -> None:
        """Send a signal unless it was sent, or the child takes none like it: a parent has no place for that."""
        child = summary_if_any(self._store, parent.workspace, signal.execution_id)
        if child and _is_of(child, parent, signal.child):
            request_id = f"{parent.run_id}:{signal.seq}"
            with suppress(NotFound, NotRunning, InvalidInput):
                self._messages.signal(
                    parent.workspace, signal.execution_id, signal.name, signal.input, request_id=request_id
                )

    def _cancel(self, execution_id: ExecutionId, parent: RunKey, seq: int) -> None:
        child = summary_if_any(self._store, parent.workspace, execution_id)
        if child and _is_of(child, parent, seq):
            with suppress(NotFound, NotRunning):
                self._messages.cancel(parent.workspace, execution_id)


def _is_of(child: RunSummary, run: RunKey, seq: int) -> bool:
    parent = child.parent
    return parent is not None and (parent.execution_id, parent.run_id, parent.seq) == (run.execution_id, run.run_id, seq)


def _refusal(scheduled: ChildScheduled, error: Exception, at: datetime) -> ChildFailed:
    problem = f"child {scheduled.execution_id!r} of workflow {scheduled.workflow_name!r} was not started: {error}"
    failure = Failure(kind=FailureKind.APPLICATION, type=type(error).__name__, message=problem, non_retryable=True)
    return ChildFailed(seq=scheduled.seq, at=at, failure=failure)
