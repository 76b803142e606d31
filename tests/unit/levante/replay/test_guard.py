"""Calls that differ on replay are refused in workflow code."""

# The calls are here to be refused.
# ruff: noqa: DTZ002, DTZ003, DTZ011, PLW0108, PLW1510, PTH110, PTH123, PTH207, PTH208, S311, S605, S607, SIM115, UP020

import asyncio
import concurrent.futures
import contextlib
import datetime as dt
import glob
import io
import multiprocessing
import os
import pathlib
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from levante import workflow
from levante.definition.definitions import get_workflow_definition
from levante.determinism.judging import ForbiddenCall
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.run import WorkflowRun
from tests.support.bodies import Definition
from tests.unit.levante.replay.guarded import UTC, installed, new_run, refusal
from tests.unit.levante.replay.test_run import START, activity, completed, kinds

FROM_TIME = time.time


@dataclass
class Stamped:
    """A dataclass whose default reads the clock: its generated `__init__` is code of this module."""

    at: float = field(default_factory=time.time)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "time.time": (lambda: time.time(), "workflow.now()"),
    "time.time under another name": (lambda: FROM_TIME(), "workflow.now()"),
    "time.time in a generated method": (lambda: Stamped(), "workflow.now()"),
    "time.time_ns": (lambda: time.time_ns(), "workflow.now()"),
    "time.monotonic": (lambda: time.monotonic(), "workflow.now()"),
    "time.perf_counter": (lambda: time.perf_counter(), "workflow.now()"),
    "datetime.now": (lambda: dt.datetime.now(UTC), "workflow.now()"),
    "datetime.utcnow": (lambda: dt.datetime.utcnow(), "workflow.now()"),
    "datetime.today": (lambda: dt.datetime.today(), "workflow.now()"),
    "date.today": (lambda: dt.date.today(), "workflow.now()"),
    "time.sleep": (lambda: time.sleep(0), "workflow.sleep"),
    "random.random": (lambda: random.random(), "workflow.random()"),
    "random.randint": (lambda: random.randint(1, 6), "workflow.random()"),
    "random.choice": (lambda: random.choice("abc"), "workflow.random()"),
    "random.shuffle": (lambda: random.shuffle([1, 2]), "workflow.random()"),
    "random.Random": (lambda: random.Random(), "workflow.random()"),
    "random.SystemRandom": (lambda: random.SystemRandom().random(), "workflow.random()"),
    "secrets.token_hex": (lambda: secrets.token_hex(), "workflow.random()"),
    "random.choice by secrets": (lambda: secrets.choice("abc"), "workflow.random()"),
    "os.urandom": (lambda: os.urandom(1), "workflow.random()"),
    "uuid.uuid1": (lambda: uuid.uuid1(), "workflow.uuid4()"),
    "uuid.uuid4": (lambda: uuid.uuid4(), "workflow.uuid4()"),
    "os.environ item": (lambda: os.environ["PATH"], "input of the workflow"),
    "os.environ get": (lambda: os.environ.get("PATH"), "input of the workflow"),
    "os.environ in": (lambda: "PATH" in os.environ, "input of the workflow"),
    "os.environ dict": (lambda: dict(os.environ), "input of the workflow"),
    "os.getenv": (lambda: os.getenv("PATH"), "input of the workflow"),
    "open": (lambda: open(__file__), "an activity"),
    "open by io": (lambda: io.open(__file__), "an activity"),
    "os.listdir": (lambda: os.listdir(), "an activity"),
    "os.path.exists": (lambda: os.path.exists(__file__), "an activity"),
    "pathlib read_text": (lambda: pathlib.Path(__file__).read_text(), "an activity"),
    "pathlib exists": (lambda: pathlib.Path(__file__).exists(), "an activity"),
    "pathlib iterdir": (lambda: list(pathlib.Path(__file__).parent.iterdir()), "an activity"),
    "glob.glob": (lambda: glob.glob("*"), "an activity"),
    "tempfile.mkdtemp": (lambda: tempfile.mkdtemp(), "an activity"),
    "shutil.copy": (lambda: shutil.copy(__file__, "/nowhere/x"), "an activity"),
    "socket.socket": (lambda: socket.socket(), "an activity"),
    "socket.create_connection": (lambda: socket.create_connection(("127.0.0.1", 1)), "an activity"),
    "socket.getaddrinfo": (lambda: socket.getaddrinfo("localhost", 1), "an activity"),
    "socket.gethostname": (lambda: socket.gethostname(), "an activity"),
    "urllib.request.urlopen": (lambda: urllib.request.urlopen("http://127.0.0.1:1"), "an activity"),
    "threading.Thread.start": (lambda: threading.Thread(target=int).start(), "asyncio tasks"),
    "concurrent.futures": (lambda: concurrent.futures.ThreadPoolExecutor().submit(int), "asyncio tasks"),
    "subprocess.run": (lambda: subprocess.run([sys.executable, "-V"]), "an activity"),
    "subprocess.Popen": (lambda: subprocess.Popen([sys.executable, "-V"]), "an activity"),
    "os.system": (lambda: os.system("true"), "an activity"),
    "os.getpid": (lambda: os.getpid(), "an activity"),
    "multiprocessing": (lambda: multiprocessing.get_context("spawn").Process(target=int).start(), "an activity"),
    "asyncio.run": (lambda: asyncio.run(None), "await"),  # type: ignore[arg-type] # never gets so far
    "asyncio.Runner": (lambda: asyncio.Runner(), "await"),
    "asyncio.new_event_loop": (lambda: asyncio.new_event_loop(), "await"),
}
"""Calls, by the name that the error gives them, with what it says to use instead."""


