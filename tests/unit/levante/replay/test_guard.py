"""The determinism guard: which calls of workflow code it refuses, whose calls it lets through, and whom it never meets."""

# The calls are here to be refused.
# ruff: noqa: DTZ002, DTZ003, DTZ011, PLW0108, PLW1510, PTH110, PTH123, PTH207, PTH208, S311, S605, S607, SIM115, UP020

import asyncio
import concurrent.futures
import contextlib
import datetime as dt
import glob
import importlib
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
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel, Field

from levante import workflow
from levante.definition.definitions import get_workflow_definition
from levante.determinism.judging import ForbiddenCall
from levante.replay.rules import RunRules
from levante.replay.run import WorkflowCodeFailed, WorkflowRun
from tests.support.bodies import Definition
from tests.unit.levante.replay.test_run import START, activity, completed, kinds

FROM_TIME = time.time
UTC = dt.UTC


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


def new_run(act: Callable[[], object], **attributes: Any) -> WorkflowRun:
    """A run whose code does one thing."""

    async def body() -> None:
        act()

    definition: Any = Definition(body)
    vars(definition).update(attributes)
    return WorkflowRun(definition, "e", "r", START)


def refusal(run: WorkflowRun) -> ForbiddenCall:
    """Begin a run whose code is refused a call."""
    with pytest.raises(WorkflowCodeFailed) as failed:
        run.begin()
    run.dispose()
    assert isinstance(failed.value.__cause__, ForbiddenCall)
    return failed.value.__cause__


# --- what is refused --------------------------------------------------------------------------------------------------


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


def installed(module: str) -> Callable[[], object]:
    """A function that reads the clock, of a module that lies where packages are installed."""
    names: dict[str, Any] = {"__name__": module, "time": time}
    code = compile("def read(): return time.time()", "/usr/lib/python3/site-packages/of/it.py", "exec")
    exec(code, names)  # noqa: S102 - code of a library that nobody need install
    return names["read"]  # type: ignore[no-any-return]


# --- what is let through ----------------------------------------------------------------------------------------------


class Stamp(BaseModel):
    """A model whose default is made by pydantic, not by the workflow."""

    id: uuid.UUID = Field(default_factory=uuid.uuid4)


async def waits() -> None:
    """What asyncio offers for waiting, none of which waits here."""
    async with asyncio.TaskGroup() as group, asyncio.timeout(5):
        group.create_task(asyncio.sleep(0))
        await asyncio.gather(asyncio.sleep(0), asyncio.wait_for(asyncio.sleep(0), 3))


