"""Whatever a worker does with its key, work of another workspace goes on, and the service knows what to answer."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from levante_core.adapters.dynamodb.images import stream_record
from levante_core.storage.changes import concerns_dispatcher
from levante_dispatcher.handlers import build_handlers
from tests.integration.api.harness import Api, build, completed, outcomes
from tests.integration.api.hostile import HostileWorker
from tests.support.forms import either

REQUESTS = int(os.environ.get("LEVANTE_HOSTILE_REQUESTS") or either(short=400, full=2000))
SEQUENCES = 20


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """An installation whose change feed is read."""
    api = build(tmp_path, feeds=concerns_dispatcher)
    yield api
    for close in api.closers:
        close()


def dispatched(api: Api) -> None:
    """Let the dispatcher do what it does all the time, and once a minute."""
    items: Any = api.engine.tasks._store
    handlers = build_handlers(api.engine, items.resolved)
    while changes := items._store.read_changes(None, 100):
        handlers.stream({"Records": [stream_record(change) for change in changes]}, None)
        items._store.acknowledge_changes(changes[-1].sequence)
    handlers.sweep({}, None)


def canary_completes(api: Api, number: int) -> None:
    """Run an execution of another workspace from its start to its end, with an honest worker."""
    name = f"canary-{number}"
    answer = api.call("POST", "/v1/workflows/greet/execute", {"execution_id": name, "input": {"a": 1}}, key="stranger")
    assert answer.status == 200, answer
    poll = {"deployment_name": "prod", "worker_id": "honest", "queue": "workflow", "wait_seconds": 0, "limit": 100}
    tasks = api.call("POST", "/v1/workflows/workers/poll", poll, key="stranger").body["tasks"]
    (mine,) = [task for task in tasks if task["task"]["execution_id"] == name]
    batch = {"index": 1, "commit_id": name, "events": [completed(number)]}
    commit = {"token": mine["task"]["token"], "batch": batch, "done": [mine["receipt"]]}
    assert outcomes(api.call("POST", "/v1/workflows/workers/commits", {"commits": [commit]}, key="stranger")) == ["recorded"]
    seen = api.call("GET", f"/v1/workflows/executions/{name}", key="stranger").body
    assert (seen["status"], seen["result"]) == ("COMPLETED", number)


@pytest.mark.timeout(60 + REQUESTS // 10)
@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_worker_when_it_calls_whatever_it_likes_then_a_workspace_next_door_does_not_notice(api: Api, seed: int) -> None:
    """Invariants 11 and 13. No call is answered as a fault of the service, and none reaches into another workspace."""
    greet = {"name": "greet", "task_queue": "prod", "input_schema": {}}
    next_door = {"definitions": [greet], "deployment_name": "prod", "worker_name": "honest"}
    assert api.call("POST", "/v1/workflows/register", next_door, key="stranger").status == 200
    api.register("greet")
    for number in range(1, 6):
        api.start(f"e{number}")
    worker, answered = HostileWorker(api, seed), Counter[int]()
    for number in range(REQUESTS // SEQUENCES):
        path, body, answer = worker.call()
        assert answer.status < 500, (seed, number, path, body, answer)
        answered[answer.status] += 1
        dispatched(api)
        canary_completes(api, number)
    least = either(short=0, full=REQUESTS // SEQUENCES // 10)  # a short sequence has few calls of each kind
    assert answered[200] > least, "a worker that gets nowhere shows nothing"
