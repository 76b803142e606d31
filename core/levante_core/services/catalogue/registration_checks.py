"""What is looked at before a registration is written: that its schemas can be checked against, and its texts can be kept."""

from collections.abc import Iterator

from levante_core.domain.catalogue.schema_rules import Path
from levante_core.errors import InvalidInput
from levante_core.protocol.specs import HandlerSpec, JsonSchema, WorkflowSpec
from levante_core.protocol.workers import DeploymentLocation, RegisterRequest
from levante_core.services.messages.input_validation import refuse_schemas

MOST_DISPLAY_NAME_CHARACTERS = 128
MOST_DESCRIPTION_BYTES = 16 * 1024
MOST_LOCATION_BYTES = 1024


def refuse_registration(request: RegisterRequest) -> None:
    """Refuse what could not be kept, or not be checked against. Raises: InvalidInput, with the places in the body."""
    _refuse_location(request.deployment_location)
    for number, spec in enumerate(request.definitions):
        _refuse_texts(spec, ("body", "definitions", number))
    refuse_schemas(_schemas(request))


def _refuse_location(location: DeploymentLocation | None) -> None:
    for field in ("k8s_cluster", "k8s_namespace"):
        _refuse_long(getattr(location, field, None), MOST_LOCATION_BYTES, ("body", "deployment_location", field))


def _refuse_texts(spec: WorkflowSpec, at: Path) -> None:
    _refuse_long(spec.description, MOST_DESCRIPTION_BYTES, (*at, "description"))
    if spec.display_name and len(spec.display_name) > MOST_DISPLAY_NAME_CHARACTERS:
        raise InvalidInput.at(
            (*at, "display_name"),
            f"has {len(spec.display_name)} characters, and {MOST_DISPLAY_NAME_CHARACTERS} fit: choose a shorter one",
            "string_too_long",
        )


def _refuse_long(text: str | None, most_bytes: int, at: Path) -> None:
    size = len((text or "").encode(errors="replace"))
    if size > most_bytes:
        raise InvalidInput.at(at, f"has {size:,} bytes, and {most_bytes:,} fit: shorten it", "string_too_long")


def _schemas(request: RegisterRequest) -> Iterator[tuple[Path, JsonSchema | None]]:
    """List all schemas with their places in the body."""
    for number, spec in enumerate(request.definitions):
        at = ("body", "definitions", number)
        yield from _pair(spec, at)
        for kind, handlers in (("signals", spec.signals), ("queries", spec.queries), ("updates", spec.updates)):
            for place, handler in enumerate(handlers):
                yield from _pair(handler, (*at, kind, place))


def _pair(described: WorkflowSpec | HandlerSpec, at: Path) -> Iterator[tuple[Path, JsonSchema | None]]:
    yield (*at, "input_schema"), described.input_schema
    yield (*at, "output_schema"), described.output_schema
