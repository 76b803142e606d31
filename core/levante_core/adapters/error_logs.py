"""What is logged of errors in the programs: where they come from, and of their messages only those that quote no input."""

import logging
from collections.abc import Callable, Iterator
from copy import copy
from traceback import walk_tb

from levante_core.errors import loggable

_INNERMOST_FRAMES = 8


def keep_payloads_out(*handlers: logging.Handler) -> None:
    """Let these handlers write no message of an error that may quote what a user sent; others write it as ever."""
    for handler in handlers:
        handler.format = _without_payloads(handler.format)  # type: ignore[method-assign,assignment]  # both names are `record`


def _without_payloads(format_record: Callable[[logging.LogRecord], str]) -> Callable[[logging.LogRecord], str]:
    """Replace the traceback of a record, which ends with the error's message, before it is formatted, in a copy."""

    def format_safely(record: logging.LogRecord) -> str:
        if record.exc_info and (error := record.exc_info[1]):
            parts = [record.getMessage(), *errors_of(error), *(f"  {frame}" for frame in frames_of(error))]
            record = copy(record)
            record.msg, record.args, record.exc_info, record.exc_text = "\n".join(parts), (), None, None
        return format_record(record)

    return format_safely


def errors_of(error: BaseException) -> list[str]:
    """Return what may be logged of an error and of those that it comes from."""
    return list(map(loggable, _chain(error)))


def frames_of(error: BaseException) -> list[str]:
    """Return the innermost places of an error's traceback."""
    innermost = list(walk_tb(error.__traceback__))[-_INNERMOST_FRAMES:]
    return [f"{frame.f_code.co_filename}:{line} {frame.f_code.co_qualname}" for frame, line in innermost]


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__
