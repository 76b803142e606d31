"""Advancing one run for as long as this worker holds its workflow task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, assert_never
from uuid import uuid4

from levante.errors import NonDeterminismError, to_failure
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.replayer import replay
from levante.replay.rules import RunRules
from levante.replay.run import WorkflowRun
from levante.worker.activities.attempt import Attempt
from levante.worker.activities.attempt_end import AttemptEnd
from levante.worker.activities.runner import MOMENT_SECONDS
from levante.worker.context import WorkerContext
from levante.worker.runs.history_size import recorded_bytes
from levante.worker.runs.ledger import OWNER_LOST, STOPPED, RunLedger
from levante.worker.runs.loading import load_whole
from levante.worker.runs.paused import PausedRun, record_notes
from levante.worker.runs.queries import QueryAnswers
from levante.worker.tasks.leases import Leases
from levante.worker.transport.api import KeyRefused
from levante_core.protocol import (
    ActivityWork,
    ExecutionStatus,
    Fact,
    HistoryBatch,
    HistoryEvent,
    RunState,
    TimerFired,
    WorkflowTask,
    fold,
)
from levante_core.protocol.capabilities import attempt_token
from levante_core.protocol.workers import (
    Commit,
    CommitOutcome,
    CommitResult,
    LoadRequest,
    LoadResponse,
    QueryRequest,
)

logger = logging.getLogger("levante.worker")

LOOK_SECONDS = 1.0
"""How often a worker that runs activities in place looks for new facts; timers due sooner are waited for."""
COMMIT_BYTES = 3 * 1024 * 1024
"""Results taken into one batch, the last one not counted: with it the batch stays below what one call may carry."""


class WorkflowUnknown(Exception):
    """This worker does not serve the workflow of the run."""

    def __init__(self, workflow_name: str, served: Iterable[str]) -> None:
        self.workflow_name = workflow_name
        super().__init__(f"this worker does not serve workflow {workflow_name!r}; it serves: {', '.join(sorted(served))}")


class CommitImpossible(Exception):
    """What the code has asked for could never be recorded."""


class RunDriver:
    """Holds one execution: takes facts, runs activities in place, commits once per step.

    `ledger` may come from the cache; it is None until the history is loaded, and None again when the run is closed.
    receipts: the messages held; they are dealt with once everything that they could lead to is recorded.
    """

    def __init__(
        self, context: WorkerContext, leases: Leases, task: WorkflowTask, receipts: Sequence[str], ledger: RunLedger | None
    ) -> None:
        self.ledger = ledger
        self._context = context
        self._leases = leases
        self._task = task
        self._receipts = tuple(receipts)
        self._running: dict[int, asyncio.Task[AttemptEnd]] = {}
        self._attempts: dict[int, Attempt] = {}
        self._is_stopping = False
        self._is_dealt_with = False
        self._is_redelivered = False
        self._queries: list[QueryRequest] = []
        self._answers = QueryAnswers(context, task)
        self._stop_now: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._looked_at = asyncio.get_running_loop().time()

    async def advance(self, facts: Sequence[Fact], *, is_trusted: bool, is_redelivered: bool) -> bool:
        """Do all there is to do. Returns whether the messages are dealt with by a commit already.

        facts: those that came with the messages. is_trusted: the messages are new, so nothing else can be recorded that they
        do not have. is_redelivered: another worker held the messages before. Raises: WorkflowCodeFailed,
        NonDeterminismError, with all outcomes recorded that were had, and whoever asks something has an answer.
        """
        self._is_redelivered = is_redelivered
        try:
            await self._open(facts, is_trusted=is_trusted)
            while self.ledger and not await self._step(self.ledger):
                pass
        except (WorkflowCodeFailed, NonDeterminismError) as error:
            try:
                await self._leave(error)
            finally:
                self._drop()
            raise
        except BaseException:
            self._drop()
            raise
        finally:
            self._cancel_running()
        return self._is_dealt_with

    async def _leave(self, error: WorkflowCodeFailed | NonDeterminismError) -> None:
        """Record what was had, and answer who asks. If that fails, it is logged: the run's own error is what counts."""
        try:
            if isinstance(error, WorkflowCodeFailed):
                await self._save_inputs(error)
        except KeyRefused:
            raise
        except Exception:
            logger.exception("what execution %s had when its code failed is not recorded", self._task.execution_id)
        queries, self._queries = self._queries, []
        await self._answers.refuse(queries, error.__cause__ or error)

    def stop(self, *, now: bool) -> None:
        """Take on nothing more in place. now: hand over at once what is running in place."""
        self._is_stopping = True
        if self.ledger:
            self.ledger.may_run_in_place = False
        if now and not self._stop_now.done():
            self._stop_now.set_result(None)

    # --- opening ------------------------------------------------------------------------------------------------------

    async def _open(self, facts: Sequence[Fact], *, is_trusted: bool) -> None:
        if self.ledger is None and is_trusted and self._task.start:
            start = await self._context.payloads.decoded_start(self._task.start, self._task.execution_id)
            code = self._new_code(start.workflow_name, self._task.model_copy(update={"start": start}))
            self.ledger = RunLedger(code, RunState(), self._context, self._task.token)
            self.ledger.may_run_in_place = not self._is_stopping
            self.ledger.begin(await self._decoded(facts, self.ledger))
        elif self.ledger is None:
            await self._load()
        else:
            self.ledger.may_run_in_place = is_trusted and not self._is_stopping
            if is_trusted:
                self.ledger.take(await self._decoded(facts, self.ledger))
            else:
                await self._look(self.ledger)
        if self.ledger and (self.ledger.lacks_messages or self.ledger.lacks_history):
            await self._look(self.ledger)

    async def _load(self, had: Sequence[HistoryEvent] = (), refused: Sequence[HistoryEvent] = ()) -> None:
        """Start from what is recorded. Nothing runs in place until a commit shows that this worker is the one to go on.

        had: how attempts in place ended, as far as that could not be recorded. refused: the same as another writer refused
        it, which counts if that was who paused the run.
        """
        self._forget()
        loaded = await self._loaded(LoadRequest(token=self._task.token), {})
        if loaded.status is not ExecutionStatus.RUNNING or loaded.token is None:
            self._cancel_running()
            await self._answers.answer_from(partial(self._new_code_of, loaded), loaded)
            return
        inputs = {fact.key: fact.input for fact in loaded.facts}
        state = fold(loaded.batches, inputs)
        if state.paused:
            await self._leave_paused(loaded, state, [*had, *refused])
            return
        self._cancel_running()
        code = self._new_code_of(loaded)
        ledger = self.ledger = RunLedger(code, state, self._context, loaded.token, recorded_bytes(loaded, state))
        self._queries += loaded.queries
        if state.has_begun:
            ledger.ask(replay(code, loaded.batches, inputs))
        else:
            ledger.begin(loaded.facts, lost_at=self._context.now() if self._is_redelivered else None)
        ledger.take(loaded.facts)
        for event in had:
            ledger.regain(event)
        ledger.give_up_claims(OWNER_LOST, self._context.now())

    async def _reload(self, had: Sequence[HistoryEvent] = (), refused: Sequence[HistoryEvent] = ()) -> None:
        """Somebody else wrote: start from what is recorded, unless it is somebody else's turn now. Raises: LeaseIsLost."""
        self._forget()
        await self._leases.confirm(self._receipts)
        await self._load(had, refused)

    async def _leave_paused(self, loaded: LoadResponse, state: RunState, had: Sequence[HistoryEvent]) -> None:
        """Answer who asks, see out what runs in place, and leave the run as it is, unless it is resumed meanwhile."""
        await self._answers.answer_from(partial(self._new_code_of, loaded), loaded)
        paused = PausedRun(self._context, state, self._attempts, self._stop_now)
        running, self._running = self._running, {}
        notes = await paused.see_out(running, had)
        if notes and not await record_notes(self._context, self._task.token, notes):
            await self._load(notes)

    async def _look(self, ledger: RunLedger) -> None:
        """Take new facts; if somebody else has advanced the run, start from what is recorded."""
        self._looked_at = asyncio.get_running_loop().time()
        request = LoadRequest(
            token=ledger.token,
            after_index=ledger.state.last_index,
            open_from=ledger.open_from,
            mail_from=ledger.state.mail_taken + 1,
        )
        loaded = await self._loaded(request, ledger.open_children)
        self._queries = list(loaded.queries)
        if loaded.batches or loaded.status is not ExecutionStatus.RUNNING:
            await self._reload()
            return
        ledger.take(loaded.facts)

    async def _loaded(self, request: LoadRequest, children: Mapping[int, str]) -> LoadResponse:
        """Read history, decoded. children: execution ids of those that the batches asked for do not have, by seq."""
        loaded = await load_whole(self._context.api, request)
        return await self._context.payloads.decoded_load(loaded, self._task.execution_id, children)

    async def _decoded(self, facts: Sequence[Fact], ledger: RunLedger) -> Sequence[Fact]:
        return await self._context.payloads.decoded_facts(facts, self._task.execution_id, ledger.open_children)

    def _new_code_of(self, loaded: LoadResponse) -> WorkflowRun:
        return self._new_code(loaded.start.workflow_name, self._task.model_copy(update={"start": loaded.start}))

    def _new_code(self, workflow_name: str, task: WorkflowTask) -> WorkflowRun:
        definition = self._context.workflows.get(workflow_name)
        if definition is None or task.start is None:
            raise WorkflowUnknown(workflow_name, self._context.workflows)
        settings = self._context.settings
        rules = RunRules(settings.enforce_determinism, settings.fail_on_errors, self._context.payloads.check)
        return WorkflowRun(definition, task.execution_id, task.run_id, task.start, rules)

    # --- one step -----------------------------------------------------------------------------------------------------

    async def _step(self, ledger: RunLedger) -> bool:
        """Do the next thing. Returns whether nothing is left to do."""
        self._collect(ledger)
        self._fire_timers(ledger)
        if ledger.has_inputs or ledger.is_urgent:
            await self._commit(ledger)
            return self._is_dealt_with
        self._start(ledger)
        if self._queries:
            queries, self._queries = self._queries, []
            await self._answers.answer(ledger.code, queries)
        if self._running and asyncio.get_running_loop().time() - self._looked_at >= LOOK_SECONDS:
            await self._look(ledger)
            return False
        if self._running or self._has_near_timer(ledger):
            await self._wait(ledger)
            return False
        if ledger.pending:
            await self._commit(ledger)
            return self._is_dealt_with
        return True

    def _collect(self, ledger: RunLedger) -> None:
        """Tell the code how activities run in place ended."""
        now, room = self._context.now(), COMMIT_BYTES
        ledger.leave_unbegun(now)
        for seq, task in list(self._running.items()):
            if room <= 0:
                break
            activity = ledger.state.activities.get(seq)
            if activity is None:
                task.cancel()
                del self._running[seq]
            elif task.done():
                del self._running[seq]
                room -= ledger.settle(seq, task.result(), now)
            elif activity.is_cancel_requested:
                self._attempts[seq].demand.end()
        if self._stop_now.done() and self._running:
            self._cancel_running()
            ledger.give_up_claims(STOPPED, None)

    def _fire_timers(self, ledger: RunLedger) -> None:
        now = self._context.now()
        due = [timer for timer in ledger.state.timers.values() if timer.fire_at <= now]
        for timer in sorted(due, key=lambda timer: (timer.fire_at, timer.seq)):
            ledger.resolve(TimerFired(seq=timer.seq, at=timer.fire_at))

    def _start(self, ledger: RunLedger) -> None:
        """Start what was claimed: no input is unrecorded now."""
        task = self._task
        for seq in ledger.to_start:
            activity = ledger.state.activities.get(seq)
            if activity:
                scheduled = activity.scheduled
                work = ActivityWork(name=scheduled.name, input=scheduled.input, options=scheduled.options)
                number, scheduled_in = activity.attempt, activity.batch_index
                token = attempt_token(ledger.token, seq=seq, scheduled_in=scheduled_in, attempt=number)
                attempt = Attempt(task.execution_id, task.run_id, task.deployment_name, seq, number, token, work)
                self._attempts[seq] = attempt
                self._running[seq] = asyncio.create_task(self._context.runner.run(attempt))
        ledger.to_start.clear()

    def _has_near_timer(self, ledger: RunLedger) -> bool:
        at = ledger.next_timer_at
        return at is not None and not self._is_stopping and at - self._context.now() < timedelta(seconds=LOOK_SECONDS)

    async def _wait(self, ledger: RunLedger) -> None:
        """Wait until something ended, a timer is due, it is time to look, or time to record what is pending."""
        clock = asyncio.get_running_loop().time
        waits = [self._looked_at + LOOK_SECONDS - clock()]
        if ledger.next_timer_at:
            waits.append((ledger.next_timer_at - self._context.now()).total_seconds())
        if ledger.pending:
            waits.append(MOMENT_SECONDS)
        watched: list[asyncio.Future[Any]] = [*self._running.values(), self._stop_now]
        done, _ = await asyncio.wait(watched, timeout=max(0.0, min(waits)), return_when=asyncio.FIRST_COMPLETED)
        if done:
            return
        if ledger.pending:
            ledger.is_urgent = True
        elif clock() - self._looked_at >= LOOK_SECONDS:
            await self._look(ledger)

    # --- recording ----------------------------------------------------------------------------------------------------

    async def _commit(self, ledger: RunLedger) -> None:
        """Record what is pending. The last commit of a hold deals with its messages too."""
        is_last = ledger.is_closing or not (
            self._running or ledger.to_start or self._queries or self._has_near_timer(ledger)
        )
        result, size_bytes = await self._submit(ledger, self._receipts if is_last else ())
        match result.outcome:
            case CommitOutcome.RECORDED:
                is_closed = ledger.is_closing
                ledger.recorded(size_bytes, result.token or "")
                self._is_dealt_with = is_last
                ledger.may_run_in_place = not self._is_stopping
                if is_closed:
                    self._drop()
            case CommitOutcome.UNREAD_MESSAGES:
                await self._reload(ledger.ends_in_place)
            case CommitOutcome.IMPOSSIBLE:
                raise CommitImpossible(result.problem or "the batch could never be recorded")
            case CommitOutcome.CONFLICT | CommitOutcome.REFUSED:
                await self._reload(refused=ledger.ends_in_place)
            case _:
                assert_never(result.outcome)

    async def _submit(self, ledger: RunLedger, done: Sequence[str]) -> tuple[CommitResult, int]:
        """Send what is pending as a commit. Returns what became of it, and how many bytes it has."""
        events = await self._context.payloads.encoded_events(ledger.pending, self._task.execution_id)
        batch = HistoryBatch(index=ledger.next_index, commit_id=uuid4().hex, events=events)
        commit = Commit(
            token=ledger.token,
            batch=batch,
            mail_taken=ledger.state.mail_taken,
            history=ledger.size,
            search_keys=ledger.changed_search_keys,
            done=tuple(done),
        )
        sent = commit.model_dump_json().encode()
        return await self._context.commits.submit(sent), len(sent)

    async def _save_inputs(self, error: WorkflowCodeFailed) -> None:
        """Record outcomes that were had all the same, so that their activities are not run again.

        And that a run failed before it had any: else whoever gets its task next could not tell that from a worker that was
        lost while it ran the first activities in place. Where one may be lost, that has to be known next time, too.
        """
        ledger = self.ledger
        if ledger and not ledger.has_lost and (ledger.has_inputs or ledger.next_index == 1):
            unseen = {seq: task.result() for seq, task in self._running.items() if task.done()}
            ledger.fail(to_failure(error.__cause__ or error), unseen, self._context.now())
            await self._submit(ledger, ())

    def _drop(self) -> None:
        """Forget the live code, and what runs in place."""
        self._cancel_running()
        self._forget()

    def _forget(self) -> None:
        if self.ledger:
            self.ledger.code.dispose()
        self.ledger = None

    def _cancel_running(self) -> None:
        for task in self._running.values():
            task.cancel()
        self._running.clear()
