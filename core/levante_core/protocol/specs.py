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
    """One signal, query or update that a workflow takes. output_schema: None for signals and where nothing is known."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    description: str | None = None
    input_schema: JsonSchema
    output_schema: JsonSchema | None = None


MOST_DECLARED = 100
"""Signals, queries, updates and schedules that one workflow declares, each."""
Handlers: TypeAlias = Annotated[tuple[HandlerSpec, ...], Field(max_length=MOST_DECLARED)]


class WorkflowSpec(Frozen):
    """One workflow as a worker registers it. execution_timeout: of the whole execution, later runs included."""

    name: Annotated[str, AfterValidator(_checked_name), Field(json_schema_extra=described("workflow_name"))]
    task_queue: str
    input_schema: JsonSchema
    output_schema: JsonSchema | None = None
    display_name: str | None = None
    description: str | None = None
    is_technical: bool = False
    signals: Handlers = ()
    queries: Handlers = ()
    updates: Handlers = ()
    schedules: Annotated[tuple[ScheduleDefinition, ...], Field(max_length=MOST_DECLARED)] = ()
    enforce_determinism: bool = False
    on_behalf_of: bool = False
    execution_timeout: Timeout = timedelta(hours=1)
    plugin_metadata: Json = None
