"""`GET /metrics` of the host: what it counts, and who may ask."""

import asyncio
import json
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from levante_core.domain.names import Workspace
from levante_core.storage.catalogue import Role
from tests.integration.api.harness import on_a_loop
from tests.integration.local.serving import KEY, Served, request, serving

VIEWER, WORKER = "key-of-a-viewer-0123456789", "key-of-a-worker-0123456789"
REGISTRATION = {
    "definitions": [{"name": "w", "task_queue": "d", "input_schema": {"type": "object"}}],
    "deployment_name": "d",
    "worker_name": "w1",
    "deployment_location": {"location_type": "local"},
}


async def metrics(served: Served) -> dict[tuple[str, ...], float]:
    """Return the values by name and labels."""
    answer = await served.ask(request("GET", "/metrics", key=KEY))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    parsed = text_string_to_metric_families(answer.content.decode())  # type: ignore[no-untyped-call]
    return {(sample.name, *sample.labels.values()): sample.value for metric in parsed for sample in metric.samples}


async def post(served: Served, path: str, body: object) -> None:
    answer = await served.ask(request("POST", path, json.dumps(body).encode(), key=KEY))
    assert answer.status < 300, answer.content


@on_a_loop
async def test_metrics_when_executions_start_and_end_then_they_are_counted(tmp_path: Path) -> None:
    """An operator sees what is open, what ended how, and which tasks wait."""
    async with serving(tmp_path) as served:
        await post(served, "/v1/workflows/register", REGISTRATION)
        for execution in ("a", "b"):
            await post(served, "/v1/workflows/w/execute", {"execution_id": execution, "input": {}})
        async with asyncio.timeout(20):
            while (await metrics(served))["levante_queue_messages", "workflow", "waiting"] < 2:
                await asyncio.sleep(0.01)
        await post(served, "/v1/workflows/executions/a/terminate", {})
        values = await metrics(served)
    assert values["levante_executions_started_total",] == 2
    assert values["levante_executions_closed_total", "TERMINATED"] == 1
    assert values["levante_executions_open",] == 1
    assert values["levante_history_events_total", "execution_terminated"] == 1
    assert values["levante_parked_items",] == 0
    assert values["levante_queue_messages", "workflow", "in_flight"] == 0
    assert values["levante_database_bytes",] > 0
    assert values["levante_database_commits_total",] > 0


@on_a_loop
async def test_metrics_when_a_loop_fails_then_they_name_it(tmp_path: Path) -> None:
    """An alert can be made of it."""
    async with serving(tmp_path) as served:
        served.host._supervisor.report("loop of a test", ValueError("no"))
        assert (await metrics(served))["levante_loop_failures", "loop of a test"] == 1


@on_a_loop
async def test_metrics_when_asked_for_then_the_key_has_to_be_a_viewers_or_an_admins(tmp_path: Path) -> None:
    """They tell what a business does. The address says nothing: requests through a proxy come from this machine, too."""
    async with serving(tmp_path) as served:
        keys = served.host._engine.api_keys
        keys.ensure(Workspace("default"), Role.VIEWER, "viewer", VIEWER)
        keys.ensure(Workspace("default"), Role.WORKER, "worker", WORKER)
        statuses = [(await served.ask(request("GET", "/metrics", key=key))).status for key in (None, WORKER, VIEWER)]
        assert statuses == [401, 403, 200]
