"""What libraries do on behalf of workflow code: network, threads and processes are refused to them as well."""

# The calls are here to be refused.
# ruff: noqa: PLC0415, PLW0108, S113

import asyncio
import http.client
import logging
import logging.handlers
import random
import smtplib
import socket
import sqlite3
import sys
import threading
import time
import types
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aiohttp
import boto3
import httpx2
import pytest
import requests
import urllib3
from mistralai.client import Mistral

from levante import workflow
from levante.determinism import clients, forbidden
from levante.determinism.judging import ForbiddenCall
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.run import WorkflowRun
from tests.support.bodies import Definition
from tests.unit.levante.replay.test_run import START, kinds

URL = "http://127.0.0.1:9/"
"""Nobody listens there; nobody is asked, either."""
DYNAMODB = boto3.client(
    "dynamodb", region_name="eu-west-1", endpoint_url=URL, aws_access_key_id="x", aws_secret_access_key="x"
)
MISTRAL = Mistral(api_key="x", server_url=URL)
CHAT: Any = [{"role": "user", "content": "hello"}]


class Answer(BaseHTTPRequestHandler):
    """Answers and keeps the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """A server on this machine. Returns its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def new_run(act: Callable[[], object]) -> WorkflowRun:
    """A run whose code does one thing, and awaits what comes of it if that can be."""

    async def body() -> None:
        result = act()
        if isinstance(result, Awaitable):
            await result

    definition: Any = Definition(body)
    return WorkflowRun(definition, "e", "r", START)


def refusal(act: Callable[[], object]) -> str:
    """Begin a run whose code is refused a call. Returns what it is told."""
    run = new_run(act)
    with pytest.raises(WorkflowCodeFailed) as failed:
        run.begin()
    run.dispose()
    assert isinstance(failed.value.__cause__, ForbiddenCall)
    return str(failed.value)


def library(source: str, name: str = "lib.module") -> types.ModuleType:
    """A module that lies where packages are installed."""
    module = types.ModuleType(name)
    code = compile(source, "/usr/lib/python3/site-packages/lib/module.py", "exec")
    exec(code, vars(module))  # noqa: S102 - code of a library that nobody need install
    return module


async def by_aiohttp() -> None:
    async with aiohttp.ClientSession() as session, session.get(URL):
        pass


async def by_async_httpx() -> None:
    async with httpx2.AsyncClient() as client:
        await client.get(URL)


SLEEPS = library("import time\ndef poll(): time.sleep(0.01)")
STARTS_THREAD = library("import threading\ndef start(): threading.Thread(target=int).start()")
RUNS_PROCESS = library("import subprocess\ndef version(): subprocess.run(['true'])")
CONNECTS = library("import socket\ndef fetch(): socket.create_connection(('127.0.0.1', 9))")

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "requests.get": (lambda: requests.get(URL), "network"),
    "requests.Session.get": (lambda: requests.Session().get(URL), "network"),
    "urllib3.request": (lambda: urllib3.request("GET", URL), "network"),
    "httpx2.get": (lambda: httpx2.get(URL), "network"),
    "httpx2.AsyncClient.get": (by_async_httpx, "network"),
    "aiohttp.client.": (by_aiohttp, "network"),
    "http.client.HTTPConnection.request": (
        lambda: http.client.HTTPConnection("127.0.0.1", 9).request("GET", "/"),
        "network",
    ),
    "smtplib.SMTP": (lambda: smtplib.SMTP("127.0.0.1", 9), "network"),
    "mistralai.client.chat.Chat.complete": (lambda: MISTRAL.chat.complete(model="m", messages=CHAT), "network"),
    "mistralai.client.chat.Chat.complete_async": (
        lambda: MISTRAL.chat.complete_async(model="m", messages=CHAT),
        "an activity",
    ),
    "botocore.client.ClientCreator": (lambda: DYNAMODB.list_tables(), "network"),
    "asyncio.open_connection": (lambda: asyncio.open_connection("127.0.0.1", 9), "network"),
    "loop.create_connection": (lambda: asyncio.get_running_loop().create_connection(asyncio.Protocol, "x", 9), "network"),
    "loop.add_signal_handler": (lambda: asyncio.get_running_loop().add_signal_handler(2, print), "the worker"),
    "loop.run_in_executor": (lambda: asyncio.get_running_loop().run_in_executor(None, print), "threads"),
    "asyncio.to_thread": (lambda: asyncio.to_thread(print), "threads"),
    "asyncio.create_subprocess_exec": (lambda: asyncio.create_subprocess_exec("true"), "reaches outside"),
    "lib.module.poll": (lambda: SLEEPS.poll(), "stops the whole worker"),
    "lib.module.start": (lambda: STARTS_THREAD.start(), "threads"),
    "lib.module.version": (lambda: RUNS_PROCESS.version(), "reaches outside"),
    "lib.module.fetch": (lambda: CONNECTS.fetch(), "network"),
    "threading.Event.wait": (lambda: threading.Event().wait(), "threads"),
    "input": (lambda: input(), "terminal"),
    "breakpoint": (lambda: breakpoint(), "terminal"),  # noqa: T100 - it is refused
    "sqlite3.connect": (lambda: sqlite3.connect(":memory:"), "file system"),
    "time.localtime": (lambda: time.localtime(), "time zone"),
    "sys.settrace": (lambda: sys.settrace(None), "the worker"),
}
"""Calls by the name that the error gives them, with a word of its reason."""


