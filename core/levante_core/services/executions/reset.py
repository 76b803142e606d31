"""Resets and forks: another run goes on from an earlier point of a history, in place of the run or beside it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from pydantic_core import from_json

from levante_core.domain import names
from levante_core.domain.dispatch.plan import OpenWork, RunStarted, outstanding, plan
from levante_core.domain.dispatch.tasks import Fact
from levante_core.domain.executions.execution import Execution, Reset, RunKey, close, resumed
from levante_core.domain.executions.reset import carried, kept, points
from levante_core.domain.executions.search_keys import after
from levante_core.domain.frozen import Json
from levante_core.domain.history.events import ExecutionTerminated
from levante_core.domain.history.run_messages import message_key
from levante_core.domain.history.state import HistoryBatch, fold
from levante_core.domain.names import RunId, Workspace
from levante_core.domain.payloads import is_encoded
from levante_core.errors import InvalidResetPoint, NotApplicable, Unavailable
from levante_core.ports.item_store import Absent, ConditionFailed, Item, ItemStore, Put, Write
from levante_core.ports.surroundings import Clock, Ids
from levante_core.services.catalogue.builds import BuildService
from levante_core.services.conflicts import Conflicts
from levante_core.services.dispatch.effects import EffectService
from levante_core.services.executions.lookup import execution_if_any, find_execution
from levante_core.services.history.loading import History, read_history
from levante_core.services.history.showing import shown
from levante_core.storage.attempts import noted_by_hand
from levante_core.storage.runs import (
    ASKS_FOR_WORK,
    Recorded,
    batch_item,
    earlier_run_item,
    execution_item,
    fact_item,
    message_fact,
    run_pointer_item,
    unchanged_run,
)


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """event_id: the last event to be kept; None for the last that an execution can go on from.

    Signals and updates that came after it are the new run's, unless excluded. new_run_id: by which a repeat is recognised.
    only_run: the run that is meant; a later one of the execution is left alone.
    """

    event_id: int | None
    reason: str | None = None
    exclude_signals: bool = False
    exclude_updates: bool = False
    new_run_id: RunId | None = None
    only_run: RunId | None = None


@dataclass(frozen=True, slots=True)
class ResetPoint:
    """An event that an execution can go on from without what follows it. name: of what it is about, if that has one."""

    event_id: int
    kind: str
    name: str | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """From which event on an execution is forked, and into which; None for an id that is made. user_id: of whoever asks."""

    reset: ResetRequest
    execution_id: str | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Continuation:
    """A run that goes on from a point of another one: the items of its history, and what it waits for.

    last_index: of the last batch of the other one.
    """

    new: Execution
    items: tuple[Item, ...]
    work: OpenWork
    last_index: int


class ResetService:
    """Lets executions go on from an earlier point, open or closed."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        ids: Ids,
        *,
        effects: EffectService,
        builds: BuildService,
        conflicts: Conflicts,
        retention: timedelta | None,
    ) -> None:
        """retention: how long closed runs are kept; None for ever."""
        self._retention = retention
        self._builds = builds
        self._conflicts = conflicts
        self._store = store
        self._clock = clock
        self._ids = ids
        self._effects = effects

    def reset(self, workspace: Workspace, execution_id: str, request: ResetRequest) -> None:
        """Go on from this event with a new run, which replays what is kept; the latest run ends if it is open.

        Raises: NotFound, InvalidResetPoint, Unavailable; NotApplicable if the run that is meant is not the latest.
        Cost: reads the history, writes what is kept of it, a transaction.
        """
        run_id = request.new_run_id or RunId(self._ids.uuid())
        for _ in self._conflicts.attempts():
            execution = find_execution(self._store, workspace, execution_id)
            if execution.key.run_id == run_id:
                return
            if request.only_run not in {None, execution.key.run_id}:
                raise NotApplicable(f"execution {execution_id!r} has gone on as run {execution.key.run_id} meanwhile")
            if self._reset(execution, run_id, request):
                return
        raise Unavailable(f"execution {execution_id!r} is advancing too fast to be reset: try again")

    def fork(self, workspace: Workspace, execution_id: str, request: ForkRequest) -> Execution:
        """Start another execution that goes on from this event; the one that it is forked from does not notice.

        A repeat returns the execution that there is. Raises: NotFound; InvalidResetPoint; NotApplicable if the other id is
        taken, or payloads are encoded, which is done for one id alone. Cost: as `reset`, and a read.
        """
        new_id = names.execution_id(request.execution_id or self._ids.uuid().replace("-", ""))
        old = find_execution(self._store, workspace, execution_id)
        taken = execution_if_any(self._store, workspace, new_id)
        if taken is None:
            key = RunKey(workspace, new_id, RunId(self._ids.uuid()))
            made = self._continuation(old, key, request.reset)
            _require_plain(made, new_id)
            made = replace(made, new=_forked(made.new, request.user_id))
            self._store.write_each([[Put(item)] for item in made.items])
            writes = Put(execution_item(made.new), Absent()), Put(run_pointer_item(key), Absent())
            try:
                self._store.write(*writes)
            except ConditionFailed:
                taken = find_execution(self._store, workspace, new_id)
            else:
                self._send_for(made)
                return made.new
        begun_by = taken.start.reset
        if begun_by is None or (begun_by.run_id, begun_by.event_id) != (old.key.run_id, request.reset.event_id):
            raise NotApplicable(f"there is an execution {new_id!r} already: take another id")
        return taken

    def points(self, workspace: Workspace, execution_id: str, *, after: int, limit: int) -> tuple[RunKey, list[ResetPoint]]:
        """List the events from which the latest run can go on anew, in order, of those that follow an event.

        Raises: NotFound. Cost: reads the history.
        """
        execution = find_execution(self._store, workspace, execution_id)
        history = read_history(self._store, execution.key)
        valid = {point.event_id for point in points(history.batches, {fact.key: fact.input for fact in history.facts})}
        found = (point for point in _events(execution, history) if point.event_id in valid and point.event_id > after)
        return execution.key, list(islice(found, limit))

    def _reset(self, old: Execution, run_id: RunId, request: ResetRequest) -> bool:
        """Write copies that nobody sees, then put the new run in the old one's place. Tells whether that was possible."""
        made = self._continuation(old, replace(old.key, run_id=run_id), request)
        self._store.write_each([[Put(item)] for item in made.items])
        if not self._switch(old, made.new, made.last_index):
            return False
        self._send_for(made)
        return True

    def _send_for(self, made: _Continuation) -> None:
        new, now = made.new, self._clock.now()
        started = RunStarted(new.key, new.pool, new.start)
        self._effects.carry_out([*plan(started), *outstanding(new.key, new.pool, made.work, now)])

    def _continuation(self, old: Execution, key: RunKey, request: ResetRequest) -> _Continuation:
        """Make the run that goes on from an event under another key. Raises: InvalidResetPoint."""
        history = read_history(self._store, old.key)
        facts = {fact.key: fact.input for fact in history.facts}
        indexes = {point.event_id: point.index for point in points(history.batches, facts)}
        event_id = max(indexes) if request.event_id is None else request.event_id
        if event_id not in indexes:
            raise InvalidResetPoint(event_id, sorted(indexes))
        until = indexes[event_id]
        state = fold(history.batches[:until], facts)
        messages = carried(
            facts, state, old.mail_count, signals=not request.exclude_signals, updates=not request.exclude_updates
        )
        seed = old.start.reset.seed if old.start.reset else old.key.run_id
        reset = Reset(run_id=old.key.run_id, event_id=event_id, batches=until, seed=seed, reason=request.reason)
        now = self._clock.now()
        found_by = after(old.start.search_keys, (event for batch in history.batches[:until] for event in batch.events))
        newest = self._builds.newest(key.workspace, old.pool)
        resumed_run = resumed(old, key, reset, now, mail_count=state.mail_taken + len(messages))
        new = replace(resumed_run, search_keys=found_by, pool=newest)
        untaken = [message_fact(message) for message in messages]
        batches = tuple(kept(history.batches[:until], state))
        taken = state.taken | {message_key(number) for number in range(1, state.mail_taken + 1)}
        dated = zip(history.facts, history.facts_recorded_at, strict=True)
        copied = [*((fact, at) for fact, at in dated if fact.key in taken), *((fact, now) for fact in untaken)]
        items = tuple(_copies(new, history, batches, copied))
        return _Continuation(new, items, OpenWork(fold(batches, facts), untaken, {}), len(history.batches))

    def _switch(self, old: Execution, new: Execution, last_index: int) -> bool:
        """Close the old run if it is open, and put the new one in its place."""
        now = self._clock.now()
        writes: list[Write] = []
        ended = old
        if old.is_open:
            event = ExecutionTerminated(at=now)
            status, ending = close(event, now, self._retention)
            ended = replace(old, status=status, ending=ending)
            batch = HistoryBatch(index=last_index + 1, commit_id=self._ids.uuid(), events=(event,))
            writes.append(Put(batch_item(Recorded(old.key, old.pool, now), batch, asks_for_work=False), Absent()))
        writes.append(Put(execution_item(new), unchanged_run(old)))
        writes.append(Put(earlier_run_item(replace(ended, parent=None)), Absent()))
        writes.append(Put(run_pointer_item(new.key), Absent()))
        try:
            self._store.write(*writes)
        except ConditionFailed:
            return False
        return True


