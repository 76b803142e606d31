"""Answering queries about a run from what is recorded of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from levante.errors import NonDeterminismError, WorkflowsException, to_failure
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.replayer import replay
from levante.replay.run import WorkflowRun
from levante.worker.context import WorkerContext
from levante.worker.transport.splitting import send_apart
from levante_core.protocol import Failure, WorkflowTask
from levante_core.protocol.workers import LoadResponse, QueryAnswer, QueryAnswersRequest, QueryRequest

logger = logging.getLogger("levante.worker")


class NothingToAsk(Exception):
    """A closed run has no state."""

    def __init__(self) -> None:
        super().__init__("the execution ended before a worker had begun it: there is nothing to ask")


class QueryAnswers:
    """Answers what is asked about one run. A query that cannot be answered never fails the run, nor the other queries."""

    def __init__(self, context: WorkerContext, task: WorkflowTask) -> None:
        self._context = context
        self._task = task

    async def answer(self, code: WorkflowRun, queries: Sequence[QueryRequest]) -> None:
        """Call the handlers, and send what they return."""
        await self._send([await self._encoded(self._answer(code, query), query.name) for query in queries])

    async def answer_from(self, new_code: Callable[[], WorkflowRun], loaded: LoadResponse) -> None:
        """Replay a run that is closed, if somebody asks about it, and call the handlers as it stands at its end."""
        if not loaded.batches:
            await self.refuse(loaded.queries, NothingToAsk())
        if not loaded.batches or not loaded.queries:
            return
        code = new_code()
        try:
            replay(code, loaded.batches, {fact.key: fact.input for fact in loaded.facts})
        except (WorkflowCodeFailed, NonDeterminismError) as error:
            await self.refuse(loaded.queries, error.__cause__ or error)
        else:
            await self.answer(code, loaded.queries)
        finally:
            code.dispose()

    async def refuse(self, queries: Sequence[QueryRequest], error: BaseException) -> None:
        """Tell whoever asks why the code cannot be advanced: until it can, nobody could answer."""
        failure = to_failure(error)
        await self._send([QueryAnswer(query_id=query.query_id, failure=failure) for query in queries])

    async def _send(self, answers: Sequence[QueryAnswer]) -> None:
        async def send(some: Sequence[QueryAnswer]) -> list[None]:
            await self._context.api.answer_queries(QueryAnswersRequest(token=self._task.token, answers=tuple(some)))
            return [None for _ in some]

        def settle(answer: QueryAnswer, problem: Exception | None) -> None:
            if problem is not None:
                execution_id = self._task.execution_id
                logger.warning("query %s of execution %s is not answered: %s", answer.query_id, execution_id, problem)

        if answers:
            await send_apart(answers, send, settle)

    def _answer(self, code: WorkflowRun, query: QueryRequest) -> QueryAnswer:
        answer = QueryAnswer(query_id=query.query_id)
        try:
            result = code.query(query.name, query.input)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a handler raises is for who asked
            return answer.model_copy(update={"failure": to_failure(error)})
        _, problem = self._context.payloads.check(f"the answer to query {query.name!r}", result)
        if problem:
            return answer.model_copy(update={"failure": Failure(type="PayloadRefused", message=problem)})
        return answer.model_copy(update={"result": result})

    async def _encoded(self, answer: QueryAnswer, name: str) -> QueryAnswer:
        what = f"the answer to query {name!r}"
        try:
            result = await self._context.payloads.encoded(answer.result, self._task.execution_id, what)
        except WorkflowsException as error:
            return answer.model_copy(update={"result": None, "failure": to_failure(error)})
        return answer.model_copy(update={"result": result})
