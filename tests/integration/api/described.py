"""An installation that is called as its OpenAPI document says: stocked with objects of every kind, behind ASGI."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from levante_api.app import ApiSettings, create_app
from levante_api.openapi.examples import BODIES
from levante_core.adapters.system import SystemClock
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.names import ExecutionId
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol.streams import is_stream
from levante_core.services.access.capabilities import AttemptGrant, RunGrant
from levante_core.storage.parked import Owner, ParkedKind
from levante_events.app import EventsApp, StreamServices, StreamSettings
from levante_local.greenlets import call
from levante_local.http.gateway import Receive, Scope, Send, event_of, read_body, respond
from levante_local.queues.queues import InProcessQueues
from tests.integration.api.harness import HOME, SECRETS, completed, compose, event, failed

SHORT = 0.02
"""Seconds that anybody waits here: for results, tasks, answers, and what a stream tells next."""
OPEN = tuple(f"open-{number}" for number in range(60))
CLOSED = ("completed", "failed", "canceled")
SCHEDULES = tuple(f"schedule-{number}" for number in range(24))


class ImpatientQueues(InProcessQueues):
    """Queues at which nobody waits for long."""

    def receive(self, queue: str, *, wait_seconds: float, **more: Any) -> Any:
        """Take what is there."""
        return super().receive(queue, wait_seconds=min(wait_seconds, SHORT), **more)


class Installation:
    """API and streams in one ASGI application, as the host of one machine serves them. known: values that hit, by name."""

    def __init__(self, directory: Path) -> None:
        engine, self.close = compose(directory, SystemClock(), ImpatientQueues(SystemClock()))
        self._engine = engine
        self._api = create_app(engine, ApiSettings(version="0", max_wait_seconds=SHORT, quiet=True))
        services = StreamServices(
            engine.api_keys, engine.tickets, engine.histories, engine.streams, engine.tails, engine.logs, engine.traces
        )
        self._events = EventsApp(services, call, StreamSettings(keep_alive_seconds=SHORT, longest_seconds=2 * SHORT))
        self.known: Mapping[str, list[Any]] = self._stock()
        self.document: dict[str, Any] = self.send("GET", "/openapi.json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif is_stream(scope["path"]) and scope["method"] == "GET":
            await self._events(scope, receive, send)
        else:
            await respond(send, await call(self._api, event_of(scope, await read_body(receive)), None))

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API as an admin."""
        headers = {"authorization": f"Bearer {SECRETS['admin']}"}
        answer = self._api(event(method, path, None if body is None else json.dumps(body), headers=headers), None)
        assert answer["statusCode"] < 300, (method, path, answer)
        return json.loads(answer["body"] or "null")

    # --- what is there ------------------------------------------------------------------------------------------------

    def _stock(self) -> dict[str, list[Any]]:
        spec = {"task_queue": "prod", "input_schema": {}, "execution_timeout": 3600, **_handlers()}
        specs = [{"name": name, **spec} for name in ("greet", "part")]
        worker = {"deployment_name": "prod", "worker_name": "w1", "deployment_location": {"location_type": "local"}}
        registered = self.send("POST", "/v1/workflows/register", {"definitions": specs, **worker})
        refs = registered["workflow_registration_refs"]
        started = [self._start(one) for one in (*OPEN, *CLOSED)]
        self._advance()
        for one in SCHEDULES:
            schedule = {"schedule_id": one, "input": {"a": 1}, "cron_expressions": ["0 9 * * *"]}
            self.send("POST", "/v1/workflows/schedules", {"workflow_identifier": "greet", "schedule": schedule})
        for one in ("batch-1", "batch-2"):
            job = {"batch_id": one, "filter": {"search": CLOSED[0]}, "action": {"kind": "rerun"}}
            self.send("POST", "/v1/batches", job)
        keys = [self.send("POST", "/v1/keys", {"name": "spare", "role": "client"})["key_id"] for _ in range(4)]
        executions, workflows = [*OPEN, *CLOSED], ["greet", "part", *(ref["workflow_id"] for ref in refs)]
        runs = [one["run_id"] for one in started]
        run = RunKey(HOME, ExecutionId(OPEN[0]), runs[0])
        capabilities, prod = self._engine.capabilities, WorkerPool.parse("prod")
        tokens = [
            capabilities.attempt_token(AttemptGrant(run, prod, seq=1, scheduled_in=1, attempt=1)),
            capabilities.run_token(RunGrant(run, prod, next_index=2)),
        ]
        return {
            **dict.fromkeys(("execution_id", "root_execution_id", "workflow_exec_id", "root_workflow_exec_id"), executions),
            **dict.fromkeys(("workflow_identifier", "workflow_name", "workflow_id"), workflows),
            **dict.fromkeys(("run_id", "workflow_run_id"), runs),
            "deployment_name": ["prod"],
            "task_queue": ["prod"],
            "workflow_registration_id": [ref["workflow_registration_id"] for ref in refs],
            "schedule_id": list(SCHEDULES),
            "worker_name": ["w1"],
            "cron_expressions": [[], ["30 9 * * MON-FRI"]],
            "time_zone_name": [None, "Europe/Paris"],
            "encoded_input": [None],
            "key_id": keys,
            "batch_id": ["batch-1", "batch-2"],
            "parked_id": [self._parked(number) for number in range(12)],
            "task_token": tokens[:1],
            "token": tokens,
        }

    def _start(self, execution_id: str) -> Any:
        return self.send("POST", "/v1/workflows/greet/execute", {"execution_id": execution_id, "input": {"a": 1}})

    def _parked(self, number: int) -> str:
        owner, error = Owner(HOME, ExecutionId(OPEN[number])), ValueError("it is broken")
        return self._engine.parking.park(ParkedKind.TIMER, owner, f"no message {number}", error).parked_id

    def _advance(self) -> None:
        """Complete one execution and let one fail; give the others an activity in the queue. Cancel one of those."""
        poll = {"deployment_name": "prod", "worker_id": "w", "queue": "workflow", "limit": 100, "wait_seconds": 0}
        waiting = self.send("POST", "/v1/workflows/workers/poll", poll)["tasks"]
        ends = {"completed": completed({"b": 2}), "failed": failed("it is broken")}
        activity = {"kind": "activity_scheduled", "seq": 1, "name": "a", "input": {"c": 3}}
        for delivered in waiting:
            task = delivered["task"]
            batch = {"index": 1, "commit_id": task["run_id"], "events": [ends.get(task["execution_id"], activity)]}
            commits = [{"token": task["token"], "batch": batch, "done": [delivered["receipt"]]}]
            (result,) = self.send("POST", "/v1/workflows/workers/commits", {"commits": commits})["results"]
            assert result["outcome"] == "recorded"
        self.send("POST", "/v1/workflows/executions/canceled/cancel")
        self.send("POST", "/v1/workflows/executions/canceled/terminate")


