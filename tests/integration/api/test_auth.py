import asyncio
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.names import ExecutionId, RunId
from levante_core.domain.worker_pool import WorkerPool
from levante_core.services.access.capabilities import AttemptGrant, RunGrant
from levante_core.storage.catalogue import Role
from levante_core.storage.parked import Owner, ParkedKind
from levante_events.app import EventsApp, StreamServices, StreamSettings
from levante_local.greenlets import call
from levante_local.http.admission import OPEN
from tests.integration.api.harness import Answer, Api, build

WORKERS = "/v1/workflows/workers"
BATCH = {"index": 1, "commit_id": "x", "events": [{"kind": "execution_completed", "seq": 1, "result": None}]}
RUN = {"token": "{run_token}"}
ATTEMPT = {"token": "{token}"}
TASK = {**ATTEMPT, "execution_id": "e1", "run_id": "{run}", "deployment_name": "prod",
        "workspace": "home", "kind": "activity_task", "fresh_at": "2026-01-01T00:00:00Z", "seq": 1, "scheduled_in": 1,
        "attempt": 1}  # fmt: skip

EVENT = {"event_id": "1", "event_timestamp": 1, "root_workflow_exec_id": "e1", "workflow_exec_id": "e1",
         "workflow_run_id": "{run}", "workflow_name": "greet", "event_type": "CUSTOM_TASK_CANCELED",
         "attributes": {"custom_task_id": "t", "custom_task_type": "t"}}  # fmt: skip

LOGGED = ("executions/e1", "deployments/prod")

