"""The paths and places of event streams, and of large histories, which the API leads to and the events program answers."""

import re
from hashlib import sha256
from urllib.parse import parse_qsl, unquote, urlencode

from levante_core.protocol.logs import log_stream_in

EVENTS_STREAM = "/v1/workflows/events/stream"
EXECUTION_STREAM = "/v1/workflows/executions/<execution_id>/stream"
HISTORY = "/v1/workflows/executions/<execution_id>/history"
RUN_HISTORY = "/v1/workflows/runs/<run_id>/history"

PAGE_PARAMETERS = frozenset({"after", "limit", "order", "kinds", "include_payloads", "wait_seconds"})
"""Query parameters of histories that ask for a page."""
TICKET_PARAMETER = "ticket"
"""Query parameter of callers that the API sent on."""

MOST_EVENTS = 10**12 - 1
"""The last sequence number that a stream has room for."""

_EXECUTION = re.compile(EXECUTION_STREAM.replace("<execution_id>", "([^/]+)"))
_HISTORY = re.compile(HISTORY.replace("<execution_id>", "([^/]+)"))
_RUN_HISTORY = re.compile(RUN_HISTORY.replace("<run_id>", "([^/]+)"))
_SEQUENCE = re.compile(f"[0-9]{{1,{len(str(MOST_EVENTS))}}}")


def sequence_in(text: str) -> int | None:
    """Read a sequence number that a reader sends back; None if it is none of ours."""
    return int(text) if _SEQUENCE.fullmatch(text) else None


def ticket_purpose(path: str, query_string: str) -> str:
    """Return what a ticket for this address is good for: reading there, with these parameters, and nothing else.

    The order and the spelling of the parameters count for nothing: clients and proxies write them anew.
    """
    given = parse_qsl(query_string, keep_blank_values=True)
    asked = urlencode(sorted(one for one in given if one[0] != TICKET_PARAMETER))
    return sha256(f"{unquote(path)}?{asked}".encode()).hexdigest()


def is_stream(path: str) -> bool:
    """Tell whether this is the path of a stream."""
    return path == EVENTS_STREAM or _EXECUTION.fullmatch(path) is not None or any(log_stream_in(path))


def execution_in(path: str) -> str | None:
    """Return the execution that a path asks the stream of; None if it names none."""
    found = _EXECUTION.fullmatch(path)
    return found and found[1]


def history_in(path: str) -> tuple[str | None, str | None]:
    """Return the execution, or the run, that a path asks the history of; twice None if it asks for something else."""
    of_execution, of_run = _HISTORY.fullmatch(path), _RUN_HISTORY.fullmatch(path)
    return of_execution and of_execution[1], of_run and of_run[1]


def is_whole_history(path: str, query_string: str) -> bool:
    """Tell whether an address asks for a history as a whole; pages of one are the API's."""
    given = {name for name, _ in parse_qsl(query_string, keep_blank_values=True)}
    return any(history_in(path)) and not given & PAGE_PARAMETERS
