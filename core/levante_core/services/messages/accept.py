"""Messages: what callers send to a run while it is open, numbered as they are accepted."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from levante_core.domain.dispatch.plan import FactRecorded
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.frozen import Json, wire_time
from levante_core.domain.history.events import CLOSINGS, Answer, ExecutionContinuedAsNew, UpdateCompleted, UpdateFailed
from levante_core.domain.history.run_messages import CancelRequested, RunMessage, SignalReceived, UpdateRequested
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, RunId, Workspace
from levante_core.errors import NotFound, NotRunning, ResultNotReady, Unavailable
from levante_core.ports.item_store import EXPIRES_AT, Absent, ConditionFailed, Item, ItemStore, Put, Query, Scalar, Update
from levante_core.ports.item_store import Write as StoreWrite
from levante_core.ports.surroundings import ChangeWatch, Clock
from levante_core.services.conflicts import Conflicts
from levante_core.services.dispatch.sender import Dispatch
from levante_core.services.executions.lookup import find_open_run
from levante_core.services.history.loading import last_index, read_all
from levante_core.services.messages.handler_checks import HandlerChecks, HandlerKind, refused
from levante_core.storage import keys
from levante_core.storage.runs import (
    MAIL_HELD_UNTIL,
    Recorded,
    RunSummary,
    batch_of,
    fact_item,
    message_fact,
    message_number_of,
    open_run,
    run_id_of,
    summary_of,
)

REMEMBERED_FOR = timedelta(days=30)
"""So long a repeat of a message that was sent under an id is recognised."""

Write: TypeAlias = Callable[[int, datetime], RunMessage]


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A message as it was accepted. index: of the last batch before; the answer can only follow."""

    run: RunKey
    number: int
    index: int


