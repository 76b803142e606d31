"""The determinism guard: which calls of workflow code it refuses, whose calls it lets through, and what it costs nobody."""

import asyncio
import concurrent.futures
import contextvars
import datetime
import glob
import io
import json
import logging
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
import traceback
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from levante import workflow
from levante.determinism.guard import ForbiddenCall
from levante.replay.run import WorkflowCodeFailed, WorkflowRun
from tests.unit.replay.test_run import START, Definition, activity, completed, kinds

FROM_TIME = time.time
UTC = datetime.UTC


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
    "datetime.now": (lambda: datetime.datetime.now(UTC), "workflow.now()"),
    "datetime.utcnow": (lambda: datetime.datetime.utcnow(), "workflow.now()"),  # noqa: DTZ003 - refused
    "datetime.today": (lambda: datetime.datetime.today(), "workflow.now()"),  # noqa: DTZ002 - refused
    "date.today": (lambda: datetime.date.today(), "workflow.now()"),  # noqa: DTZ011 - refused
    "time.sleep": (lambda: time.sleep(0), "workflow.sleep"),
    "random.random": (lambda: random.random(), "workflow.random()"),
    "random.randint": (lambda: random.randint(1, 6), "workflow.random()"),
    "random.choice": (lambda: random.choice("abc"), "workflow.random()"),
    "random.shuffle": (lambda: random.shuffle([1, 2]), "workflow.random()"),
    "random.Random": (lambda: random.Random(), "workflow.random()"),
    "random.SystemRandom": (lambda: random.SystemRandom().random(), "workflow.random()"),
    "secrets.token_hex": (lambda: secrets.token_hex(), "workflow.random()"),
    "secrets.choice": (lambda: secrets.choice("abc"), "workflow.random()"),
    "os.urandom": (lambda: os.urandom(1), "workflow.random()"),
    "uuid.uuid1": (lambda: uuid.uuid1(), "workflow.uuid4()"),
    "uuid.uuid4": (lambda: uuid.uuid4(), "workflow.uuid4()"),
    "os.environ item": (lambda: os.environ["PATH"], "input of the workflow"),
    "os.environ get": (lambda: os.environ.get("PATH"), "input of the workflow"),
    "os.environ in": (lambda: "PATH" in os.environ, "input of the workflow"),
    "os.environ dict": (lambda: dict(os.environ), "input of the workflow"),
    "os.getenv": (lambda: os.getenv("PATH"), "input of the workflow"),
    "open": (lambda: open(__file__), "an activity"),
    "io.open": (lambda: io.open(__file__), "an activity"),
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
"""Calls, by what the error names, with what it says to use instead."""
