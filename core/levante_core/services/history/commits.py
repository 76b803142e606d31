"""Appending to histories: the conditional put that is the fence."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from levante_core.domain.dispatch.plan import BatchAppended, Record, RunStarted, plan
from levante_core.domain.dispatch.tasks import Fact
from levante_core.domain.executions.execution import Ending, RunKey, close, continued
from levante_core.domain.executions.failure import Failure
from levante_core.domain.executions.search_keys import problem_with_size
from levante_core.domain.frozen import wire_time
from levante_core.domain.history.events import ChildScheduled, ExecutionContinuedAsNew, ExecutionTerminated
from levante_core.domain.history.notes import ExecutionPaused, ExecutionResumed
from levante_core.domain.history.run_messages import RUN_MESSAGES, CancelRequested, message_key
from levante_core.domain.history.state import MOST_BYTES, MOST_EVENTS, HistoryBatch, closing_event
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.errors import InconsistentHistory, InvalidInput, LevanteError, NotStorable
from levante_core.ports.item_store import Absent, ConditionFailed, ItemStore, Put, Scalar, Update, Write
from levante_core.ports.surroundings import Clock
from levante_core.protocol.workers import Commit, CommitOutcome, CommitResult
from levante_core.services.access.capabilities import Capabilities, RunGrant
from levante_core.services.dispatch.sender import Dispatch
from levante_core.services.executions.close import WITH_CHILDREN, closing_write
from levante_core.storage import keys
from levante_core.storage.runs import (
    MAIL_HELD_UNTIL,
    SEARCH_KEYS,
    Recorded,
    batch_item,
    commit_id_of,
    earlier_run_item,
    execution_item,
    execution_of,
    fact_item,
    fact_of,
    is_open_run,
    message_fact,
    open_run,
    run_pointer_item,
    search_keys_text,
)

MOST_CARRIED = 90
"""Messages that a new run begins with, in the same transaction; a run with more has to take some of it first."""


MESSAGES_HELD_FOR = timedelta(seconds=2)
"""Time for a worker to read what an execution was sent last, and to end it."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The writes of a commit, and what becomes of it if they succeed."""

    records: tuple[Record, ...]
    writes: tuple[Write, ...]
    outcome: CommitOutcome = CommitOutcome.RECORDED


@dataclass(frozen=True, slots=True)
class GrantedCommit:
    """A commit whose token grants it: the index of its batch is the one that may be committed."""

    grant: RunGrant
    commit: Commit