class MessageService:
    """Accepts signals, updates and requests to cancel, and waits for the answers to updates."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        watch: ChangeWatch,
        *,
        dispatch: Dispatch,
        checks: HandlerChecks,
        conflicts: Conflicts,
    ) -> None:
        self._store = store
        self._clock = clock
        self._watch = watch
        self._dispatch = dispatch
        self._checks = checks
        self._conflicts = conflicts

    def signal(self, workspace: Workspace, execution_id: str, name: str, value: Json, request_id: str | None = None) -> None:
        """Accept a signal; it is durable on return.

        request_id: a repeat with the same one changes nothing; without one it is another signal.
        Raises: NotFound, NotRunning, InvalidInput. Cost: two reads and a transaction; with an id, a read more.
        """
        if request_id and self._find(workspace, execution_id, request_id):
            return
        execution = self._open(workspace, execution_id)
        self._checks.check(execution, HandlerKind.SIGNAL, name, value)
        self._accept(execution, lambda number, at: SignalReceived(number=number, at=at, name=name, input=value), request_id)

    def cancel(self, workspace: Workspace, execution_id: str) -> None:
        """Ask the workflow code to end. A repeat is harmless. Raises: NotFound, NotRunning. Cost: as `signal`."""
        execution = self._open(workspace, execution_id)
        if not execution.is_cancel_requested:
            self._accept(execution, lambda number, at: CancelRequested(number=number, at=at))

    def update(
        self,
        workspace: Workspace,
        execution_id: str,
        name: str,
        value: Json,
        seconds: float,
        *,
        request_id: str | None = None,
    ) -> Json:
        """Accept an update, and return what its handler answers.

        request_id: a repeat with the same one gets the answer to the first; without one it is another update.
        Raises: NotFound, NotRunning, InvalidInput; HandlerFailed; ResultNotReady when the time is over, and the update goes
        on. Cost: as `signal`, a query before, and one for every look; see ChangeWatch.
        """
        deadline = self._clock.now() + timedelta(seconds=seconds)
        accepted = self._find(workspace, execution_id, request_id) if request_id else None
        if accepted is None:
            execution = self._open(workspace, execution_id)
            self._checks.check(execution, HandlerKind.UPDATE, name, value)
            index = last_index(self._store, execution.key)
            accepted = self._accept(
                execution,
                lambda number, at: UpdateRequested(number=number, at=at, name=name, input=value),
                request_id,
                index,
            )
        answer = self._answer(accepted, deadline)
        if isinstance(answer, UpdateFailed):
            raise refused(f"update {name!r}", answer.failure)
        return answer.result

    # --- accepting ----------------------------------------------------------------------------------------------------

    def _open(self, workspace: Workspace, execution_id: str) -> RunSummary:
        return find_open_run(self._store, workspace, execution_id)

    def _find(self, workspace: Workspace, execution_id: str, request_id: str) -> _Accepted | None:
        """Return what became of a message that was sent under this id before, in whatever run."""
        item = self._store.get(keys.accepted(workspace, ExecutionId(execution_id), request_id))
        if item is None:
            return None
        run = RunKey(workspace, ExecutionId(execution_id), run_id_of(item))
        return _Accepted(run, message_number_of(item), 0)

    def _accept(self, execution: RunSummary, write: Write, request_id: str | None = None, index: int = 0) -> _Accepted:
        """Record a message under the next number of the latest run. index: of the last batch of this run."""
        asked = execution.key
        latest: RunSummary | None = execution
        for _ in self._conflicts.attempts():
            execution = self._ready(latest or self._open(asked.workspace, asked.execution_id))
            run, number, now = execution.key, execution.mail_count + 1, self._clock.now()
            fact = message_fact(write(number, now))
            counted: dict[str, Scalar] = {"mail_count": number}
            if isinstance(fact.input, CancelRequested):
                if execution.is_cancel_requested:  # by somebody else, who was faster
                    return _Accepted(run, execution.mail_count, 0)
                counted["is_cancel_requested"] = True
            held_until = wire_time(execution.mail_held_until) if execution.mail_held_until else None
            unchanged = open_run(run, **{"mail_count": execution.mail_count, MAIL_HELD_UNTIL: held_until})
            key = keys.execution(run.workspace, run.execution_id)
            recorded = Recorded(run, execution.pool, now)
            writes: list[StoreWrite] = [
                Update(key, set_attributes=counted, condition=unchanged),
                Put(fact_item(recorded, fact), Absent()),
            ]
            if request_id:
                once = keys.accepted(run.workspace, run.execution_id, request_id)
                expires_at = int((now + REMEMBERED_FOR).timestamp())
                known_by: dict[str, Scalar] = {"run_id": run.run_id, "number": number, EXPIRES_AT: expires_at}
                writes.append(Put(Item(once, known_by), Absent()))
            try:
                self._store.write(*writes)
            except ConditionFailed:
                known = self._find(run.workspace, run.execution_id, request_id) if request_id else None
                if known:
                    return known
                latest = None  # to be read after the pause: what is read now would be old by then
            else:
                self._dispatch.dispatch_now([FactRecorded(run, execution.pool, now, fact)])
                return _Accepted(run, number, index if run == asked else 0)
        raise Unavailable(f"execution {execution.key.execution_id!r} gets too many messages at once: try again")

    def _ready(self, execution: RunSummary) -> RunSummary:
        """Wait while an execution that is about to end takes no more messages. Raises: NotRunning when it has ended."""
        run = execution.key
        while execution.mail_held_until and (left := (execution.mail_held_until - self._clock.now()).total_seconds()) > 0:
            with self._watch.watch(keys.execution(run.workspace, run.execution_id).partition) as watched:
                execution = self._open(run.workspace, run.execution_id)
                watched.wait(left)
            execution = self._open(run.workspace, run.execution_id)
        return execution

    # --- waiting for an answer ----------------------------------------------------------------------------------------

    def _answer(self, accepted: _Accepted, deadline: datetime) -> Answer:
        while True:
            run = accepted.run
            with self._watch.watch(keys.history(run.workspace, run.run_id)) as watched:
                while isinstance(answer := self._look(accepted), int):
                    accepted = _Accepted(run, accepted.number, answer)
                    left = (deadline - self._clock.now()).total_seconds()
                    if left <= 0:
                        raise ResultNotReady("the update was accepted, and is not answered yet; it goes on")
                    watched.wait(left)
            if not isinstance(answer, _Accepted):
                return answer
            accepted = answer

    def _look(self, accepted: _Accepted) -> Answer | _Accepted | int:
        """Return the answer, if it is there; where to look, if a new run has the message; else the last index seen."""
        run, index = accepted.run, accepted.index
        first, last = keys.batch(run, index + 1), keys.prefixed(keys.BATCH)[1]
        for item in read_all(self._store, Query(first.partition, first=first.sort, last=last)):
            batch = batch_of(item)
            index = batch.index
            for event in batch.events:
                if isinstance(event, UpdateCompleted | UpdateFailed) and event.update == accepted.number:
                    return event
                if isinstance(event, ExecutionContinuedAsNew) and event.mail_taken < accepted.number:
                    follower = RunKey(run.workspace, run.execution_id, RunId(event.run_id))
                    return _Accepted(follower, accepted.number - event.mail_taken, 0)
                if isinstance(event, CLOSINGS):
                    status = self._status(run)
                    problem = f"execution {run.execution_id!r} ended before it answered the update: it is {status.value}"
                    raise NotRunning(problem, status.value)
        return index

    def _status(self, run: RunKey) -> ExecutionStatus:
        item = self._store.get(keys.execution(run.workspace, run.execution_id))
        if item is None or run_id_of(item) != run.run_id:
            item = self._store.get(keys.earlier_run(run))
        if item is None:
            raise NotFound(f"execution {run.execution_id!r} has no run {run.run_id!r}")
        return summary_of(item).status