def _handlers() -> dict[str, Any]:
    """Declare the handlers that the examples of the document send something to."""
    operations = {
        "signals": "signal_workflow_execution",
        "queries": "query_workflow_execution",
        "updates": "update_workflow_execution",
    }
    return {kind: [{"name": BODIES[one]["name"], "input_schema": {}}] for kind, one in operations.items()}


async def _live(receive: Receive, send: Send) -> None:
    """Begin and end with whoever serves this application: there is nothing to do."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def with_known(document: Mapping[str, Any], known: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return the document, in which what has one of these names mostly is one of these values.

    But for commits: what workers commit is believed, and others need not cope with histories made up of anything.
    """
    shown = copy.deepcopy(dict(document))
    for operation in (one for path in shown["paths"].values() for one in path.values()):
        for parameter in operation.get("parameters", ()):
            name = "deployment_name" if parameter["name"] == "name" else parameter["name"]
            if name in known:
                parameter["schema"] = {"anyOf": [{"enum": known[name]}, parameter["schema"]]}
    for schema in (one for title, one in shown["components"]["schemas"].items() if title != "Commit"):
        for name, described in schema.get("properties", {}).items():
            if name in known:
                schema["properties"][name] = {"anyOf": [{"enum": known[name]}, described]}
    return shown
