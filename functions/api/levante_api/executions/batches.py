"""Acting on many executions in one request. Source of the models: the REST contract, §10 (read 2026-11-23)."""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from levante_api.http.problems import answer_to
from levante_core.domain.frozen import Frozen
from levante_core.errors import LevanteError


class BatchExecutionBody(Frozen):
    """The executions to act on."""

    execution_ids: Annotated[tuple[Annotated[str, Field(max_length=512)], ...], Field(min_length=1, max_length=100)]
    """Up to 100 ids of executions."""


class BatchExecutionResult(Frozen):
    """What became of one execution."""

    status: str
    """`success` or `failure`."""
    error: str | None = None
    """Why it failed; null if it did not."""


class BatchExecutionResponse(Frozen):
    """One result per execution id."""

    results: dict[str, BatchExecutionResult]
    """One result per execution id."""


def each_on_its_own(body: BatchExecutionBody, act: Callable[[str], None]) -> BatchExecutionResponse:
    """Act on each execution of a batch, whatever becomes of the others."""

    def outcome(execution_id: str) -> BatchExecutionResult:
        try:
            act(execution_id)
        except LevanteError as error:
            return BatchExecutionResult(status="failure", error=said_of(error))
        return BatchExecutionResult(status="success")

    return BatchExecutionResponse(
        results={execution_id: outcome(execution_id) for execution_id in dict.fromkeys(body.execution_ids)}
    )


def said_of(error: LevanteError) -> str:
    """Return what the answer to a request for one of them would have said."""
    return str(answer_to(error).body["detail"])
