"""Why an execution is where it is: everything that it waits for, who has to act, and what can be done by hand."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import assert_never

from levante_core.domain.activities.retry import FailedAttempt
from levante_core.domain.dispatch.plan import OpenWork
from levante_core.domain.executions.blockers import Blocker, BlockerKind
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.executions.waits import Actor, Observed, Remedy, Wait, WaitKind, waits_of
from levante_core.domain.frozen import wire_time
from levante_core.domain.history.events import ActivityScheduled, ChildScheduled, TimerStarted
from levante_core.domain.history.notes import CodeFailed
from levante_core.domain.history.run_messages import CancelRequested
from levante_core.domain.history.transitions import ActivityState
from levante_core.domain.names import Workspace
from levante_core.errors import InconsistentHistory, NotFound, Unreadable, loggable
from levante_core.ports.item_store import Item, ItemStore, Query
from levante_core.ports.queues import Queues
from levante_core.ports.surroundings import Clock
from levante_core.protocol.workers import TaskQueue
from levante_core.services.dispatch.sender import group_of, queue_name
from levante_core.services.executions.blockers import BlockerService
from levante_core.services.executions.lookup import find_summary
from levante_core.services.history.loading import History, failed_in_place, open_work, read_all, read_history
from levante_core.storage import keys
from levante_core.storage.attempts import attempt_of, failed_attempts, free_at_of, heartbeat_of
from levante_core.storage.catalogue import registration_of
from levante_core.storage.decoding import readable
from levante_core.storage.parked import Parked
from levante_core.storage.runs import RunSummary

logger = logging.getLogger("levante.explain")

MOST_WAITS = 500
"""So many entries are shown; the summary counts all."""
MOST_LOOKED_FOR = 100
"""Activities of a run whose workers and rate limits are looked for."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What an execution waits for, or that it has ended. summary: one sentence."""

    run: RunSummary
    summary: str
    waits: tuple[Wait, ...]


