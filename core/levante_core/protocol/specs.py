"""What a worker says about the workflows it serves when it registers them.

Source of the fields: the REST contract, §7 (docs/reference; read 2026-11-23).
"""

from datetime import timedelta
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PositiveFloat, TypeAdapter

from levante_core.domain.frozen import Frozen, Json
from levante_core.domain.limits import LONGEST_SECONDS
from levante_core.domain.names import described, workflow_name
from levante_core.domain.schedules.spec import ScheduleDefinition
from levante_core.protocol.names import checked

JsonSchema: TypeAlias = dict[str, Json]


def _checked_name(text: str) -> str:
    return checked(workflow_name, text)


_DURATIONS = TypeAdapter(timedelta)


def _duration(given: Any) -> Any:
    """Read seconds or a text; where bodies are taken strictly, a duration would be no number."""
    return (
        _DURATIONS.validate_python(given) if isinstance(given, int | float | str) and not isinstance(given, bool) else given
    )


Timeout: TypeAlias = Annotated[
    timedelta,
    Field(gt=timedelta(), le=timedelta(seconds=LONGEST_SECONDS)),
    BeforeValidator(_duration, json_schema_input_type=PositiveFloat | timedelta),
    PlainSerializer(timedelta.total_seconds, return_type=float, when_used="json"),
]
"""A positive duration: read from seconds or an ISO 8601 duration, written as seconds."""


class HandlerSpec(Frozen):
    """One signal, query or update that a workflow takes."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    """Name of the handler."""
    description: str | None = None
    """What it does, for people."""
    input_schema: JsonSchema
    """JSON schema of the input."""
    output_schema: JsonSchema | None = None
    """JSON schema of the result; null for signals and where nothing is known."""


MOST_DECLARED = 100
"""Signals, queries, updates and schedules that one workflow declares, each."""
Handlers: TypeAlias = Annotated[tuple[HandlerSpec, ...], Field(max_length=MOST_DECLARED)]


class WorkflowSpec(Frozen):
    """One workflow as a worker registers it."""

    name: Annotated[str, AfterValidator(_checked_name), Field(json_schema_extra=described("workflow_name"))]
    """Name of the workflow."""
    task_queue: str
    """Name of the deployment that serves it."""
    input_schema: JsonSchema
    """JSON schema of the input."""
    output_schema: JsonSchema | None = None
    """JSON schema of the result; null where nothing is known."""
    display_name: str | None = None
    """Its name for people."""
    description: str | None = None
    """What it does, for people."""
    is_technical: bool = False
    """Whether it serves other workflows rather than people."""
    signals: Handlers = ()
    """The signals that it takes."""
    queries: Handlers = ()
    """The queries that it answers."""
    updates: Handlers = ()
    """The updates that it takes."""
    schedules: Annotated[tuple[ScheduleDefinition, ...], Field(max_length=MOST_DECLARED)] = ()
    """The schedules that its code declares."""
    enforce_determinism: bool = False
    """Whether calls that differ on replay are refused in its code."""
    on_behalf_of: bool = False
    """Whether it acts for the user who started it."""
    execution_timeout: Timeout = timedelta(hours=1)
    """How long an execution may take, later runs included."""
    plugin_metadata: Json = None
    """JSON that the code's own tools added."""
