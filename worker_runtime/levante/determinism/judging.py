"""Whether a call that workflow code makes, or that is made on its behalf, is refused, and what the error says."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from levante.determinism.callers import is_importing, is_library, is_users, module_of, place_of, stack_of_run, users_frame
from levante.determinism.forbidden import CODE, FUNCTIONS, Kind, is_facility, written

LETS_THROUGH = "logging"
"""What handlers of log records do is no part of the workflow: some go to the network, or to a thread of theirs."""


CARRIERS = ("asyncio.", "levante.replay.")
"""Modules that run the coroutines of others: nobody calls them in order to reach something."""


class ForbiddenCall(Exception):
    """Workflow code called what gives something else on replay. A bug: the run stays open for code that does not."""


def of_function(frame: FrameType, called: Any, package: str) -> ForbiddenCall | None:
    """Judge the call of a function of `FUNCTIONS`, made in this frame."""
    rule = FUNCTIONS[called]
    return _judge(frame, rule.name, rule.kind, package)


def of_code(frame: FrameType, package: str) -> ForbiddenCall | None:
    """Judge the call that this frame is of, if it is of a function of `CODE`."""
    rule = CODE.get((module_of(frame), frame.f_code.co_qualname))
    if rule is None or not rule.applies(frame):
        return None
    return _judge(frame.f_back, rule.name or _name_of(frame), rule.kind, package)


def _judge(caller: FrameType | None, name: str, kind: Kind, package: str) -> ForbiddenCall | None:
    """Judge a call: one that the user's code makes, itself or by a facility, or that a library makes, of some kinds."""
    first = caller
    while caller is not None and kind.is_inherited and is_facility(module_of(caller)):
        if module_of(caller) != "collections.abc":
            name = _name_of(caller)
        caller = caller.f_back
    if caller is None or is_importing(caller):
        return None
    if is_users(caller, package):
        return _forbidden(users_frame(caller, package), name, kind)
    return _of_library(first, name, kind, package) if kind.is_anyones else None


def _of_library(caller: FrameType | None, name: str, kind: Kind, package: str) -> ForbiddenCall | None:
    """Judge a call that a library makes: it is named by what the user's code called, or the library where that waits."""
    library = None
    for frame in stack_of_run(caller):
        module = module_of(frame)
        if module == LETS_THROUGH or frame.f_code.co_name == "<module>":
            return None
        if is_users(frame, package):
            return None if is_importing(frame) else _forbidden(frame, name, kind)
        if not module.startswith(CARRIERS):
            name = _name_of(frame)
        library = library or (frame if is_library(frame) else None)
    return _forbidden(library, name, kind) if library is not None else None


def _forbidden(frame: FrameType, name: str, kind: Kind) -> ForbiddenCall:
    return ForbiddenCall(
        f"workflow code uses {name} at {place_of(frame)}: {kind.why}. Use {kind.instead}; what cannot change the course of "
        "the workflow goes into `with workflow.unsafe.skip_determinism_enforcement():`"
    )


def _name_of(frame: FrameType) -> str:
    """Return the function of a frame as its callers write it: by the outermost package that has it."""
    module, name = module_of(frame), frame.f_code.co_qualname
    parts = module.split(".")
    for length in range(1, len(parts)):
        package = ".".join(parts[:length])
        found: Any = sys.modules.get(package)
        for part in name.split("."):
            found = vars(found).get(part) if hasattr(found, "__dict__") else None
        if getattr(found, "__code__", None) is frame.f_code:
            return f"{package}.{name}"
    return written(module, name)
