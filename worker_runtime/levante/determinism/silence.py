"""Keeping to ourselves what code says while it is thrown away: none of it has happened."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_silent_threads: set[int] = set()


@contextmanager
def silenced() -> Iterator[None]:
    """Let this thread log nothing, and write nothing to stdout and stderr. Other threads go on as ever."""
    before, outputs = set(_silent_threads), (sys.stdout, sys.stderr)
    sys.stdout, sys.stderr = muffled = (_Muffled(sys.stdout), _Muffled(sys.stderr))
    _silent_threads.add(threading.get_ident())
    try:
        yield
    finally:
        if threading.get_ident() not in before:
            _silent_threads.discard(threading.get_ident())
        for name, own, output in zip(("stdout", "stderr"), muffled, outputs, strict=True):
            if getattr(sys, name) is own:  # else somebody has put another one in its place meanwhile
                setattr(sys, name, output)


class _Muffled:
    """An output that takes nothing from silent threads, and everything from others, who may keep it for longer."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() in _silent_threads else self._output.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


_handle = logging.Logger.handle


def _handle_unless_silent(self: logging.Logger, record: logging.LogRecord) -> None:
    if threading.get_ident() not in _silent_threads:
        _handle(self, record)


logging.Logger.handle = _handle_unless_silent  # type: ignore[method-assign]  # loggers have no other place that all share
