"""The paths of event streams, which the API leads to and the events program answers."""

import re

EVENTS_STREAM = "/v1/workflows/events/stream"
EXECUTION_STREAM = "/v1/workflows/executions/<execution_id>/stream"

STREAM_TICKET = "stream"
"""The purpose of tickets that open streams."""

_EXECUTION = re.compile(EXECUTION_STREAM.replace("<execution_id>", "([^/]+)"))


def is_stream(path: str) -> bool:
    """Tell whether this is the path of a stream."""
    return path == EVENTS_STREAM or _EXECUTION.fullmatch(path) is not None


def execution_in(path: str) -> str | None:
    """Return the execution that a path asks the stream of; None if it names none."""
    found = _EXECUTION.fullmatch(path)
    return found and found[1]
