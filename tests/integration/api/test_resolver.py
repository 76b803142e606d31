import asyncio
import json
from concurrent.futures import Future
from typing import Any

from aws_lambda_powertools.event_handler import ApiGatewayResolver, Request, Response
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware

from levante_api.http.resolver import OverlappingResolver
from levante_local.greenlets import call, wait_for
from tests.integration.api.harness import Api, decoded, event, on_a_loop


class Overlap:
    """A resolver with one route, which waits for the test before it looks at its request."""

    def __init__(self) -> None:
        self.gates: dict[str, Future[None]] = {"first": Future(), "second": Future()}
        self.resolver = OverlappingResolver()
        self.resolver.use([self.remember])
        self.resolver.get("/<name>")(self.show)

    def remember(self, app: ApiGatewayResolver, next_middleware: NextMiddleware) -> Response[Any]:
        app.context["seen_before"] = app.current_event.path
        response = next_middleware(app)
        response.headers["seen-after"] = f"{app.current_event.path} {app.context['seen_before']} {app.lambda_context}"
        return response

    def show(self, request: Request, name: str) -> dict[str, Any]:
        wait_for(self.gates[name])
        return {"name": name, "path": request.resolved_event.path, "context": request.context["seen_before"]}


@on_a_loop
async def test_requests_when_they_overlap_then_each_keeps_its_own_event_and_context() -> None:
    """A suspended request finds its event, its context and its Lambda context as they were, whoever ran meanwhile."""
    overlap = Overlap()
    first = asyncio.ensure_future(call(overlap.resolver.resolve, event("GET", "/first"), "context 1"))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(call(overlap.resolver.resolve, event("GET", "/second"), "context 2"))
    await asyncio.sleep(0)
    overlap.gates["first"].set_result(None)
    answers = {"first": await first}
    assert not second.done()
    overlap.gates["second"].set_result(None)
    answers["second"] = await second
    for number, name in enumerate(("first", "second"), 1):
        body = json.loads(answers[name]["body"])
        assert body == {"name": name, "path": f"/{name}", "context": f"/{name}"}
        assert answers[name]["headers"]["seen-after"] == f"/{name} /{name} context {number}"


@on_a_loop
async def test_polls_of_two_workspaces_when_they_overlap_then_each_gets_its_own_tasks(api: Api) -> None:
    """The workspace of a request stays that of its key while other requests come and go."""
    api.register("greet")
    greet = {"name": "greet", "task_queue": "prod", "input_schema": {}}
    registered = {"definitions": [greet], "deployment_name": "prod", "worker_name": "w"}
    assert api.call("POST", "/v1/workflows/register", registered, key="stranger").status == 200
    request = {"deployment_name": "prod", "worker_id": "w", "queue": "workflow", "wait_seconds": 20}
    sent = [api.event("POST", "/v1/workflows/workers/poll", request, key=key) for key in ("worker", "stranger")]
    polls = [asyncio.ensure_future(call(api.handler, one, None)) for one in sent]
    await asyncio.sleep(0)
    await call(api.start, "e1")
    mine = decoded(await polls[0])
    assert [one["task"]["execution_id"] for one in mine.body["tasks"]] == ["e1"]
    assert [one["task"]["workspace"] for one in mine.body["tasks"]] == ["home"]
    assert not polls[1].done()
    polls[1].cancel()
    await asyncio.gather(polls[1], return_exceptions=True)
