"""Calls that the guard lets through: harmless ones, those of libraries, and those that are told to be."""

# The calls are here to be refused.
# ruff: noqa: PLW0108, S311

import asyncio
import contextlib
import datetime as dt
import importlib
import json
import logging
import pathlib
import random
import sys
import threading
import time
import traceback
import uuid
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field

from levante import workflow
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.rules import RunRules
from levante.replay.run import WorkflowRun
from tests.support.bodies import Definition
from tests.unit.levante.replay.guarded import UTC, installed, new_run, refusal
from tests.unit.levante.replay.test_run import START, activity, completed, kinds


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