class CommitService:
    """Records history batches on behalf of workers."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        dispatch: Dispatch,
        capabilities: Capabilities,
        *,
        retention: timedelta | None,
    ) -> None:
        """retention: how long closed runs are kept; None for ever."""
        self._store = store
        self._clock = clock
        self._capabilities = capabilities
        self._dispatch = dispatch
        self._retention = retention

    def append(self, commits: Sequence[GrantedCommit]) -> list[CommitResult]:
        """Append each batch, or say why not. A repeat of a recorded commit is harmless, and answered alike.

        A run whose history would become too large is terminated in place of that; that is a conflict.
        A commit that could never be recorded says why, and the others do not suffer from it.
        Cost: one write per commit, a transaction if it closes.
        """
        prepared = [self._prepared(granted) for granted in commits]
        possible = [prepared_commit for prepared_commit in prepared if isinstance(prepared_commit, _Prepared)]
        refusals = iter(self._write_each(possible))
        outcomes = [
            _outcome(granted, prepared_commit, next(refusals)) if isinstance(prepared_commit, _Prepared) else prepared_commit
            for granted, prepared_commit in zip(commits, prepared, strict=True)
        ]
        recorded = (
            prepared_commit.records
            for prepared_commit, outcome in zip(prepared, outcomes, strict=True)
            if isinstance(prepared_commit, _Prepared) and outcome is CommitOutcome.RECORDED
        )
        self._dispatch.dispatch_now(record for records in recorded for record in records)
        for granted, outcome in zip(commits, outcomes, strict=True):
            if outcome is CommitOutcome.UNREAD_MESSAGES:
                self._hold_messages(granted.grant.run)
        return [self._result(granted, outcome) for granted, outcome in zip(commits, outcomes, strict=True)]

    def _result(self, granted: GrantedCommit, outcome: CommitOutcome | LevanteError) -> CommitResult:
        if isinstance(outcome, LevanteError):
            return CommitResult(outcome=CommitOutcome.IMPOSSIBLE, problem=str(outcome))
        is_open = outcome is CommitOutcome.RECORDED and closing_event(granted.commit.batch.events) is None
        following = replace(granted.grant, next_index=granted.grant.next_index + 1)
        return CommitResult(outcome=outcome, token=self._capabilities.run_token(following) if is_open else None)

    def _prepared(self, granted: GrantedCommit) -> _Prepared | LevanteError:
        try:
            return self._prepare(granted)
        except (InvalidInput, InconsistentHistory) as refused:
            return refused

    def _write_each(self, prepared: Sequence[_Prepared]) -> Sequence[ConditionFailed | NotStorable | None]:
        """Write commits together; if one of them is too large, each alone: those that are there already are known again."""
        try:
            return self._store.write_each([commit.writes for commit in prepared])
        except NotStorable:
            return [self._write(commit) for commit in prepared]

    def _write(self, prepared: _Prepared) -> ConditionFailed | NotStorable | None:
        try:
            self._store.write(*prepared.writes)
        except (ConditionFailed, NotStorable) as refused:
            return refused
        return None

    def _prepare(self, granted: GrantedCommit) -> _Prepared:
        run, pool, commit = granted.grant.run, granted.grant.pool, granted.commit
        if not commit.batch.events:
            raise InvalidInput.at(("body", "commits", "batch"), "a batch has at least one event")
        try:
            closing = closing_event(commit.batch.events)
        except InconsistentHistory as error:
            raise InvalidInput.at(("body", "commits", "batch", "events"), str(error)) from None
        if any(isinstance(event, ExecutionPaused | ExecutionResumed) for event in commit.batch.events):
            raise InvalidInput.at(("body", "commits", "batch", "events"), "workers neither pause executions nor resume them")
        problem = problem_with_size(commit.search_keys) if commit.search_keys else None
        if problem:
            raise InvalidInput.at(("body", "commits", "search_keys"), problem)
        now = self._clock.now()
        record = BatchAppended(run, pool, now, commit.batch)
        append = Put(batch_item(Recorded(run, pool, now), commit.batch, asks_for_work=bool(plan(record))), Absent())
        sets = _attributes(commit)
        if closing is None and commit.history.share > 1:
            return self._terminated(granted)
        if closing is None:
            return _Prepared((record,), (append, *([_setting(run, sets)] if sets else [])))
        status, ending = close(closing, now, self._retention)
        if isinstance(closing, ExecutionContinuedAsNew):
            writes, started = self._continued(run, closing, status, ending, commit)
            return _Prepared((record, *started), (append, *writes))
        return _Prepared((record,), (append, closing_write(run, status, ending, commit.mail_taken, sets)))

    def _terminated(self, granted: GrantedCommit) -> _Prepared:
        """Make the writes that end a run whose history has no room for this batch."""
        run, commit, now = granted.grant.run, granted.commit, self._clock.now()
        event = ExecutionTerminated(at=now, failure=_too_large(commit))
        status, ending = close(event, now, self._retention)
        batch = HistoryBatch(index=commit.batch.index, commit_id=f"{commit.batch.commit_id[:200]}-refused", events=(event,))
        append = Put(batch_item(Recorded(run, granted.grant.pool, now), batch, asks_for_work=False), Absent())
        return _Prepared((), (append, closing_write(run, status, ending, mail_count=None)), CommitOutcome.CONFLICT)

    def _hold_messages(self, run: RunKey) -> None:
        """Let a run that is about to end take the messages it has, without more coming all the time."""
        until = wire_time(self._clock.now() + MESSAGES_HELD_FOR)
        with suppress(ConditionFailed):
            self._store.write(_setting(run, {MAIL_HELD_UNTIL: until}))

    def _continued(
        self, run: RunKey, event: ExecutionContinuedAsNew, status: ExecutionStatus, ending: Ending, commit: Commit
    ) -> tuple[list[Write], list[Record]]:
        """Make the writes that put a new run in the place of this one, with the messages that this one has not taken.

        They are refused if the run is not the latest, or a message comes meanwhile.
        """
        item = self._store.get(keys.execution(run.workspace, run.execution_id))
        old = item and execution_of(item)
        if old is None or old.key != run or not old.is_open or old.mail_count - event.mail_taken > MOST_CARRIED:
            return [closing_write(run, status, ending, event.mail_taken)], []
        if commit.search_keys is not None:
            old = replace(old, search_keys=commit.search_keys)
        unread = old.mail_count - event.mail_taken
        messages = [self._carried(run, event.mail_taken + number, number) for number in range(1, unread + 1)]
        is_cancel_requested = any(isinstance(fact.input, CancelRequested) for fact in messages)
        new = continued(old, event, ending.ended_at, mail_count=unread)
        new = replace(new, is_cancel_requested=is_cancel_requested)
        unchanged = open_run(run, mail_count=old.mail_count)
        earlier = replace(old, status=status, ending=ending, has_children=old.has_children or _has_children(commit))
        writes: list[Write] = [Put(execution_item(new), unchanged), Put(earlier_run_item(earlier), Absent())]
        writes.append(Put(run_pointer_item(new.key), Absent()))
        recorded = Recorded(new.key, new.pool, ending.ended_at)
        writes += [Put(fact_item(recorded, fact), Absent()) for fact in messages]
        return writes, [RunStarted(new.key, new.pool, new.start)]

    def _carried(self, run: RunKey, old_number: int, number: int) -> Fact:
        """Return a message under its number in the new run."""
        item = self._store.get(keys.fact(run, message_key(old_number)))
        message = item and fact_of(item).input
        if not isinstance(message, RUN_MESSAGES):
            raise InconsistentHistory(f"message {old_number} of run {run.run_id} is counted, but missing")
        return message_fact(message.model_copy(update={"number": number}))


def _has_children(commit: Commit) -> bool:
    return any(isinstance(event, ChildScheduled) for event in commit.batch.events)


def _attributes(commit: Commit) -> dict[str, Scalar]:
    """Return what the batch says of the run that its item shows while it is open."""
    sets = dict(WITH_CHILDREN) if _has_children(commit) else {}
    return sets if commit.search_keys is None else {**sets, SEARCH_KEYS: search_keys_text(commit.search_keys)}


def _setting(run: RunKey, attributes: Mapping[str, Scalar]) -> Update:
    """Make the write that sets attributes of a run's item."""
    return Update(keys.execution(run.workspace, run.execution_id), set_attributes=attributes, condition=open_run(run))


def _too_large(commit: Commit) -> Failure:
    size = commit.history
    return Failure(
        type="HistoryTooLarge",
        message=f"the history would have {size.events} events and {size.bytes} bytes, and may have {MOST_EVENTS} and "
        f"{MOST_BYTES}: let the workflow continue as new when workflow.should_continue_as_new() says so",
        non_retryable=True,
    )


def _outcome(
    granted: GrantedCommit, prepared: _Prepared, refused: ConditionFailed | NotStorable | None
) -> CommitOutcome | LevanteError:
    if refused is None:
        return prepared.outcome
    return refused if isinstance(refused, NotStorable) else _refusal(granted, refused)


def _refusal(granted: GrantedCommit, refused: ConditionFailed) -> CommitOutcome:
    if 0 not in refused.failed:
        is_current = is_open_run(refused.existing[1], granted.grant.run.run_id)
        return CommitOutcome.UNREAD_MESSAGES if is_current else CommitOutcome.CONFLICT
    first = refused.existing[0]
    is_repeat = first is not None and commit_id_of(first) == granted.commit.batch.commit_id
    return CommitOutcome.RECORDED if is_repeat else CommitOutcome.CONFLICT
