"""The process in which histories are replayed with another hash seed: see `other_process`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import redirect_stdout
from types import ModuleType
from typing import Any

from levante.errors import NonDeterminismError
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.recorded import replay_history
from levante.testing.other_process import Difference, ReplayAnswer, ReplayCase, ReplayOrder

_MAIN = "__main__"


def _main() -> None:
    with redirect_stdout(sys.stderr):  # what modules print as they are imported is no answer
        order = ReplayOrder.model_validate_json(sys.stdin.buffer.read())
        sys.path[:] = order.path
        answer = ReplayAnswer(difference=next(filter(None, map(_replayed, order.cases)), None))
    sys.stdout.write(answer.model_dump_json())


def _replayed(case: ReplayCase) -> Difference | None:
    workflow: Any = _module(case)
    for name in case.name.split("."):
        workflow = getattr(workflow, name)
    try:
        replay_history(case.history, workflow)
    except NonDeterminismError as error:
        return Difference(
            type=NonDeterminismError.__name__,
            message=str(error),
            event_id=error.event_id,
            recorded=error.recorded,
            asked=error.asked,
        )
    except WorkflowCodeFailed as error:
        cause = error.__cause__ or error
        return Difference(type=WorkflowCodeFailed.__name__, message=f"{type(cause).__name__}: {cause}")
    except ValueError as error:
        return Difference(type=ValueError.__name__, message=str(error))
    return None


def _module(case: ReplayCase) -> ModuleType:
    """Import the module by its name, or from its file where that name means nothing here, or something else."""
    if case.module != _MAIN:
        try:
            found = importlib.import_module(case.module)
        except ModuleNotFoundError:
            if case.file is None:
                raise
        else:
            if case.file is None or found.__file__ == case.file:
                return found
    name = "__levante_main__" if case.module == _MAIN else case.module
    if case.file is None or (spec := importlib.util.spec_from_file_location(name, case.file)) is None or not spec.loader:
        raise RuntimeError(f"module {case.module} has no file that another process could import")
    if name in sys.modules and sys.modules[name].__file__ == case.file:
        return sys.modules[name]
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == _MAIN:
    _main()
