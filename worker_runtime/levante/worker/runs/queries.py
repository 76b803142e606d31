"""Answering queries about a run from what is recorded of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from levante.errors import WorkflowsException, to_failure
from levante.worker.context import WorkerContext
from levante.worker.runs.ledger import RunLedger
from levante.worker.transport.splitting import send_apart
from levante_core.protocol import Failure, WorkflowTask
from levante_core.protocol.workers import QueryAnswer, QueryAnswersRequest, QueryRequest

logger = logging.getLogger("levante.worker")


class QueryAnswers:
    """Answers what is asked about one run. A query that cannot be answered never fails the run, nor the other queries."""

    def __init__(self, context: WorkerContext, task: WorkflowTask) -> None:
        self._context = context
        self._task = task

    async def answer(self, ledger: RunLedger, queries: Sequence[QueryRequest]) -> None:
        """Call the handlers, and send what they return."""
        await self._send([await self._encoded(self._answer(ledger, query), query.name) for query in queries])

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

    def _answer(self, ledger: RunLedger, query: QueryRequest) -> QueryAnswer:
        answer = QueryAnswer(query_id=query.query_id)
        try:
            result = ledger.code.query(query.name, query.input)
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
