"""Reading a history that takes several answers."""

import asyncio
from datetime import UTC, datetime

from levante.worker.runs.loading import load_whole
from levante.worker.transport.api import Api
from levante_core.protocol import CodeFailed, ExecutionStatus, Failure, HistoryBatch, TimerFired
from levante_core.protocol.workers import LoadRequest, LoadResponse
from tests.support.runs_api import run_start
from tests.unit.levante.worker.runs.ledgers import fact

AT = datetime(2026, 1, 1, tzinfo=UTC)
PARTS = 3


class InParts(Api):
    """Answers with a batch and a fact at a time; the token comes with the last of them."""

    def __init__(self) -> None:
        self.asked: list[LoadRequest] = []

    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        assert (method, path) == ("POST", "/workers/load")
        request = LoadRequest.model_validate_json(body or b"")
        self.asked.append(request)
        number = int(request.after or 0) + 1
        note = CodeFailed(failure=Failure(message="x"))
        is_last = number == PARTS
        return (
            LoadResponse(
                status=ExecutionStatus.RUNNING,
                start=run_start("w", AT),
                batches=(HistoryBatch(index=number, commit_id="c", events=(note,)),),
                facts=(fact(TimerFired(seq=number, at=AT)),),
                next=None if is_last else str(number),
                token="token" if is_last else None,
            )
            .model_dump_json()
            .encode()
        )


def test_history_when_it_comes_in_parts_then_they_are_put_together_in_order() -> None:
    """Each part is asked for with what the one before said; the token is that of the last one."""
    api = InParts()
    loaded = asyncio.run(load_whole(api, LoadRequest(token="mine", after_index=5, open_from=2, mail_from=3)))
    assert [batch.index for batch in loaded.batches] == [1, 2, 3]
    assert [fact.key for fact in loaded.facts] == ["A00000001", "A00000002", "A00000003"]
    assert (loaded.next, loaded.token) == (None, "token")
    assert [request.after for request in api.asked] == [None, "1", "2"]
    assert {(one.token, one.after_index, one.open_from, one.mail_from) for one in api.asked} == {("mine", 5, 2, 3)}
