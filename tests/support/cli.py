"""The command line, and a small server that answers as the API does."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from levante.cli import main
from levante.cli.exits import Exit


class Stream(str):
    """Server-sent events."""

    __slots__ = ()


class Api(ThreadingHTTPServer):
    """Answers what it is told to, the last of several answers for ever, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, str, Any, str | None]] = []
        self.asked_with: list[Mapping[str, str]] = []
        self.headers: dict[str, str] = {}
        self.url = f"http://127.0.0.1:{self.server_port}"

    def on(self, method: str, path: str, *answers: tuple[int, Any]) -> None:
        """Say how calls are answered, one after the other. Text is sent as it is, a stream as one, anything else as JSON."""
        self.answers[method, path] = list(answers)

    def next_answer(self, method: str, path: str) -> tuple[int, Any]:
        """Return the answer whose turn it is."""
        answers = self.answers.get((method, path), [(404, {"detail": "there is nothing here", "code": "NOT_FOUND"})])
        return answers.pop(0) if len(answers) > 1 else answers[0]


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def handle_request(self) -> None:
        """Answer whatever the method."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.asked.append((self.command, self.path, body, self.headers.get("Authorization")))
        self.server.asked_with.append(dict(self.headers.items()))
        status, answer = self.server.next_answer(self.command, self.path.partition("?")[0])
        if self.path.endswith("/poll"):
            time.sleep(0.05)  # a long poll that finds nothing
        text = "" if answer is None else answer if isinstance(answer, str) else json.dumps(answer)
        content, kind = text.encode(), "text/event-stream" if isinstance(answer, Stream) else "application/json"
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), "Content-Type": kind, **self.server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815 - names of the standard library


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def run(api: Api | str, *args: str, text: str | bytes | None = None, **environment: str | None) -> Result:
    """Run a command with a server, a key and a deployment name."""
    given: dict[str, str | None] = {
        "LEVANTE_SERVER_URL": api if isinstance(api, str) else api.url,
        "LEVANTE_API_KEY": "lev_secret",
        "MISTRAL_API_KEY": None,
        "SERVER_URL": None,
        "DEPLOYMENT_NAME": "d",
        "WORKER_NAME": "w1",
        "LOG_LEVEL": None,
    }
    return CliRunner().invoke(main, args, env={**given, **environment}, input=text)


def assert_one_line(result: Result, *said: str, code: Exit = Exit.FAILED) -> None:
    """Check for an error: nothing on stdout, one line on stderr."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert len(result.stderr.splitlines()) == 1
    for part in said:
        assert part in result.stderr
