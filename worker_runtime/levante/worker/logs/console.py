"""The worker's own lines on stderr, for programs that have not set up logging."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from levante.worker.settings import WorkerSettings

CONSOLE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonLines(logging.Formatter):
    """A JSON object a line; what went wrong is a text in it, with its line ends."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def formatter(settings: WorkerSettings) -> logging.Formatter:
    """Return what writes lines as LOG_FORMAT says."""
    return JsonLines() if settings.log_format == "json" else logging.Formatter(CONSOLE)


class OwnLines(logging.StreamHandler[TextIO]):
    """Writes the lines of `levante` on stderr while the root logger has no handlers, which would write them too."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless the program has set up logging by now."""
        if not logging.getLogger().handlers:
            super().emit(record)


@contextmanager
def own_lines(settings: WorkerSettings) -> Iterator[None]:
    """Let the worker's lines be seen inside the block, from LOG_LEVEL on. The program's own logging stays as it is."""
    own = logging.getLogger("levante")
    own.setLevel(settings.log_level.upper())
    if own.handlers:
        yield
        return
    handler = OwnLines(sys.stderr)
    handler.setFormatter(formatter(settings))
    own.addHandler(handler)
    try:
        yield
    finally:
        own.removeHandler(handler)