TOKEN = "{token}"
READ = {
    ("GET", "/v1/workflows"): None,
    ("GET", "/v1/workflows/greet"): None,
    ("GET", "/v1/workflows/greet/metrics"): None,
    ("GET", "/v1/workflows/registrations"): None,
    ("GET", "/v1/workflows/registrations/{registration}"): None,
    ("GET", "/v1/workflows/deployments"): None,
    ("GET", "/v1/workflows/deployments/prod"): None,
    ("GET", "/v1/workflows/deployments/prod/workers"): None,
    ("GET", "/v1/workflows/deployments/prod/builds"): None,
    ("GET", "/v1/workflows/deployments/prod/backlog"): None,
    ("GET", "/v1/workflows/runs"): None,
    ("GET", "/v1/workflows/executions/e1"): None,
    ("GET", "/v1/workflows/executions/e1/history"): None,
    ("GET", "/v1/workflows/executions/e1/explain"): None,
    ("GET", "/v1/workflows/executions/e1/reset-points"): None,
    ("GET", "/v1/workflows/executions/e1/stream"): None,
    ("GET", "/v1/workflows/runs/{run}"): None,
    ("GET", "/v1/workflows/runs/{run}/history"): None,
    ("GET", "/v1/workflows/events/stream"): None,
    ("GET", "/v1/workflows/events/list"): None,
    **{("GET", f"/v1/workflows/executions/e1/trace/{what}"): None for what in ("info", "otel", "summary", "events")},
    ("GET", "/v1/workflows/deployments/prod/archive"): None,
    **{("GET", f"/v1/workflows/{of}/logs{form}"): None for of in LOGGED for form in ("", "/stream")},
    ("GET", "/v1/workflows/schedules"): None,
    ("GET", "/v1/workflows/schedules/s1"): None,
    ("GET", f"{WORKERS}/whoami"): None,
    ("GET", "/v1/statistics"): None,
    ("GET", "/v1/workflows/executions/e1/cost"): None,
    ("GET", "/v1/batches"): None,
    ("GET", "/v1/batches/b1"): None,
    ("GET", "/v1/batches/b1/failures"): None,
}
PREVIEW = {("POST", "/v1/batches/preview"): {"filter": {"search": "e1"}}}
TOKEN_HOLDER = {
    ("POST", "/v1/workflows/activities/complete"): {"task_token": TOKEN},
    ("POST", "/v1/workflows/activities/fail"): {"task_token": TOKEN, "message": "x"},
    ("POST", "/v1/workflows/activities/heartbeat"): {"task_token": TOKEN},
}
CLIENT = {
    **TOKEN_HOLDER,
    **PREVIEW,
    ("POST", "/v1/workflows/greet/execute"): {"input": {"a": 1}},
    ("POST", "/v1/workflows/registrations/{registration}/execute"): {"input": {"a": 1}},
    ("POST", "/v1/workflows/executions/terminate"): {"execution_ids": ["e1"]},
    ("POST", "/v1/workflows/executions/e1/signals"): {"name": "nobody"},
    ("POST", "/v1/workflows/executions/e1/queries"): {"name": "nobody"},
    ("POST", "/v1/workflows/executions/e1/updates"): {"name": "nobody"},
    ("POST", "/v1/workflows/executions/e1/cancel"): None,
    ("POST", "/v1/workflows/executions/cancel"): {"execution_ids": ["e1"]},
    ("POST", "/v1/workflows/executions/e1/reset"): {"event_id": 1},
    ("POST", "/v1/workflows/executions/e1/terminate"): None,
    ("POST", "/v1/workflows/executions/e1/rerun"): {},
    ("POST", "/v1/workflows/executions/e1/fork"): {"event_id": 1},
    ("DELETE", "/v1/workflows/executions/e1"): None,
    ("POST", "/v1/workflows/executions/e1/pause"): {},
    ("POST", "/v1/workflows/executions/e1/resume"): {},
    ("POST", "/v1/workflows/executions/e1/activities/1/retry"): {},
    **{("POST", f"/v1/workflows/executions/e1/{of}/1/complete"): {"result": 1} for of in ("activities", "children")},
    **{("POST", f"/v1/workflows/executions/e1/{of}/1/fail"): {"message": "x"} for of in ("activities", "children")},
    ("POST", "/v1/workflows/executions/e1/timers/1/skip"): {},
    ("POST", "/v1/batches"): {"filter": {"search": "e1"}, "action": {"kind": "signal", "name": "x"}, "input": {}},
    ("POST", "/v1/batches/b1/abort"): None,
    ("PUT", "/v1/workflows/greet"): {"description": "x"},
    ("POST", "/v1/workflows/greet/tags"): {"tags": ["x"]},
    ("PUT", "/v1/workflows/greet/archive"): None,
    ("PUT", "/v1/workflows/greet/unarchive"): None,
    ("PUT", "/v1/workflows/archive"): {"workflow_ids": ["greet"]},
    ("PUT", "/v1/workflows/unarchive"): {"workflow_ids": ["greet"]},
    ("POST", "/v1/workflows/schedules"): {"workflow_identifier": "greet", "schedule": {"input": {"a": 1}}},
    ("PATCH", "/v1/workflows/schedules/s1"): {"schedule": {"jitter": "PT1S"}},
    ("POST", "/v1/workflows/schedules/s1/pause"): {},
    ("POST", "/v1/workflows/schedules/s1/resume"): {},
    ("POST", "/v1/workflows/schedules/s1/trigger"): {},
    ("DELETE", "/v1/workflows/schedules/s1"): None,
    ("POST", "/v1/workflows/deployments"): {},
    ("PATCH", "/v1/workflows/deployments/prod"): {},
    ("DELETE", "/v1/workflows/deployments/prod"): None,
    **{("POST", f"/v1/workflows/deployments/prod/{what}"): None for what in ("start", "stop", "restart", "unharden")},
}
WORKER = {
    **TOKEN_HOLDER,
    ("POST", f"{WORKERS}/heartbeat"): {"workflow_registration_refs": [], "deployment_name": "prod", "worker_name": "w"},
    ("POST", f"{WORKERS}/leave"): {"workflow_registration_refs": [], "deployment_name": "prod", "worker_name": "w"},
    ("POST", f"{WORKERS}/logs"): {
        "deployment_name": "prod",
        "worker_name": "w",
        "batch_id": "0" * 32,
        "lines": [{"at": "2026-01-01T00:00:00Z", "level": "INFO", "logger": "x", "message": "x"}],
    },
    ("POST", f"{WORKERS}/queue-access"): {"deployment_name": "prod"},
    ("POST", f"{WORKERS}/poll"): {"deployment_name": "prod", "worker_id": "w", "queue": "workflow", "wait_seconds": 0},
    ("POST", f"{WORKERS}/load"): RUN,
    ("POST", f"{WORKERS}/commits"): {"commits": [{"token": "{commit_token}", "batch": BATCH}]},
    ("POST", f"{WORKERS}/activity-checks"): {"task": TASK},
    ("POST", f"{WORKERS}/activity-reports"): {"reports": [ATTEMPT]},
    ("POST", f"{WORKERS}/activity-heartbeats"): ATTEMPT,
    ("POST", f"{WORKERS}/activity-deferrals"): {**ATTEMPT, "timeout_seconds": 1},
    ("POST", f"{WORKERS}/rate-permits"): {
        "deployment_name": "prod",
        "activity_name": "a",
        "rate_limit": {"time_window_in_sec": 1, "max_execution": 1000},
    },
    ("POST", f"{WORKERS}/query-answers"): {**RUN, "answers": [{"query_id": "q"}]},
    ("POST", f"{WORKERS}/task-events"): {
        "publications": [
            {
                **ATTEMPT,
                "activity_name": "a",
                "publisher": "p",
                "events": [
                    {
                        "number": 1,
                        "at": "2026-01-01T00:00:00Z",
                        "event": {"task_id": "t", "task_type": "t", "phase": "started"},
                    }
                ],
            }
        ]
    },
    ("POST", "/v1/workflows/events"): {"event": EVENT},
    ("POST", "/v1/workflows/events/batch"): {"events": [EVENT]},
    ("POST", f"{WORKERS}/leases"): {"deployment_name": "prod", "queue": "workflow"},
    ("POST", f"{WORKERS}/workflow-task-failures"): {**RUN, "receipt": "x", "attempt": 1, "failure": {"message": "x"}},
    ("POST", "/v1/workflows/register"): {
        "definitions": [{"name": "other", "task_queue": "prod", "input_schema": {}}],
        "deployment_name": "prod",
        "worker_name": "w",
    },
}
VIEWER: dict[tuple[str, str], Any] = {**PREVIEW, ("GET", "/v1/audit"): None, ("GET", "/v1/parked"): None}
ADMIN = {
    ("POST", "/v1/parked/retry"): {},
    ("POST", "/v1/parked/{parked}/retry"): None,
    ("DELETE", "/v1/parked/{parked}"): None,
    ("GET", "/v1/keys"): None,
    ("POST", "/v1/keys"): {"name": "x", "role": "worker"},
    ("DELETE", "/v1/keys/{key}"): None,
    ("POST", "/v1/redrive"): {},
}
EVERYTHING = {**READ, **VIEWER, **CLIENT, **WORKER, **ADMIN}
QUERIES = {("GET", "/v1/workflows/events/list"): "workflow_exec_id=e1"}
ROLES = ("viewer", "client", "worker", "admin")
ALLOWED: dict[str | None, Collection[tuple[str, str]]] = {
    "viewer": READ.keys() | VIEWER.keys(),
    "client": READ.keys() | CLIENT.keys(),
    "worker": READ.keys() | WORKER.keys(),
    "admin": EVERYTHING.keys(),
}

