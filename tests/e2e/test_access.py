"""Keys are revoked and lent credentials expire while executions run; histories that are large; nothing is lost."""

import json
import re
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_crashes import HERE, assert_nothing_recorded_ran_again, count, recorded_steps
from tests.support.deployed import Stack
from tests.support.processes import Site, wait_until


def has_ended(trace: Path, steps: int) -> bool:
    """Tell whether so many steps have ended."""
    return sum(count(trace, "end").values()) >= steps


def test_key_when_revoked_mid_run_then_its_worker_stops_cleanly_and_another_carries_on(site: Site, tmp_path: Path) -> None:
    """It says why in one line, and what it was doing is done by a worker with a good key."""
    trace = tmp_path / "trace"
    made = site.call("POST", "/v1/keys", {"name": "fleet", "role": "worker"})
    worker = site.start_worker("steps", HERE, LEVANTE_API_KEY=made["secret"])
    site.wait_for_workers(1)
    execution = site.start("steps", {"path": str(trace), "count": 30, "seconds": 0.4})
    all_steps_seconds = 30 * 0.4
    wait_until(partial(has_ended, trace, 4), "four steps have ended")
    site.call("DELETE", f"/v1/keys/{made['key_id']}")
    assert worker.wait() == 1
    said = worker.log.read_text()
    assert "was revoked" in said
    assert "Traceback" not in said
    assert made["secret"] not in said
    recorded = recorded_steps(site.history(execution))
    site.start_worker("steps", HERE)
    assert site.wait_for_result(execution, site.recovery_seconds + all_steps_seconds) == {"result": 30}
    assert_nothing_recorded_ran_again(trace, recorded, 30)


def test_key_when_bound_to_a_deployment_then_a_worker_of_that_one_works_and_another_says_why_not(
    site: Site, tmp_path: Path
) -> None:
    """Whoever gives a worker the wrong key reads which deployments it is for."""
    made = site.call("POST", "/v1/keys", {"name": "fleet", "role": "worker", "deployments": [site.deployment]})
    site.start_worker("steps", HERE, LEVANTE_API_KEY=made["secret"])
    site.wait_for_workers(1)
    wrong = site.start_worker("steps", HERE, deployment="another", LEVANTE_API_KEY=made["secret"])
    assert wrong.wait() == 1
    assert f"this key works for deployment '{site.deployment}'" in wrong.log.read_text()
    execution = site.start("steps", {"path": str(tmp_path / "trace"), "count": 2, "seconds": 0.0})
    assert site.wait_for_result(execution, site.recovery_seconds) == {"result": 2}


@pytest.mark.emulators
@pytest.mark.timeout(300)
def test_lent_credentials_when_they_expire_mid_run_then_the_worker_renews_them_and_nothing_is_lost(
    stack: Stack, tmp_path: Path
) -> None:
    """SQS refuses them before the worker expects it, as where sessions were revoked. Leases are extended each 10 s."""
    trace = tmp_path / "trace"
    site = stack.site(tmp_path)
    with queues_that_forget(stack.endpoint) as queues:
        try:
            worker = site.start_worker("steps", HERE, AWS_ENDPOINT_URL=queues.url)
            site.wait_for_workers(1)
            execution = site.start("steps", {"path": str(trace), "count": 12, "seconds": 3.0})
            for ended in (2, 6):
                wait_until(partial(has_ended, trace, ended), "steps have ended")
                queues.expire()
            assert site.wait_for_result(execution, site.recovery_seconds) == {"result": 12}
            assert worker.is_running()
            other = site.start("steps", {"path": str(trace), "count": 1, "seconds": 0.0})
            assert site.wait_for_result(other, site.recovery_seconds) == {"result": 1}
        finally:
            site.close()
    assert count(trace, "start") == Counter({**dict.fromkeys(range(12), 1), 0: 2})
    assert queues.refused, "the credentials were in use when they expired"
    assert len(queues.seen) == 3, "others were lent, twice"
    assert not [secret for secret in queues.seen if secret in worker.log.read_text()]


@pytest.mark.timeout(300)
def test_history_when_it_is_larger_than_a_lambda_function_answers_then_it_is_told_all_the_same(
    site: Site, tmp_path: Path
) -> None:
    """On AWS the API leads to the events function; urllib follows, as the official client does."""
    trace = tmp_path / "trace"
    site.start_worker("steps", HERE)
    site.wait_for_workers(1)
    execution = site.start("steps", {"path": str(trace), "count": 4, "seconds": 0.0, "ballast": "x" * 1_600_000})
    assert site.wait_for_result(execution) == {"result": 4}
    history = site.history(execution)
    assert len(json.dumps(history)) > 6 * 1024 * 1024
    assert [event["event_id"] for event in history["events"]] == list(range(1, len(history["events"]) + 1))


class ForgetfulQueues(ThreadingHTTPServer):
    """Passes requests on to an emulator, but for those with credentials that have expired."""

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.endpoint = endpoint
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.seen: set[str] = set()
        self.expired: set[str] = set()
        self.refused = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of polls that nobody waits for any more."""

    def expire(self) -> None:
        """Let all credentials expire that were used so far."""
        self.expired |= self.seen


class _Passing(BaseHTTPRequestHandler):
    server: ForgetfulQueues

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Pass a request on."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = re.search(r"Credential=([^/]+)/", self.headers["Authorization"])
        assert found
        self.server.seen.add(found[1])
        if found[1] in self.server.expired:
            self.server.refused += 1
            said = {"__type": "com.amazon.coral.service#ExpiredTokenException", "message": "The security token is expired"}
            self._answer(403, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(said).encode())
            return
        request = urllib.request.Request(self.server.endpoint + self.path, body, dict(self.headers))
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                self._answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                self._answer(error.code, dict(error.headers), error.read())

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def queues_that_forget(endpoint: str) -> Iterator[ForgetfulQueues]:
    """Serve them inside the block."""
    server = ForgetfulQueues(endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
