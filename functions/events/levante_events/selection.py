"""What a reader asks for: which execution's stream, from where on, and which of its events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_origin
from urllib.parse import parse_qs, urlencode

from pydantic import BaseModel, ValidationError

from levante_core.domain.streams.events import StreamUpdate
from levante_core.errors import InvalidInput, LevanteError
from levante_core.protocol.stream_messages import ANY, MOST_FILTERS, EventSource, EventStreamQuery, ExecutionStreamQuery
from levante_core.protocol.streams import TICKET_PARAMETER, execution_in, sequence_in

MOST_PARAMETERS = 200
"""In one query string."""

Query = TypeVar("Query", bound=BaseModel)


class NoExecution(LevanteError):
    """The caller named no execution, so there is no stream to read."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a reader wants. execution_id: whose stream, and whose end ends it. first: sequence number to begin at.

    filters: None for the execution's own events and those of all that it has started.
    """

    execution_id: str
    first: int
    source: EventSource = EventSource.HYBRID
    filters: EventStreamQuery | None = None

    @property
    def is_resumed(self) -> bool:
        """Whether the reader has been here before, and goes on where it was."""
        return self.first > 1

    def admits(self, update: StreamUpdate) -> bool:
        """Tell whether the reader wants this event."""
        event, filters = update.event, self.filters
        if filters is None:
            lineage = (event.workflow_exec_id, event.parent_workflow_exec_id, event.root_workflow_exec_id)
            return self.execution_id in lineage
        if filters.workflow_event_types and event.event_type not in filters.workflow_event_types:
            return False
        if not all(update.metadata.get(name) in wanted for name, wanted in filters.metadata_filters.items()):
            return False
        return all(
            wanted in (ANY, value)
            for wanted, value in (
                (filters.scope, update.scope),
                (filters.activity_name, update.activity_name),
                (filters.activity_id, update.activity_id),
                (filters.workflow_name, event.workflow_name),
                (filters.workflow_exec_id, event.workflow_exec_id),
                (filters.root_workflow_exec_id, event.root_workflow_exec_id),
                (filters.parent_workflow_exec_id, event.parent_workflow_exec_id),
                (filters.stream, update.stream),
            )
        )


def select(path: str, query_string: str, last_event_id: str | None) -> Selection:
    """Read what a request asks for. last_event_id: of its header, which goes before what the query says.

    Raises: InvalidInput; NoExecution.
    """
    execution_id = execution_in(path)
    if execution_id is not None:
        one = read(ExecutionStreamQuery, query_string)
        return Selection(execution_id, _behind(last_event_id or one.last_event_id) or 1, one.event_source)
    filters = _filters(query_string)
    named = (filters.workflow_exec_id, filters.root_workflow_exec_id, filters.parent_workflow_exec_id)
    wanted = next((name for name in named if name != ANY), None)
    if wanted is None:
        raise NoExecution("name an execution in workflow_exec_id, root_workflow_exec_id or parent_workflow_exec_id")
    first = _behind(last_event_id) or max(filters.start_seq, 1)
    return Selection(wanted, first, filters.event_source, filters)


def _filters(query_string: str) -> EventStreamQuery:
    """Read the filters of the events stream, what else is asked for as metadata. Raises: InvalidInput.

    Clients send `*` for each filter, and once more its name where that is a member of `metadata_filters`.
    """
    given = {name: [value for value in values if value != ANY] or values for name, values in _parsed(query_string).items()}
    known = {*EventStreamQuery.model_fields, TICKET_PARAMETER}
    ours = {name: values for name, values in given.items() if name in known}
    filters = read(EventStreamQuery, urlencode(ours, doseq=True))
    bare = {name: tuple(values) for name, values in given.items() if name not in known}
    if len(bare) > MOST_FILTERS:
        raise InvalidInput.at(
            ("query", "metadata_filters"), f"events are filtered by {MOST_FILTERS} names of metadata at most"
        )
    return filters.model_copy(update={"metadata_filters": {**filters.metadata_filters, **bare}}) if bare else filters


def ticket_in(query_string: str) -> str | None:
    """Return the ticket that came with a request, if one did."""
    return _parsed(query_string).get(TICKET_PARAMETER, [None])[0] or None


def _parsed(query_string: str) -> Mapping[str, Sequence[Any]]:
    """Read a query string. Raises: InvalidInput where it has more than MOST_PARAMETERS."""
    try:
        return parse_qs(query_string, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise InvalidInput.at(("query",), f"a query has {MOST_PARAMETERS} parameters at most") from None


def read(model: type[Query], query_string: str) -> Query:
    """Read the parameters of a query. Raises: InvalidInput."""
    given = _parsed(query_string)
    values: dict[str, Any] = {}
    for name, texts in given.items():
        field = model.model_fields.get(name)
        if name != TICKET_PARAMETER:
            values[name] = texts if field is not None and get_origin(field.annotation) is tuple else texts[-1]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidInput(
            [{"loc": ["query", *one["loc"]], "msg": str(one["msg"]), "type": one["type"]} for one in found]
        ) from None


def _behind(last_event_id: str | None) -> int | None:
    """Return the sequence number that follows the last one seen; None if none was. Raises: InvalidInput."""
    if not last_event_id:
        return None
    last = sequence_in(last_event_id)
    if last is None:
        problem = f"{last_event_id[:40]!r} is no event id of ours: send back the `id` of the last event that was received"
        raise InvalidInput.at(("query", "last_event_id"), problem)
    return last + 1
