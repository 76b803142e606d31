"""Code under the guard."""

# The calls are here to be refused.

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import pytest

from levante.determinism.judging import ForbiddenCall
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.run import WorkflowRun
from tests.support.bodies import Definition
from tests.unit.levante.replay.test_run import START

UTC = dt.UTC


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


def installed(module: str) -> Callable[[], object]:
    """A function that reads the clock, of a module that lies where packages are installed."""
    names: dict[str, Any] = {"__name__": module, "time": time}
    code = compile("def read(): return time.time()", "/usr/lib/python3/site-packages/of/it.py", "exec")
    exec(code, names)  # noqa: S102 - code of a library that nobody need install
    return names["read"]  # type: ignore[no-any-return]
