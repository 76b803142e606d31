"""The floor: the same tokens in the same frames from a bare SSE server, which keeps nothing and has nobody write to it.

    python floor.py PORT COUNT PER_SECOND

Every reader of a stream is told that a task has started and, once the execution was signalled, COUNT tokens at this pace.
What lies between this and an engine is the price
of durability, order and of the way from a worker through the host; the client's own share is in both.
"""

import asyncio
import sys
import time
from collections import defaultdict

from aiohttp import web
from publishers import STREAM

from levante_core.domain.names import Workspace
from levante_core.domain.streams.custom_tasks import PatchOperation, TaskEvent, TaskPhase
from levante_core.domain.streams.events import TASK_EVENTS, StreamEvent, StreamUpdate, task_attributes
from levante_core.services.streams.publish import Sequenced
from levante_events.frames import event_frame

WORKSPACE = Workspace("default")


def token() -> TaskEvent:
    """Write the next token."""
    patch = (PatchOperation(op="append", path="/text", value=f"{time.time_ns()} "),)
    return TaskEvent(task_id="t", task_type=STREAM, phase=TaskPhase.IN_PROGRESS, patch=patch)


def frame(execution_id: str, sequence: int, task: TaskEvent) -> bytes:
    """Make a frame of an event of a task, as the engine does."""
    event = StreamEvent(
        event_id=f"{execution_id}:{sequence}",
        event_timestamp=time.time_ns(),
        root_workflow_exec_id=execution_id,
        parent_workflow_exec_id=None,
        workflow_exec_id=execution_id,
        workflow_run_id="r",
        workflow_name="bench-write",
        event_type=TASK_EVENTS[task.phase],
        attributes=task_attributes(task),
    )
    update = StreamUpdate(stream=STREAM, scope="activity", activity_id="r:1", activity_name="write", event=event)
    return event_frame(WORKSPACE, Sequenced(sequence, update, 0))


def application(count: int, per_second: float) -> web.Application:
    """Make the server."""
    signalled: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def signal(request: web.Request) -> web.Response:
        signalled[request.match_info["execution_id"]].set()
        return web.json_response({}, status=202)

    async def stream(request: web.Request) -> web.StreamResponse:
        execution_id = request.match_info["execution_id"]
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(frame(execution_id, 1, TaskEvent(task_id="t", task_type=STREAM, phase=TaskPhase.STARTED)))
        await signalled[execution_id].wait()
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(count):
            await asyncio.sleep(began + number / per_second - loop.time())
            await response.write(frame(execution_id, number + 2, token()))
        return response

    server = web.Application()
    server.router.add_post("/v1/workflows/executions/{execution_id}/signals", signal)
    server.router.add_get("/v1/workflows/executions/{execution_id}/stream", stream)
    return server


if __name__ == "__main__":
    web.run_app(
        application(int(sys.argv[2]), float(sys.argv[3])), host="127.0.0.1", port=int(sys.argv[1]), print=lambda _: None
    )