@pytest.mark.parametrize("call", REFUSED)
def test_call_when_it_differs_on_replay_then_the_error_names_it_its_line_and_what_to_use_instead(call: str) -> None:
    """Whatever a call is named and however it was imported, workflow code learns at once that it must not make it."""
    act, instead = REFUSED[call]
    line = act.__code__.co_firstlineno
    message = str(refusal(new_run(act)))
    assert message.startswith(f"workflow code uses {call.partition(' ')[0]}")
    assert f" at {__file__}:{line} in <lambda>: " in message
    assert instead in message


def test_call_when_it_is_refused_then_it_was_not_made(tmp_path: pathlib.Path) -> None:
    """The error comes before the effect."""
    path = str(tmp_path / "written")
    refusal(new_run(lambda: open(path, "w")))
    assert not (tmp_path / "written").exists()


def test_call_when_the_code_catches_its_error_then_the_code_failed_all_the_same() -> None:
    """No `except Exception` lets code go on that replay may not follow."""

    def act() -> None:
        with contextlib.suppress(Exception):
            time.time()

    assert "time.time" in str(refusal(new_run(act)))


def test_call_when_it_is_made_by_what_makes_the_instance_then_it_is_refused() -> None:
    """The workflow's `__init__` runs again on each replay too."""

    class Clocked:
        def __init__(self) -> None:
            self.at = time.time()

    assert "time.time" in str(refusal(new_run(int, cls=Clocked)))


def test_call_when_it_is_made_by_a_condition_then_it_is_refused() -> None:
    """Conditions are looked at on replay too, after everything that happens."""

    async def body() -> None:
        pending = activity()
        await workflow.wait_condition(lambda: pending.done() and time.time() > 0)

    definition: Any = Definition(body)
    run = WorkflowRun(definition, "e", "r", START)
    assert kinds(run.begin()) == ["activity_scheduled"]
    with pytest.raises(WorkflowCodeFailed, match=r"time\.time"):
        run.apply(completed(1))
    run.dispose()


def test_call_when_a_task_that_nobody_waits_for_makes_it_then_the_code_failed() -> None:
    """An error that is lost in a task is still a bug of the workflow."""

    async def read() -> None:
        time.time()

    async def body() -> None:
        task = asyncio.create_task(read())
        await activity()
        del task

    definition: Any = Definition(body)
    assert "time.time" in str(refusal(WorkflowRun(definition, "e", "r", START)))


def test_call_when_it_is_made_by_a_query_then_who_asks_is_told_and_the_run_goes_on() -> None:
    """A query that is refused a call has not harmed the run."""

    @workflow.define(name="asked")
    class Asked:
        @workflow.entrypoint
        async def run(self) -> str:
            await activity()
            return "done"

        @workflow.query()
        def age(self) -> float:
            return time.time()

    run = WorkflowRun(get_workflow_definition(Asked), "e", "r", START)
    run.begin()
    with pytest.raises(ForbiddenCall, match=r"time\.time"):
        run.query("age", {})
    assert kinds(run.apply(completed(1))) == ["execution_completed"]


def test_call_when_a_module_of_the_workflows_own_package_makes_it_then_it_is_refused_wherever_it_is_installed() -> None:
    """Applications are installed into site-packages too: the package of the workflow class is user code."""
    act = installed("shop.clock")
    assert new_run(act).begin()
    run = new_run(act, cls=type("Order", (), {"__module__": "shop.orders"}))
    assert "time.time" in str(refusal(run))
