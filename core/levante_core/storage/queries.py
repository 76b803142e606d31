"""Queries as items: one that waits for an answer, and the answer."""

from levante_core.domain.executions.execution import RunKey
from levante_core.ports.item_store import EXPIRES_AT, Item
from levante_core.protocol.workers import QueryAnswer, QueryRequest
from levante_core.storage import keys
from levante_core.storage.decoding import reader


def query_item(run: RunKey, request: QueryRequest, expires_at: int) -> Item:
    """Write a query that waits for an answer. expires_at: seconds since 1970."""
    return Item(keys.query(run, request.query_id), {EXPIRES_AT: expires_at}, {"query": request.model_dump_json()})


@reader
def answer_of(item: Item) -> QueryAnswer:
    """Read the answer to a query."""
    return QueryAnswer.model_validate_json(item.documents["answer"])


@reader
def query_of(item: Item) -> QueryRequest:
    """Read a query."""
    return QueryRequest.model_validate_json(item.documents["query"])
