"""Seeing every record that is logged in the process, without a handler: those are the program's own affair.

A handler of the root logger would switch off Python's last resort, which shows warnings of programs that have not set up
logging, and let a later `logging.basicConfig` do nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Take = Callable[[logging.LogRecord], object]

_taps: list[Take] = []
_call_handlers = logging.Logger.callHandlers


def _tapped(self: logging.Logger, record: logging.LogRecord) -> None:
    for take in tuple(_taps):
        take(record)
    _call_handlers(self, record)


@contextmanager
def tap(take: Take) -> Iterator[None]:
    """Pass each record, inside the block, to `take` before its handlers get it: what levels and filters let through.

    take: must not raise, and is called in the thread that logs.
    """
    _taps.append(take)
    if logging.Logger.callHandlers is not _tapped:
        logging.Logger.callHandlers = _tapped  # type: ignore[method-assign]
    try:
        yield
    finally:
        _taps.remove(take)
        if not _taps and logging.Logger.callHandlers is _tapped:
            logging.Logger.callHandlers = _call_handlers  # type: ignore[method-assign]
