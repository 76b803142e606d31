"""Traces of executions are sent to a collector, if one is configured."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_crashes import HERE
from tests.support.processes import LocalSite, wait_until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(ThreadingHTTPServer):
    """Takes traces. status: what it answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str | None, dict[str, Any]]] = []
        self.status = 200


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers["X-Key"], body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the host knows from its environment."""
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}/otel")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b")
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    yield collector
    collector.shutdown()
    thread.join()
    collector.server_close()


def spans(collector: Collector) -> list[dict[str, Any]]:
    """Return the spans that the collector has got."""
    return [
        span
        for _, _, body in collector.requests
        for resource in body["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def test_run_when_it_ends_then_its_trace_is_sent_once_whoever_ends_it(
    collector: Collector, local_site: LocalSite, tmp_path: Path
) -> None:
    """One request for what ends at once; a run that is terminated has a trace too."""
    site = local_site
    site.start_worker("steps", HERE)
    site.wait_for_workers(1)
    given = {"path": str(tmp_path / "trace"), "count": 2, "seconds": 0.0}
    execution = site.start("steps", given, traceparent=f"00-{TRACE}-{PARENT}-01")
    site.wait_for_result(execution)
    wait_until(lambda: len(spans(collector)) >= 4, "its trace has come")
    path, key, body = collector.requests[0]
    assert (path, key) == ("/otel/v1/traces", "a b")
    assert [span["name"] for span in spans(collector)] == [
        "execute workflow steps", "workflow steps", "activity step", "activity step"
    ]  # fmt: skip
    assert {span["traceId"] for span in spans(collector)} == {TRACE}
    assert {span["kind"] for span in spans(collector)} == {1, 2}
    service = {"key": "service.name", "value": {"stringValue": site.deployment}}
    assert service in body["resourceSpans"][0]["resource"]["attributes"]
    other = site.start("naps", {"path": str(tmp_path / "trace"), "seconds": 60.0})
    site.call("POST", f"/v1/workflows/executions/{other}/terminate")
    wait_until(lambda: len(spans(collector)) > 4, "the trace of the other one has come")
    assert "workflow naps" in {span["name"] for span in spans(collector)}


def test_collector_when_it_refuses_then_executions_do_not_notice(
    collector: Collector, local_site: LocalSite, tmp_path: Path
) -> None:
    """It is asked once, and then left alone for a minute."""
    site = local_site
    collector.status = 503
    site.start_worker("steps", HERE)
    site.wait_for_workers(1)
    given = {"path": str(tmp_path / "trace"), "count": 1, "seconds": 0.0}
    for _ in range(3):
        execution = site.start("steps", given)
        assert site.wait_for_result(execution) == {"result": 1}
    wait_until(lambda: collector.requests, "it was asked")
    assert len(collector.requests) == 1
