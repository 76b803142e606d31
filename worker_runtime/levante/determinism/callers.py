"""Whose code a frame belongs to: the workflow's, or a library's that it uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import PurePath
from types import FrameType

OURS = frozenset({"levante", "levante_core"})
OF_THE_GUARD = "levante.determinism."
LIBRARY_FOLDERS = frozenset({"site-packages", "dist-packages"})


def module_of(frame: FrameType) -> str:
    """Return the name of the module that the frame's code is in; empty for code that has none."""
    return str(frame.f_globals.get("__name__", ""))


def place_of(frame: FrameType) -> str:
    """Tell where in which file a frame is."""
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def is_users(frame: FrameType, package: str) -> bool:
    """Tell the user's code from that of libraries.

    The user's is the top-level package of the workflow class, wherever it is installed, and every file that neither belongs
    to the standard library nor lies in a folder of installed packages. Code without a file counts as its module does.
    """
    top = module_of(frame).partition(".")[0]
    if top in OURS or (top in sys.stdlib_module_names and top != package):
        return False
    name = frame.f_code.co_filename
    path = str(frame.f_globals.get("__file__") or "") if name.startswith("<") else name
    return top == package or bool(path and LIBRARY_FOLDERS.isdisjoint(PurePath(path).parts))


def is_library(frame: FrameType) -> bool:
    """Tell whether a frame's code lies in a folder of installed packages."""
    return not LIBRARY_FOLDERS.isdisjoint(PurePath(frame.f_code.co_filename).parts)


def is_importing(frame: FrameType) -> bool:
    """Tell whether the code runs because a module is imported: that happens once per process, not once per run."""
    return any(caller.f_code.co_name == "<module>" for caller in _until_ours(frame))


def users_frame(frame: FrameType, package: str) -> FrameType:
    """Return the innermost frame whose code is the user's and has a file; the frame itself if there is none."""
    asked = frame
    while _is_ours(asked) and asked.f_back is not None:
        asked = asked.f_back
    frames = (caller for caller in _until_ours(asked) if not caller.f_code.co_filename.startswith("<"))
    return next((caller for caller in frames if is_users(caller, package)), frame)


def stack_of_run(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and its callers as far as the guard, which runs the workflow."""
    while frame is not None and not module_of(frame).startswith(OF_THE_GUARD):
        yield frame
        frame = frame.f_back


def _until_ours(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and its callers as far as the SDK, which runs the workflow."""
    while frame is not None and not _is_ours(frame):
        yield frame
        frame = frame.f_back


def _is_ours(frame: FrameType) -> bool:
    return module_of(frame).partition(".")[0] in OURS
