"""Replay in another process with another hash seed: what depends on the order of a set shows there.

Within one process, a set of strings has one order; the next worker's process has another (`PYTHONHASHSEED`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from levante.errors import NonDeterminismError
from levante.replay.endings import WorkflowCodeFailed

PATIENCE_SECONDS = 120.0
MOST_SEED = 4_294_967_295
"""Source: Python documentation, Command line and environment, PYTHONHASHSEED (read 2026-12-01)."""
PROCESS = "levante.testing.replay_process"


class ReplayCase(BaseModel):
    """A history, and where the class of its workflow is written."""

    history: dict[str, Any]
    module: str
    file: str | None
    name: str


class ReplayOrder(BaseModel):
    """What the other process is to replay. path: where it finds modules."""

    path: list[str]
    cases: list[ReplayCase]


class Difference(BaseModel):
    """The first replay that failed. type: NonDeterminismError, or what was raised instead."""

    type: str
    message: str
    event_id: int = 0
    recorded: str = ""
    asked: str = ""


class ReplayAnswer(BaseModel):
    """What became of the replays: nothing to say of them if all have passed."""

    difference: Difference | None = None


def replay_elsewhere(histories: Sequence[tuple[Mapping[str, Any], type]], hash_seed: int) -> None:
    """Replay histories, each with the class of its workflow, in a new process with this hash seed.

    Raises: NonDeterminismError, with the difference; WorkflowCodeFailed, with what the code raised as its text; ValueError
    for a seed that Python does not take, a class inside a function, or a history that is none; RuntimeError when the process
    cannot do it. Cost: a process that imports the modules, about a second.
    """
    if not 0 <= hash_seed <= MOST_SEED:
        raise ValueError(f"a hash seed is a number from 0 to {MOST_SEED}, not {hash_seed}")
    order = ReplayOrder(path=sys.path, cases=[_case(history, workflow) for history, workflow in histories])
    done = subprocess.run(  # noqa: S603 - this interpreter, with a module of ours
        [sys.executable, "-m", PROCESS],
        input=to_json(order),
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-2000:]
        raise RuntimeError(f"the process with hash seed {hash_seed} could not replay the history:\n{said}")
    difference = ReplayAnswer.model_validate_json(done.stdout).difference
    if difference:
        raise _error(difference, f"with hash seed {hash_seed}, in another process: {difference.message}")


def _case(history: Mapping[str, Any], workflow: type) -> ReplayCase:
    if "<locals>" in workflow.__qualname__:
        raise ValueError(
            f"{workflow.__qualname__} is inside a function, where no other process finds it: move it to a module"
        )
    module = sys.modules[workflow.__module__]
    file = getattr(module, "__file__", None)
    return ReplayCase(history=dict(history), module=workflow.__module__, file=file, name=workflow.__qualname__)


def _error(difference: Difference, message: str) -> Exception:
    match difference.type:
        case NonDeterminismError.__name__:
            return NonDeterminismError(
                message, event_id=difference.event_id, recorded=difference.recorded, asked=difference.asked
            )
        case WorkflowCodeFailed.__name__:
            return WorkflowCodeFailed(message)
        case _:
            return ValueError(message)