def _events(execution: Execution, history: History) -> Iterator[ResetPoint]:
    """Yield all events, with their names: of an outcome, that of what was asked for."""
    start, names = execution.start, dict[int, str]()
    yield ResetPoint(1, "execution_started", start.workflow_name, start.started_at)
    for event_id, (event, recorded_at) in enumerate(shown(history), 2):
        seq, name = getattr(event, "seq", None), getattr(event, "name", None) or getattr(event, "workflow_name", None)
        if name and seq:
            names[seq] = name
        yield ResetPoint(event_id, event.kind, name or names.get(seq or 0), recorded_at)


def _copies(
    new: Execution, history: History, batches: Sequence[HistoryBatch], facts: Iterable[tuple[Fact, datetime]]
) -> Iterator[Item]:
    """Make the items of the new run's history. None asks for work: what is open is asked for once the run is there."""
    for batch, at in zip(batches, history.recorded_at, strict=False):
        yield batch_item(Recorded(new.key, new.pool, at), batch, asks_for_work=False)
    for fact, at in facts:
        yield _silent(noted_by_hand(fact_item(Recorded(new.key, new.pool, at), fact), history.by_hand.get(fact.key)))


def _forked(new: Execution, user_id: str | None) -> Execution:
    """Make a continuation an execution of its own: nobody's child, and of no schedule."""
    alone = {"first_run_id": None, "continued_run_id": None, "schedule_id": None}
    return replace(
        new,
        start=new.start.model_copy(update=alone),
        root_execution_id=new.key.execution_id,
        parent=None,
        user_id=user_id,
        tracing=new.tracing.model_copy(update={"traceparent": None}),
        has_parked=False,
    )


def _require_plain(made: _Continuation, execution_id: str) -> None:
    """Check that no payload is encoded. Raises: NotApplicable."""
    texts = [made.new.start.model_dump_json(), *(text for item in made.items for text in item.documents.values())]
    if any(_holds_encoded(from_json(text)) for text in texts):
        problem = "its payloads are encoded for its own id alone"
        raise NotApplicable(f"it cannot be forked into {execution_id!r}: {problem}; reset it, or rerun it with an input")


def _holds_encoded(value: Json) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return is_encoded(value) or any(map(_holds_encoded, parts))


def _silent(item: Item) -> Item:
    return replace(item, attributes={**item.attributes, ASKS_FOR_WORK: False})
