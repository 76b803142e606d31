"""Where in the user's code something happens, as messages name it."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import NamedTuple

LONGEST = 200
OURS = ("levante.", "levante_core.")


class Place(NamedTuple):
    """A line of the user's code. It holds no frame, which would keep the values of its variables."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def callers_place(depth: int = 1) -> Place:
    """Return the innermost line outside the SDK that led here. depth: how many callers are known to be ours."""
    frame: FrameType = sys._getframe(depth)  # noqa: SLF001 - the documented way to one's caller
    while f"{frame.f_globals.get('__name__', '')}.".startswith(OURS) and frame.f_back is not None:
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def described(value: object) -> str:
    """Name a function with the line where it is defined, and anything else as it writes itself."""
    code = getattr(value, "__code__", None)
    if isinstance(code, CodeType):
        return f"{getattr(value, '__qualname__', code.co_name)!r} ({Place(code.co_filename, code.co_firstlineno)})"
    return repr(value)[:LONGEST]
