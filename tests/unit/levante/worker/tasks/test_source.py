"""Tasks and leases through the API: what is asked for."""

import asyncio
from datetime import UTC, datetime

from levante.worker.tasks.source import ApiTasks
from levante.worker.transport.api import Api
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol.workers import (
    HandBack,
    LeasesRequest,
    LeasesResponse,
    PollRequest,
    PollResponse,
    TaskQueue,
)
from tests.support.runs_api import delivered, workflow_task

TASK = delivered(workflow_task(datetime(2026, 1, 1, tzinfo=UTC)))
BACK = HandBack(receipt="c", token="token")


class LeasesApi(Api):
    """Keeps what is asked for; the second of the receipts that are extended are lost."""

    def __init__(self) -> None:
        self.polls: list[PollRequest] = []
        self.requests: list[LeasesRequest] = []

    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        assert body
        if path == "/workers/poll":
            self.polls.append(PollRequest.model_validate_json(body))
            return PollResponse(tasks=(TASK,)).model_dump_json().encode()
        assert (method, path) == ("POST", "/workers/leases")
        self.requests.append(LeasesRequest.model_validate_json(body))
        return LeasesResponse(lost=self.requests[-1].extend[1:]).model_dump_json().encode()


def test_tasks_when_they_come_through_the_api_then_each_call_names_the_pool_and_the_queue() -> None:
    """A poll takes no more than it was asked for; what is lost is told."""
    api = LeasesApi()

    async def scenario() -> None:
        tasks = ApiTasks(api, WorkerPool.parse("d"), "worker-1")
        assert list(await tasks.poll(TaskQueue.ACTIVITY, 7)) == [TASK]
        assert list(await tasks.extend(TaskQueue.WORKFLOW, ["a", "b"])) == ["b"]
        await tasks.done(TaskQueue.ACTIVITY, ["a"])
        await tasks.hand_back(TaskQueue.ACTIVITY, [BACK])
        await tasks.close()

    asyncio.run(scenario())
    (poll,) = api.polls
    d = WorkerPool.parse("d")
    assert (poll.deployment_name, poll.worker_id, poll.queue, poll.limit) == (d, "worker-1", TaskQueue.ACTIVITY, 7)
    assert api.requests == [
        LeasesRequest(deployment_name=d, queue=TaskQueue.WORKFLOW, extend=("a", "b")),
        LeasesRequest(deployment_name=d, queue=TaskQueue.ACTIVITY, done=("a",)),
        LeasesRequest(deployment_name=d, queue=TaskQueue.ACTIVITY, hand_back=(BACK,)),
    ]