class ExplainService:
    """Explains executions, from the same fold of their histories that the engine acts by."""

    def __init__(self, store: ItemStore, queues: Queues, clock: Clock, blockers: BlockerService) -> None:
        self._store = store
        self._queues = queues
        self._clock = clock
        self._blockers = blockers

    def find(self, workspace: Workspace, execution_id: str) -> RunSummary:
        """Return the run that is to be explained, the latest one. Raises: NotFound. Cost: one read."""
        return find_summary(self._store, workspace, execution_id)

    def explain(self, run: RunSummary, parked: Sequence[Parked] = ()) -> Explanation:
        """Say what a run waits for; while it is open, there is always something. parked: what of it was parked.

        Cost: none for a run that is closed; else reads the history, two queries, what `blockers` costs, a read for the
        workflow's registration, and one for each rate limit of an activity that waits.
        """
        if not run.is_open:
            ended = f" at {wire_time(run.ended_at)}" if run.ended_at else ""
            return Explanation(run, f"It has ended{ended}: it is {run.status.value}.", ())
        blockers = self._blockers.of(run)
        waits = _ranked([*self._found(run, blockers), *_blocking(blockers), *map(_parked, parked)])
        return Explanation(run, _summary(waits), tuple(waits[:MOST_WAITS]))

    def _found(self, run: RunSummary, blockers: Sequence[Blocker]) -> list[Wait]:
        """Return what the history says; of one that is damaged, that it is."""
        try:
            history = read_history(self._store, run.key)
            return waits_of(self._observed(run, history, blockers))
        except InconsistentHistory as error:
            logger.warning("what an execution waits for cannot be said: %s", loggable(error))
            message = f"its history cannot be read: {error}"
            return [Wait(kind=WaitKind.PARKED, message=message, actor=Actor.OPERATOR, remedies=(Remedy.RESET,))]

    def _observed(self, run: RunSummary, history: History, blockers: Sequence[Blocker]) -> Observed:
        attempts, heartbeats = self._attempts(run.key)
        work = open_work(history, [attempt_of(item) for item in attempts], run.key, run.pool)
        now = self._clock.now()
        is_failing = any(blocker.kind is BlockerKind.CODE_FAILING for blocker in blockers)
        signals, updates = self._handlers(run)
        return Observed(
            work=work,
            now=now,
            started_at=run.started_at,
            asked_at=dict(_asked_at(history)),
            facts_at={fact.key: at for fact, at in zip(history.facts, history.facts_recorded_at, strict=True)},
            failed={failed.seq: failed for failed in [*failed_in_place(history), *_failed(attempts)]},
            heartbeats=dict(_heartbeats(heartbeats)),
            workers=dict(self._workers(run, work, now)),
            places=dict(self._places(run, work, now)),
            code_failure=_code_failure(history),
            is_code_failing=is_failing,
            cancel_requested_at=_cancel_requested_at(history) if run.is_cancel_requested else None,
            signals=signals,
            updates=updates,
        )

    def _attempts(self, run: RunKey) -> tuple[list[Item], list[Item]]:
        """Read which attempts of activities follow others, and the last heartbeats."""
        partition, first, last = keys.history(run.workspace, run.run_id), keys.ATTEMPT, keys.prefixed(keys.HEARTBEAT)[1]
        items = list(read_all(self._store, Query(partition, first=first, last=last)))
        attempts = [item for item in items if item.key.sort.startswith(keys.ATTEMPT)]
        return attempts, items[len(attempts) :]

    def _handlers(self, run: RunSummary) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the signals and updates that the workflow takes, as its deployment has registered it."""
        item = self._store.get(keys.registration(run.key.workspace, run.workflow_name, run.pool.deployment))
        specs = [registration.spec for registration in readable([item] if item else [], registration_of)]
        spec = next(iter(specs), None)
        if spec is None:
            return (), ()
        return tuple(signal.name for signal in spec.signals), tuple(update.name for update in spec.updates)

    def _workers(self, run: RunSummary, work: OpenWork, now: datetime) -> Iterator[tuple[int | None, str]]:
        """Yield who holds the tasks of a run, as far as the queues can tell."""
        workspace = run.key.workspace
        sought: list[tuple[int | None, str]] = [(None, queue_name(workspace, run.pool, TaskQueue.WORKFLOW))]
        for seq, scheduled in islice(_queued(work, now), MOST_LOOKED_FOR):
            pool = run.pool.for_session(scheduled.options.session)
            sought.append((seq, queue_name(workspace, pool, TaskQueue.ACTIVITY)))
        for which, queue in sought:
            with suppress(NotFound):
                consumer = self._queues.consumer_of(queue, group_of(run.key, which))
                if consumer:
                    yield which, consumer.rpartition("/")[2]

    def _places(self, run: RunSummary, work: OpenWork, now: datetime) -> Iterator[tuple[int, datetime]]:
        """Yield when the rate limits of activities that wait have their next places, as far as that is not now."""
        limited = ((seq, scheduled) for seq, scheduled in _queued(work, now) if scheduled.options.rate_limit)
        for seq, scheduled in islice(limited, MOST_LOOKED_FOR):
            shared = scheduled.options.rate_limit.key if scheduled.options.rate_limit else None
            name = keys.rate_limit_name(shared, scheduled.name)
            item = self._store.get(keys.rate_limit(run.key.workspace, run.pool.deployment, name))
            with suppress(Unreadable):
                free_at = free_at_of(item) if item else now
                if free_at > now:
                    yield seq, free_at


def _queued(work: OpenWork, now: datetime) -> Iterator[tuple[int, ActivityScheduled]]:
    """Yield the activities of which an attempt may begin, or has begun, over the queue."""
    for seq, activity in sorted(work.state.activities.items()):
        retry = work.retries.get(seq)
        is_due = retry is None or (retry.due_at <= now and not retry.is_deferred)
        if activity.state is ActivityState.QUEUED and is_due:
            yield seq, activity.scheduled


def _asked_at(history: History) -> Iterator[tuple[int, datetime]]:
    for batch, at in zip(history.batches, history.recorded_at, strict=True):
        for event in batch.events:
            if isinstance(event, ActivityScheduled | TimerStarted | ChildScheduled):
                yield event.seq, at


def _failed(attempts: Sequence[Item]) -> Iterator[FailedAttempt]:
    for failed in readable(attempts, failed_attempts):
        yield from failed[-1:]


def _heartbeats(items: Sequence[Item]) -> Iterator[tuple[int, datetime]]:
    for seq, at in readable(items, heartbeat_of):
        if at is not None:
            yield seq, at


def _code_failure(history: History) -> Failure | None:
    """Return what the code raised over the last batch, if it did."""
    events = history.batches[-1].events if history.batches else ()
    return next((event.failure for event in events if isinstance(event, CodeFailed)), None)


def _cancel_requested_at(history: History) -> datetime | None:
    return next((fact.input.at for fact in history.facts if isinstance(fact.input, CancelRequested)), None)


def _blocking(blockers: Sequence[Blocker]) -> Iterator[Wait]:
    """Show what `blockers` finds beside the history. Without a worker, code that fails is not tried again."""
    is_served = all(blocker.kind is not BlockerKind.NO_WORKER for blocker in blockers)
    for blocker in blockers:
        match blocker.kind:
            case BlockerKind.CODE_FAILING:
                yield Wait(
                    kind=WaitKind.CODE_FAILING,
                    message=blocker.message,
                    since=blocker.since,
                    until=blocker.next_attempt_at if is_served else None,
                    attempt=blocker.attempt,
                    failure=blocker.failure,
                    actor=Actor.DEVELOPER,
                    remedies=(Remedy.RESET,),
                )
            case BlockerKind.NO_WORKER:
                yield Wait(kind=WaitKind.NO_WORKER, message=blocker.message, actor=Actor.OPERATOR)
            case BlockerKind.ACTIVITY_FAILING | BlockerKind.PAUSED:
                pass  # the history says the same, and more
            case _:
                assert_never(blocker.kind)


def _parked(parked: Parked) -> Wait:
    return Wait(
        kind=WaitKind.PARKED,
        message=f"a {parked.kind} of it could not be handled: {parked.error}",
        since=parked.since,
        until=parked.retry_at,
        attempt=parked.count,
        actor=Actor.OPERATOR,
    )


_FIRST = (
    WaitKind.PAUSED,
    WaitKind.NO_WORKER,
    WaitKind.CODE_FAILING,
    WaitKind.PARKED,
    WaitKind.ACTIVITY_FAILING,
    WaitKind.CANCEL_REQUESTED,
)
"""What has gone wrong, or was asked for, is shown before what takes its course."""


def _ranked(waits: Sequence[Wait]) -> list[Wait]:
    """Sort entries: what keeps the execution from going on first. That no worker is there does so if one is needed."""
    needs_worker = any(wait.actor in (Actor.WORKER, Actor.DEVELOPER) for wait in waits)

    def rank(wait: Wait) -> int:
        if wait.kind is WaitKind.NO_WORKER and not needs_worker:
            return len(WaitKind)
        return _FIRST.index(wait.kind) if wait.kind in _FIRST else len(_FIRST)

    return sorted(waits, key=rank)


def _summary(waits: Sequence[Wait]) -> str:
    first = waits[0].message
    more = f", and {len(waits) - 1} more" if len(waits) > 1 else ""
    return f"{first[:1].upper()}{first[1:]}{more}."
