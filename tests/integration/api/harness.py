"""An API on local adapters, and how tests call it: with the events that an API Gateway HTTP API sends."""

import asyncio
import base64
import functools
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec
from urllib.parse import parse_qsl, urlencode

from levante_api.app import ApiSettings, LambdaHandler, create_app
from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.ports.item_store import Put
from levante_core.ports.surroundings import Clock
from levante_core.services.access.capabilities import RunGrant
from levante_core.services.engine import Engine, build_engine
from levante_core.storage.catalogue import Role, api_key_item
from levante_local.change_watch import LocalChangeWatch
from levante_local.payload_files import PayloadFiles
from levante_local.queues.queues import InProcessQueues
from levante_local.sqlite.store import SqliteItemStore
from levante_local.sqlite.writer import Feeds
from tests.fakes import FakeClock

HOME, AWAY = Workspace("home"), Workspace("away")


@dataclass(frozen=True)
class KeyHolder:
    """Whose key it is. deployments: those that it is bound to."""

    role: Role
    workspace: Workspace = HOME
    deployments: tuple[str, ...] = ()


KEY_HOLDERS = {
    "admin": KeyHolder(Role.ADMIN),
    "viewer": KeyHolder(Role.VIEWER),
    "client": KeyHolder(Role.CLIENT),
    "worker": KeyHolder(Role.WORKER),
    "bound": KeyHolder(Role.WORKER, deployments=("prod", "prod-2")),
    "elsewhere": KeyHolder(Role.WORKER, deployments=("other",)),
    "revoked": KeyHolder(Role.ADMIN),
    "stranger": KeyHolder(Role.ADMIN, AWAY),
    "strange-viewer": KeyHolder(Role.VIEWER, AWAY),
    "strange-client": KeyHolder(Role.CLIENT, AWAY),
    "strange-worker": KeyHolder(Role.WORKER, AWAY),
    "strange-bound": KeyHolder(Role.WORKER, AWAY, ("prod",)),
}
"""Who has keys, by the key's name. Strangers are of another workspace."""
SECRETS = {name: f"secret-of-{name}-0123456789" for name in (*KEY_HOLDERS, "unknown")}
"""Secrets by the name of the key. `unknown` is nobody's."""

SETTINGS = ApiSettings(
    features={"presence": True},
    version="9.8.7",
    max_wait_seconds=300.0,
    quiet=True,
    streams_at="https://streams.example/",
)
INPUT_SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}

P = ParamSpec("P")


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


@dataclass(frozen=True)
class Answer:
    """What a caller gets. body: decoded JSON, None for an empty one."""

    status: int
    body: Any
    headers: Mapping[str, str]


def event(
    method: str,
    path: str,
    body: str | None = None,
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    is_base64: bool = False,
) -> dict[str, Any]:
    """Write an event, payload format 2.0."""
    written: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": dict(headers or {}),
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "test"},
            "requestId": "request-1",
            "stage": "$default",
        },
        "isBase64Encoded": is_base64,
    }
    if query:
        parameters: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
        written["queryStringParameters"] = parameters
    if body is not None:
        written["body"] = base64.b64encode(body.encode()).decode() if is_base64 else body
    return written