def failure() -> str:
    """The text of a traceback, for which the source is read."""
    try:
        return str(1 // 0)
    except ZeroDivisionError:
        return traceback.format_exc()


ALLOWED: dict[str, Callable[[], object]] = {
    "logging": lambda: logging.getLogger("orders").warning("at %s", "x"),
    "traceback": failure,
    "warnings": lambda: warnings.warn("old", DeprecationWarning, stacklevel=1),
    "pydantic": Stamp,
    "json": lambda: json.loads(json.dumps({"a": 1})),
    "library": lambda: installed("lib.clock")(),
    "workflow.now": workflow.now,
    "workflow.uuid4": workflow.uuid4,
    "workflow.random": lambda: workflow.random().choice("abc"),
    "random.Random with a seed": lambda: random.Random(7).random(),
    "uuid.uuid5": lambda: uuid.uuid5(uuid.NAMESPACE_DNS, "x"),
    "pure datetime": lambda: dt.datetime.fromtimestamp(0, UTC) + dt.timedelta(1),
    "pure paths": lambda: pathlib.PurePosixPath("/a") / "b",
    "lock": lambda: threading.Lock().acquire(timeout=1),
}
"""What workflow code may do."""


@pytest.mark.filterwarnings("ignore:old")
@pytest.mark.parametrize("act", ALLOWED.values(), ids=list(ALLOWED))
def test_call_when_it_is_harmless_or_made_by_a_library_then_it_is_let_through(act: Callable[[], object]) -> None:
    """What counts is who calls: a library that stamps its log lines is none of the guard's business."""
    assert kinds(new_run(act).begin()) == ["execution_completed"]


def test_asyncio_when_workflow_code_waits_with_it_then_it_is_let_through() -> None:
    """The looks of asyncio itself at loops and clocks are not the workflow's."""
    definition: Any = Definition(waits)
    assert kinds(WorkflowRun(definition, "e", "r", START).begin())[-1] == "execution_completed"


def test_module_when_workflow_code_imports_it_then_it_may_read_what_it_likes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module is run once per process, not once per run."""
    source = "import os\nimport time\n\ndef read():\n    return time.time(), os.getenv('HOME')\n\nAT = read()\n"
    (tmp_path / "guard_lazy_import.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "guard_lazy_import", raising=False)

    def act() -> None:
        importlib.import_module("guard_lazy_import")

    assert kinds(new_run(act).begin()) == ["execution_completed"]
    assert "time.time" in str(refusal(new_run(lambda: sys.modules["guard_lazy_import"].read())))


@pytest.mark.parametrize(
    ("own", "of_worker", "is_refused"),
    [(None, True, True), (None, False, False), (False, True, False), (True, False, True)],
)
def test_enforcement_when_the_workflow_says_then_that_holds_else_what_the_worker_says(
    *, own: bool | None, of_worker: bool, is_refused: bool
) -> None:
    """`enforce_determinism` of a workflow wins over the worker's default."""

    async def body() -> None:
        time.time()

    definition: Any = Definition(body)
    definition.enforce_determinism = own
    run = WorkflowRun(definition, "e", "r", START, RunRules(enforces_determinism=of_worker))
    if is_refused:
        assert "time.time" in str(refusal(run))
    else:
        assert kinds(run.begin()) == ["execution_completed"]


# --- the way around ---------------------------------------------------------------------------------------------------


def test_skip_when_a_block_is_open_then_calls_in_it_and_in_tasks_it_starts_are_let_through() -> None:
    """`unsafe.skip_determinism_enforcement()` reaches over awaits, and into tasks started inside."""

    async def read() -> None:
        await asyncio.sleep(0)
        time.time()

    async def body() -> None:
        with workflow.unsafe.skip_determinism_enforcement():
            time.time()
            with workflow.unsafe.skip_determinism_enforcement():
                await asyncio.sleep(0)
            time.time()
            task = asyncio.create_task(read())
        await task

    definition: Any = Definition(body)
    assert kinds(WorkflowRun(definition, "e", "r", START).begin()) == ["execution_completed"]


def test_skip_when_its_block_has_ended_then_calls_are_refused_again() -> None:
    """Also after an error in the block."""

    def act() -> None:
        with contextlib.suppress(ZeroDivisionError), workflow.unsafe.skip_determinism_enforcement():
            raise ZeroDivisionError
        time.time()

    assert "time.time" in str(refusal(new_run(act)))


def test_skip_when_there_is_no_workflow_then_it_does_nothing() -> None:
    """Code that workflows share with others needs no two versions."""
    with workflow.unsafe.skip_determinism_enforcement(), workflow.unsafe.imports_passed_through():
        assert time.time() > 0


# --- whom it never meets ----------------------------------------------------------------------------------------------


def test_guard_when_a_run_waits_or_has_failed_then_calls_are_not_watched() -> None:
    """Between two steps, the thread is the worker's and its activities'."""

    async def body() -> None:
        await activity()
        time.time()

    definition: Any = Definition(body)
    run = WorkflowRun(definition, "e", "r", START)
    run.begin()
    assert sys.getprofile() is None
    with pytest.raises(WorkflowCodeFailed):
        run.apply(completed(1))
    assert sys.getprofile() is None
    run.dispose()


def test_guard_when_runs_nest_then_each_keeps_its_own_rule() -> None:
    """A run that is driven inside another neither lends nor takes its guard."""
    seen = []

    def inner() -> None:
        seen.append(time.time())

    def outer() -> None:
        assert kinds(new_run(inner, enforce_determinism=False).begin()) == ["execution_completed"]
        refusal(new_run(inner))
        new_run(int).begin()
        time.time()

    assert f":{outer.__code__.co_firstlineno + 4} in " in str(refusal(new_run(outer)))
    assert len(seen) == 1


def test_guard_when_another_thread_works_meanwhile_then_that_is_not_watched() -> None:
    """An activity in a thread calls what it likes while workflow code runs."""
    from_thread, from_code = threading.Event(), threading.Event()
    seen: list[float] = []

    def act() -> None:
        from_code.set()
        from_thread.wait(20)

    def work() -> None:
        from_code.wait(20)
        seen.append(time.time())
        from_thread.set()

    thread = threading.Thread(target=work)
    thread.start()
    commands = new_run(act).begin()
    thread.join()
    assert kinds(commands) == ["execution_completed"]
    assert len(seen) == 1


def test_profiler_when_the_user_runs_one_then_it_keeps_its_place() -> None:
    """Whoever measures workflow code is not measured out of it."""
    events: Counter[str] = Counter()

    def profile(_frame: object, event: str, _arg: object) -> None:
        events[event] += 1

    sys.setprofile(profile)
    try:
        commands = new_run(time.time).begin()
        kept = sys.getprofile()
    finally:
        sys.setprofile(None)
    assert kept is profile
    assert events["call"] > 0
    assert kinds(commands) == ["execution_completed"]
