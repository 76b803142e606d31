"""Queries: what a running workflow says of itself. Nothing of them is recorded in history."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from levante_core.domain.dispatch.plan import SendTask
from levante_core.domain.dispatch.tasks import WorkflowTask
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.frozen import Json
from levante_core.domain.names import Workspace
from levante_core.errors import ResultNotReady
from levante_core.ports.item_store import EXPIRES_AT, Delete, Item, ItemStore, Matches, Put, Write
from levante_core.ports.surroundings import ChangeWatch, Clock, Ids
from levante_core.protocol.workers import QueryAnswer, QueryRequest
from levante_core.services.catalogue.attendance import Attendance
from levante_core.services.dispatch.sender import Dispatch
from levante_core.services.executions.lookup import find_summary
from levante_core.services.messages.handler_checks import HandlerChecks, HandlerKind, refused
from levante_core.storage import keys
from levante_core.storage.queries import answer_of, query_item
from levante_core.storage.runs import RunSummary, is_open, run_id_of

KEPT_FOR = timedelta(hours=1)
"""Queries and answers that nobody cleared away expire after this."""


class QueryService:
    """Asks workers, and takes their answers."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        ids: Ids,
        watch: ChangeWatch,
        *,
        dispatch: Dispatch,
        checks: HandlerChecks,
        attendance: Attendance,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._watch = watch
        self._dispatch = dispatch
        self._checks = checks
        self._attendance = attendance

    def ask(self, workspace: Workspace, execution_id: str, name: str, value: Json, seconds: float) -> Json:
        """Return what a query handler of the latest run answers, which a worker replays if it is closed.

        A worker that holds the execution answers within a second; else any worker of the deployment does. Where another run
        takes the place of the one that was asked, that one is asked, which costs the same once more.
        Raises: NotFound, InvalidInput; HandlerFailed; ResultNotReady when the time is over, or nobody is there
        who could answer. Cost: three reads, four writes, one message, and a read for every look; see ChangeWatch. One that
        is not answered within two seconds costs what `Attendance` does every two seconds.
        """
        deadline = self._clock.now() + timedelta(seconds=seconds)
        answer: QueryAnswer | None = None
        while answer is None:
            execution = find_summary(self._store, workspace, execution_id)
            self._checks.check(execution, HandlerKind.QUERY, name, value)
            request = QueryRequest(query_id=self._ids.uuid(), name=name, input=value)
            answer = self._answer(execution, request, deadline, seconds)
        if answer.failure is not None:
            raise refused(f"query {name!r}", answer.failure)
        return answer.result

    def take(self, run: RunKey, answers: Sequence[QueryAnswer]) -> None:
        """Take answers to queries of a run; one that nobody waits for any more is dropped. Cost: a write each."""
        writes: list[list[Write]] = []
        for answer in answers:
            place = keys.query_answer(run, answer.query_id)
            item = Item(place, {EXPIRES_AT: self._expiry()}, {"answer": answer.model_dump_json()})
            writes.append([Delete(keys.query(run, answer.query_id), Matches()), Put(item)])
        self._store.write_each(writes)

    def _answer(
        self, execution: RunSummary, request: QueryRequest, deadline: datetime, seconds: float
    ) -> QueryAnswer | None:
        """Ask, and wait. Returns None if another run takes the place of this one. seconds: how long the caller waits."""
        run = execution.key
        workers = self._attendance.watch(run.workspace, execution.pool)
        asked, answered = keys.query(run, request.query_id), keys.query_answer(run, request.query_id)
        partition = keys.execution(run.workspace, run.execution_id).partition
        with self._watch.watch(asked.partition, partition) as watched:
            self._store.write(Put(query_item(run, request, self._expiry())))
            try:
                self._dispatch.carry_out([_wake(execution, request.query_id, self._clock.now())])
                was_open = execution.is_open
                while (item := self._store.get(answered)) is None:
                    latest = self._store.get(keys.execution(run.workspace, run.execution_id))
                    is_replaced = latest is None or run_id_of(latest) != run.run_id
                    if latest and was_open and not is_replaced and not is_open(latest):
                        was_open = False  # the message may have ended with the run: whoever gets another one replays it
                        self._dispatch.carry_out([_wake(execution, f"{request.query_id}:closed", self._clock.now())])
                    left = (deadline - self._clock.now()).total_seconds()
                    if left <= 0:
                        raise ResultNotReady(f"no worker answered the query within {seconds:g} s: ask again")
                    if is_replaced:
                        return None
                    if workers.is_nobody_there():
                        raise ResultNotReady(f"nobody can answer the query: {workers.describe()}, and ask again")
                    watched.wait(min(left, workers.seconds_to_look))
            finally:
                self._store.write_each([[Delete(asked)], [Delete(answered)]])
        return answer_of(item)

    def _expiry(self) -> int:
        return int((self._clock.now() + KEPT_FOR).timestamp())


def _wake(execution: RunSummary, query_id: str, now: datetime) -> SendTask:
    """Make the task that lets a worker look at the run, and so find the query."""
    run = execution.key
    task = WorkflowTask.of(run, execution.pool, now, verify=True)
    return SendTask(task, f"{run.run_id}:query:{query_id}")