@dataclass
class Api:
    """An installation with the keys of HOLDERS. directory: of its data."""

    engine: Engine
    clock: FakeClock
    queues: InProcessQueues
    handler: LambdaHandler
    directory: Path
    closers: list[Any] = field(default_factory=list)
    home: Workspace = HOME

    def event(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "admin",
        query: Any = "",
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Write an event. body: to be sent as JSON, or a text to be sent as it is."""
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        sent = {"content-type": "application/json", **(headers or {})}
        if key is not None:
            sent["authorization"] = f"Bearer {SECRETS[key]}"
        return event(
            method, path, text, query=query if isinstance(query, str) else urlencode(query, doseq=True), headers=sent
        )

    def send(self, sent: dict[str, Any]) -> Answer:
        """Handle an event."""
        return decoded(self.handler(sent, None))

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Write an event and handle it."""
        return self.send(self.event(method, path, body, **more))

    def register(self, *names: str, deployment: str = "prod", worker: str = "w1", **spec: Any) -> dict[str, Any]:
        """Register workflows. Returns the answer's body."""
        definitions = [{"name": name, "task_queue": deployment, "input_schema": INPUT_SCHEMA, **spec} for name in names]
        location = {"location_type": "local"}
        request = {
            "definitions": definitions,
            "deployment_name": deployment,
            "worker_name": worker,
            "deployment_location": location,
        }
        answer = self.call("POST", "/v1/workflows/register", request, key="worker")
        assert answer.status == 200, answer
        body: dict[str, Any] = answer.body
        return body

    def start(self, execution_id: str, workflow: str = "greet", **more: Any) -> dict[str, Any]:
        """Start an execution. Returns the answer's body."""
        body = {"execution_id": execution_id, "input": {"a": 1}, **more}
        answer = self.call("POST", f"/v1/workflows/{workflow}/execute", body, key="client")
        assert answer.status == 200, answer
        started: dict[str, Any] = answer.body
        return started

    def poll(self, queue: str = "workflow", deployment: str = "prod", *, wait_seconds: float = 0) -> list[dict[str, Any]]:
        """Take the tasks that are there, or wait for one."""
        request = {"deployment_name": deployment, "worker_id": "w1", "queue": queue, "wait_seconds": wait_seconds}
        answer = self.call("POST", "/v1/workflows/workers/poll", request, key="worker")
        assert answer.status == 200, answer
        tasks: list[dict[str, Any]] = answer.body["tasks"]
        return tasks

    def commit(self, delivered: Mapping[str, Any], *events: Mapping[str, Any], index: int = 1) -> Answer:
        """Append a batch to the run that a workflow task is about, and end the task."""
        task = delivered["task"]
        batch = {"index": index, "commit_id": f"commit-{task['run_id']}-{index}", "events": list(events)}
        request = {"commits": [{"token": self.run_token(task, index), "batch": batch, "done": [delivered["receipt"]]}]}
        return self.call("POST", "/v1/workflows/workers/commits", request, key="worker")

    def run_token(self, task: Mapping[str, Any], next_index: int = 0) -> str:
        """Make the token that a load, or the commit of the batch before, gives for the run of a task."""
        run = RunKey(task["workspace"], task["execution_id"], task["run_id"])
        return self.engine.capabilities.run_token(RunGrant(run, task["deployment_name"], next_index))

    def complete(self, execution_id: str, result: Any = None) -> None:
        """Let an execution that is waiting for a worker complete."""
        (delivered,) = [one for one in self.poll() if one["task"]["execution_id"] == execution_id]
        assert outcomes(self.commit(delivered, completed(result))) == ["recorded"]


def outcomes(answer: Answer) -> list[str]:
    """Return what became of commits."""
    assert answer.status == 200, answer
    return [result["outcome"] for result in answer.body["results"]]


def completed(result: Any) -> dict[str, Any]:
    """Write the event that ends a run well."""
    return {"kind": "execution_completed", "seq": 1, "result": result}


def failed(message: str) -> dict[str, Any]:
    """Write the event that ends a run badly."""
    return {"kind": "execution_failed", "seq": 1, "failure": {"message": message, "type": "ValueError"}}


def decoded(answer: Mapping[str, Any]) -> Answer:
    """Read what a handler returned."""
    body = answer.get("body")
    return Answer(answer["statusCode"], json.loads(body) if body else None, answer["headers"])


def build(directory: Path, settings: ApiSettings = SETTINGS, feeds: Feeds | None = None) -> Api:
    """Build an installation in a directory, whose clock stands still. feeds: what its change feed is to hold."""
    clock = FakeClock()
    queues = InProcessQueues(clock)
    engine, close = compose(directory, clock, queues, feeds)
    return Api(engine, clock, queues, create_app(engine, settings), directory, [close])


def compose(
    directory: Path, clock: Clock, queues: InProcessQueues, feeds: Feeds | None = None
) -> tuple[Engine, Callable[[], None]]:
    """Put the services of an installation together, with keys for every role. Returns also what closes it."""
    store, watch = SqliteItemStore(directory / "items.db", "NORMAL", feeds=feeds), LocalChangeWatch()
    store.listen(watch.notify)
    items = OffloadingStore(store, PayloadFiles(directory / "payloads"))
    engine = build_engine(items, queues, clock, RandomIds(), watch, fast_path=True)
    for name, holder in KEY_HOLDERS.items():
        key = engine.api_keys.ensure(holder.workspace, holder.role, name, SECRETS[name])
        bound = tuple(map(DeploymentName, holder.deployments))
        items.write(Put(api_key_item(replace(key, deployments=bound))))
    (revoked,) = [one for one in engine.api_keys.list(HOME) if one.name == "revoked"]
    engine.api_keys.revoke(HOME, revoked.key_id)
    return engine, store.close