@pytest.mark.parametrize("call", REFUSED)
def test_library_when_it_reaches_outside_then_the_error_names_what_the_users_code_called(call: str) -> None:
    """Whoever opens the socket: what is to be moved to an activity is the call in the user's own file."""
    act, reason = REFUSED[call]
    message = refusal(act)
    assert message.startswith(f"workflow code uses {call}"), message
    assert f" at {__file__}:" in message
    assert reason in message


def test_client_when_its_connection_is_open_already_then_its_request_is_refused_all_the_same(server: str) -> None:
    """A client that is kept needs no new socket: what sends a request is refused as well."""
    with requests.Session() as session, httpx2.Client() as client:
        session.get(server)
        client.get(server)
        assert "requests.Session.get" in refusal(lambda: session.get(server))
        assert "httpx2.Client.get" in refusal(lambda: client.get(server))


def test_task_of_a_library_when_none_of_the_users_code_is_below_it_then_it_is_refused_where_it_is() -> None:
    """A library that goes on in a task of its own is code of the run."""
    connects = library("import socket\nasync def fetch(): socket.socket()")
    message = refusal(lambda: asyncio.ensure_future(connects.fetch()))
    assert message.startswith("workflow code uses lib.module.fetch at /usr/lib/python3/site-packages/lib/module.py:2")


def test_library_when_the_enforcement_is_skipped_then_it_may_go_to_the_network(server: str) -> None:
    """Whoever says that it cannot change the course of the workflow is believed."""
    answers: list[int] = []

    def act() -> None:
        with workflow.unsafe.skip_determinism_enforcement():
            answers.append(requests.get(server).status_code)

    assert kinds(new_run(act).begin()) == ["execution_completed"]
    assert answers == [200]


def test_library_when_it_is_imported_then_it_may_do_what_it_likes(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module runs once per process."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "guard_probes.py").write_text(
        "import socket\n\ndef probe():\n    return socket.gethostname()\n\nHOST = probe()\n"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "guard_probes", raising=False)

    def act() -> None:
        import guard_probes  # type: ignore[import-not-found]

        assert guard_probes.HOST

    assert kinds(new_run(act).begin()) == ["execution_completed"]


def test_log_handler_when_it_goes_to_the_network_then_it_is_let_through(server: str) -> None:
    """Where log records go is no part of the workflow."""
    port = int(server.rstrip("/").rpartition(":")[2])
    handler = logging.handlers.SocketHandler("127.0.0.1", port)
    logger = logging.getLogger("guard.libraries")
    logger.addHandler(handler)
    try:
        assert kinds(new_run(lambda: logger.error("hello")).begin()) == ["execution_completed"]
        assert isinstance(handler.sock, socket.socket)
    finally:
        logger.removeHandler(handler)
        handler.close()


def test_module_in_c_when_it_is_imported_late_then_its_functions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levante imports no numpy to know its random numbers."""
    module = types.ModuleType("numpy.random")
    hidden = random.Random(1)  # noqa: S311 - it stands for numpy's own
    vars(module).update(rand=hidden.random, default_rng=len)
    monkeypatch.setitem(sys.modules, "numpy.random", module)
    monkeypatch.setattr(forbidden, "_taken_in", set())
    assert "workflow code uses numpy.random.rand at " in refusal(lambda: module.rand())
    assert kinds(new_run(lambda: module.default_rng("x")).begin()) == ["execution_completed"]
    forbidden.FUNCTIONS.pop(hidden.random)


@pytest.mark.parametrize(("module", "name"), [*clients.names(clients.NETWORK), *clients.names(clients.CLOCK)])
def test_clients_when_they_are_installed_then_they_have_the_functions_that_are_named(module: str, name: str) -> None:
    """A name that the library has given up would let its calls through."""
    found: Any = pytest.importorskip(module, reason="it is not installed")
    for part in name.split("."):
        found = vars(found)[part] if part in vars(found) else getattr(found, part)
    code = getattr(getattr(found, "__func__", found), "__code__", None)
    while code is not None and code.co_qualname != name:
        found = found.__wrapped__
        code = found.__code__
    assert code is not None