EACH_ON_ITS_OWN = {
    ("POST", "/v1/workflows/executions/cancel"),
    ("POST", "/v1/workflows/executions/terminate"),
    ("PUT", "/v1/workflows/archive"),
    ("PUT", "/v1/workflows/unarchive"),
}
"""What names objects in its body and answers for each of them."""
UNKNOWN = {
    *EACH_ON_ITS_OWN,
    ("GET", "/v1/workflows/events/list"),
    ("POST", "/v1/workflows/schedules"),
    ("POST", "/v1/workflows/events"),
    ("POST", "/v1/workflows/events/batch"),
}
"""What names objects in its query or body, and finds nothing of another workspace."""


class Stocked:
    """An installation with objects of every kind to name, in the workspace `home`."""

    def __init__(self, api: Api) -> None:
        self.api = api
        (ref,) = api.register("greet")["workflow_registration_refs"]
        run_id = api.start("e1")["run_id"]
        schedule = {"input": {"a": 1}, "schedule_id": "s1"}
        api.call("POST", "/v1/workflows/schedules", {"workflow_identifier": "greet", "schedule": schedule})
        job = {"batch_id": "b1", "filter": {"search": "e1"}, "action": {"kind": "cancel"}}
        assert api.call("POST", "/v1/batches", job).status == 200
        key, _ = api.engine.api_keys.create(api.home, Role.CLIENT, "spare")
        run, capabilities = RunKey(api.home, ExecutionId("e1"), RunId(run_id)), api.engine.capabilities
        prod = WorkerPool.parse("prod")
        parked = api.engine.parking.park(ParkedKind.TIMER, Owner(api.home), "no message", ValueError("it is broken"))
        self.names = {
            "{parked}": parked.parked_id,
            "{registration}": ref["workflow_registration_id"],
            "{run}": run_id,
            "{key}": key.key_id,
            "{token}": capabilities.attempt_token(AttemptGrant(run, prod, seq=1, scheduled_in=1, attempt=1)),
            "{run_token}": capabilities.run_token(RunGrant(run, prod, next_index=0)),
            "{commit_token}": capabilities.run_token(RunGrant(run, prod, next_index=1)),
        }

    def event(self, route: tuple[str, str], key: str | None) -> dict[str, Any]:
        """Write the request that this matrix has for a route."""
        return self.named(self.api.event(*route, EVERYTHING.get(route), key=key, query=QUERIES.get(route, "")))

    def named(self, sent: dict[str, Any]) -> dict[str, Any]:
        """Put the names of objects into a request that has words in braces for them."""
        for name, value in self.names.items():
            sent["rawPath"] = sent["rawPath"].replace(name, value)
            if "body" in sent:
                sent["body"] = sent["body"].replace(name, value)
        return sent

    def call(self, route: tuple[str, str], key: str | None) -> Answer:
        return self.api.send(self.event(route, key))

    def looked_at(self) -> dict[tuple[str, str], Any]:
        """Return all that the workspace shows of itself."""
        return {route: self.call(route, "admin").body for route in EVERYTHING if route[0] == "GET"}

    def operations(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the operation of the OpenAPI document for each route of the matrix; none for one that it does not know."""
        document = self.call(("GET", "/openapi.json"), None).body
        documented = [(m.upper(), path, one) for path, item in document["paths"].items() for m, one in item.items()]
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for method, path, operation in sorted(documented, key=lambda one: one[1].count("{"), reverse=True):
            pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
            listed = [route for route in (*EVERYTHING, *OPEN) if route[0] == method and pattern.fullmatch(route[1])]
            found |= {route: {**operation, "path": path} for route in listed}
        assert {(method, path) for method, path, _ in documented} == {(m, one["path"]) for (m, _), one in found.items()}
        return found


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stocked]:
    directory: Path = tmp_path_factory.mktemp("auth")
    api = build(directory)
    yield Stocked(api)
    for close in api.closers:
        close()


@pytest.mark.slow
def test_matrix_when_compared_with_the_openapi_document_then_endpoints_and_roles_are_the_same(stocked: Stocked) -> None:
    """An endpoint that this matrix forgets would be one whose access nobody checks."""
    operations = stocked.operations()
    assert operations.keys() == {*EVERYTHING, *OPEN}
    for route, operation in operations.items():
        assert set(operation.get("x-levante-roles", ())) == {key for key in ROLES if route in ALLOWED[key]}


@pytest.mark.parametrize("key", [None, "unknown", "revoked"])
def test_endpoints_when_called_without_a_good_key_then_401_asks_for_one(stocked: Stocked, key: str | None) -> None:
    """Without a key nobody learns anything, not even whether a body is well formed."""
    for route in EVERYTHING:
        answer = stocked.call(route, key)
        assert (answer.status, answer.body["code"], answer.headers["WWW-Authenticate"]) == (
            401,
            "UNAUTHENTICATED",
            "Bearer",
        ), route
        assert isinstance(answer.body["detail"], str)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic c2VjcmV0", "Bearer not-a-key", "Bearer no,Bearer no"])
def test_key_when_the_header_holds_none_that_is_known_then_401(stocked: Stocked, header: str) -> None:
    """Only `Authorization: Bearer <key>` lets anyone in."""
    sent = stocked.api.event("POST", "/v1/workflows/greet/execute", "{broken", key=None, headers={"Authorization": header})
    assert stocked.api.send(sent).status == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_key_when_the_scheme_is_written_otherwise_then_it_is_read_all_the_same(stocked: Stocked, scheme: str) -> None:
    """Schemes are compared without case (RFC 9110, section 11.1)."""
    sent = stocked.api.event("GET", "/v1/workflows")
    sent["headers"]["authorization"] = sent["headers"]["authorization"].replace("Bearer", scheme)
    assert stocked.api.send(sent).status == 200


@pytest.mark.parametrize("key", ["viewer", "client", "worker"])
def test_endpoints_when_the_role_does_not_allow_them_then_403_names_those_that_do(stocked: Stocked, key: str) -> None:
    """Viewers look, clients start and look, workers work and look, admins do everything."""
    for route in EVERYTHING.keys() - ALLOWED[key]:
        answer = stocked.call(route, key)
        assert (answer.status, answer.body["code"]) == (403, "FORBIDDEN"), route
        assert "admin" in answer.body["detail"]


def test_role_when_it_does_not_allow_a_call_then_its_body_is_not_even_read(stocked: Stocked) -> None:
    """What may not be done need not be well formed."""
    sent = stocked.api.event("POST", "/v1/keys", "{broken", key="client")
    assert stocked.api.send(sent).status == 403


@pytest.mark.parametrize("key", ROLES)
def test_endpoints_when_the_role_allows_them_then_they_answer(stocked: Stocked, key: str) -> None:
    """Nothing that a role is for is refused to it."""
    for route in ALLOWED[key]:
        assert stocked.call(route, key).status not in (401, 403, 405, 422, 500), route


@pytest.mark.slow
def test_objects_when_a_key_of_another_workspace_names_them_then_404_and_nothing_changes(api: Api) -> None:
    """To another workspace an object does not exist; a 403 would tell that it does."""
    stocked = Stocked(api)
    before = stocked.looked_at()
    for route, operation in stocked.operations().items():
        answer = stocked.call(route, "stranger")
        if route in EACH_ON_ITS_OWN:
            assert "no " in str(answer.body), route
            assert "success" not in str(answer.body), route
        elif "{" in operation["path"] or route in UNKNOWN:
            codes = {"NOT_SELF_HOSTED", "WF_1201" if "schedules/" in route[1] else "WF_1100"}
            assert answer.status == 404, (route, answer)
            assert answer.body["code"] in codes, route
        elif route[0] == "GET" and route not in OPEN and route != ("GET", "/v1/audit"):  # says what the stranger has tried
            assert not {"e1", "greet", *stocked.names.values()} & set(re.findall(r"[\w-]+", str(answer.body))), route
    assert stocked.looked_at() == before


@pytest.mark.parametrize("key", [None, "unknown", "revoked", "viewer", "client", "worker"])
def test_endpoints_when_they_refuse_a_caller_then_nothing_changes(api: Api, key: str | None) -> None:
    """A refusal comes before anything is done."""
    stocked = Stocked(api)
    before = stocked.looked_at()
    for route in EVERYTHING.keys() - set(ALLOWED.get(key, ())):
        assert stocked.call(route, key).status in (401, 403), route
    assert stocked.looked_at() == before


def test_listings_when_a_key_of_another_workspace_asks_then_they_are_empty(stocked: Stocked) -> None:
    """No listing crosses a workspace."""
    for path, name in (
        ("", "workflows"),
        ("/registrations", "workflow_registrations"),
        ("/deployments", "deployments"),
        ("/runs", "executions"),
    ):
        answer = stocked.call(("GET", f"/v1/workflows{path}"), "stranger")
        assert (answer.status, answer.body[name]) == (200, [])


@pytest.mark.parametrize("route", sorted(OPEN))
def test_open_endpoints_when_called_without_a_key_then_they_answer(stocked: Stocked, route: tuple[str, str]) -> None:
    """Health checks and documentation need no key."""
    assert stocked.call(route, None).status == 200


# --- the program that streams -----------------------------------------------------------------------------------------

STREAMS = [route for route in READ if route[1].endswith(("/stream", "/history"))]
"""What callers reach in the program that streams: at once on one machine, led there by the API on AWS."""
QUERIES_OF_STREAMS = {("GET", "/v1/workflows/events/stream"): "workflow_exec_id=e1"}


def streamed(stocked: Stocked, route: tuple[str, str], key: str | None) -> tuple[int, str]:
    """Call the program that streams. Returns status and code."""
    engine = stocked.api.engine
    services = StreamServices(
        engine.api_keys, engine.tickets, engine.histories, engine.streams, engine.tails, engine.logs, engine.traces
    )
    app = EventsApp(services, call, StreamSettings(longest_seconds=0.01))
    sent = stocked.event(route, key)
    headers = [(name.encode(), value.encode()) for name, value in sent["headers"].items()]
    query = QUERIES_OF_STREAMS.get(route, "").encode()
    scope = {"type": "http", "method": "GET", "path": sent["rawPath"], "query_string": query, "headers": headers}
    parts: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(part: Any) -> None:
        parts.append(part)

    asyncio.run(app(scope, receive, send))
    body = parts[1]["body"].decode() if parts[0]["status"] >= 400 else "{}"
    return parts[0]["status"], json.loads(body).get("code", "")


@pytest.mark.slow
@pytest.mark.parametrize("route", STREAMS, ids="-".join)
def test_streams_when_asked_for_then_the_program_that_streams_lets_in_whom_the_document_says(
    api: Api, route: tuple[str, str]
) -> None:
    """The same rules as the API's, in another program."""
    stocked = Stocked(api)
    roles = stocked.operations()[route]["x-levante-roles"]
    assert {key: streamed(stocked, route, key)[0] for key in ROLES} == {key: 200 if key in roles else 403 for key in ROLES}
    assert streamed(stocked, route, "bound") == (403, "FORBIDDEN")
    for key in (None, "unknown", "revoked"):
        assert streamed(stocked, route, key) == (401, "UNAUTHENTICATED")
    assert streamed(stocked, route, "stranger") == (404, "WF_1100")
