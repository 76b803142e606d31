"""The OpenAPI document: what powertools generates of the routes, and what it leaves out.

Of queries it knows names alone: their types, defaults and limits are added here, with the headers that are read, the roles
that may call, examples, and the descriptions of fields.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from aws_lambda_powertools.event_handler.openapi.models import HTTPBearer, Tag
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import BaseModel
from pydantic_core import from_json

from levante_api.http.endpoints import Endpoint
from levante_api.http.problems import ErrorBody, InvalidBody
from levante_api.http.resolver import OverlappingResolver, written
from levante_api.openapi.examples import BODIES
from levante_api.openapi.field_docstrings import field_docstrings, unwrapped
from levante_api.openapi.history_events import SHOWN_EVENTS, event_schemas
from levante_core.domain.frozen import Frozen, Json
from levante_core.protocol.stream_messages import EventFrame, LogFrame
from levante_core.storage.catalogue import Role

ROLES = "x-levante-roles"
BOUND_KEYS = "x-levante-bound-keys"
"""Whether workers' keys that are bound to deployments may use an operation, for those deployments."""
"""Of an operation: the roles of the keys that may call it."""

TAGS: Mapping[str, str] = {
    "workflows": "What deployments have registered: workflows by name or id, and each deployment's registration of them.",
    "executions": "One invocation of a workflow: start it, look at it, talk to it, end it.",
    "runs": "Attempts within executions; listings are made of them.",
    "batches": "One action on every execution that a filter finds. Not part of Mistral's API.",
    "events": "What happens in executions, listed or streamed.",
    "schedules": "Executions that start by themselves.",
    "deployments": "Named groups of workers.",
    "metrics": "How executions have done. Statistics of a workspace are not part of Mistral's API.",
    "traces": "What is recorded of executions, as spans. Nothing is kept for that: they are made when somebody asks.",
    "logs": "What the code of executions and workers has logged in the last two weeks.",
    "activities": "Attempts that go on outside of workers, ended by whoever has their token. Not part of Mistral's API.",
    "workers": "What workers say and ask. Ours, but for `whoami`, `register` and `heartbeat`.",
    "keys": "API keys of the admin's own workspace. Not part of Mistral's API.",
    "audit": "Which key changed what. Not part of Mistral's API.",
    "operations": "For whoever runs this installation. Not part of Mistral's API.",
    "system": "The service itself; no key is needed.",
}

_DESCRIPTION = """The API of Levante, which is that of Mistral Workflows and some endpoints of our own.

Bodies are JSON objects and taken strictly: unknown fields and wrong types are refused. Times are ISO 8601 with an
offset; they are written in UTC. Every field of an answer is always there, null included; errors alone leave out what
they do not say. A key belongs to one workspace, and sees nothing else. A worker's key may be bound to deployments; what it
sends is then about those and the runs that belong to them, or is answered with 403."""

_PATH: Mapping[str, str] = {
    "workflow_identifier": "Name or id of a workflow.",
    "workflow_name": "Name or id of a workflow.",
    "workflow_registration_id": "Id of a registration.",
    "execution_id": "Id of an execution: 1 to 256 letters, digits, `_` or `-`.",
    "run_id": "Id of a run.",
    "batch_id": "Id of a batch job.",
    "schedule_id": "Id of a schedule: 1 to 200 letters, digits, `_` or `-`.",
    "name": "Name of a deployment: 1 to 128 letters, digits, `_`, `.` or `-`.",
    "deployment_id": "Id of a deployment.",
    "key_id": "Id of an API key; not its secret.",
    "parked_id": "Id of a parked item.",
    "seq": "Number of the command that asked for it: `seq` of what the execution waits for.",
}
_NUMBERS = {"seq"}
"""Parameters in paths that are numbers."""
_HEADERS: Mapping[str, str] = {
    "idempotency-key": "1 to 200 printable ASCII characters. Requests that have the same are accepted once.",
    "last-event-id": "Go on after this: the `id` of the last event that was received.",
    "traceparent": "W3C trace context; the body's goes before it. What is malformed is ignored.",
}
_CONSTANT = "Always the same: it tells this model from others."
_SCHEMAS = "#/components/schemas/"
_PARTIAL = {model.__name__ for model in (ErrorBody, InvalidBody, EventFrame, LogFrame)}
"""Answers that leave out what they do not say."""
_EVENTS = {model.__name__ for model in SHOWN_EVENTS}
"""They say themselves which of their fields are always there."""


def openapi_document(app: OverlappingResolver, endpoints: Iterable[Endpoint], version: str) -> str:
    """Write the document as JSON. Takes half a second."""
    document: dict[str, Any] = from_json(
        app.get_openapi_json_schema(
            title="Levante",
            version=version,
            summary="Durable workflows",
            description=_DESCRIPTION,
            tags=[Tag(name=name, description=description) for name, description in TAGS.items()],
            security_schemes={"apiKey": HTTPBearer(description="An API key; `levante keys create` makes one.")},
            security=[{"apiKey": []}],
        )
    )
    schemas: dict[str, Any] = document["components"]["schemas"]
    paths = {}
    for endpoint in endpoints:
        path = re.sub(r"<(\w+)>", r"{\1}", endpoint.path)
        paths[path] = document["paths"][path]
        _complete(paths[path][endpoint.method.lower()], endpoint, schemas)
    document["paths"] = paths
    schemas.update(event_schemas(schemas, f"{_SCHEMAS}{{model}}"))
    models = {(model.__name__, *sorted(model.model_fields)): model for model in _below(Frozen)}
    for schema in schemas.values():
        model = models.get((schema.get("title", ""), *sorted(schema.get("properties", ()))))
        if model is not None:
            _describe(schema, model)
    used = reached(paths, schemas)
    operations = [operation for path in paths.values() for operation in path.values()]
    asked = reached([operation.get("requestBody") for operation in operations], schemas)
    for name in used - asked - _PARTIAL - _EVENTS:
        if "properties" in schemas[name]:
            schemas[name]["required"] = list(schemas[name]["properties"])
    document["components"]["schemas"] = {name: schemas[name] for name in sorted(used)}
    return written(document)


def _complete(operation: dict[str, Any], endpoint: Endpoint, schemas: dict[str, Any]) -> None:
    parameters = [
        *(_in_path(name) for name in re.findall(r"<(\w+)>", endpoint.path)),
        *_in_query(endpoint, schemas),
        *(_parameter("header", name, {"type": "string"}, _HEADERS[name]) for name in endpoint.headers),
    ]
    operation.pop("parameters", None)
    if parameters:
        operation["parameters"] = parameters
    if endpoint.roles is not None:
        operation[ROLES] = sorted({*endpoint.roles, Role.ADMIN})
    if endpoint.roles is not None and Role.WORKER in endpoint.roles:
        operation[BOUND_KEYS] = endpoint.concern is not None
    if endpoint.operation in BODIES:
        operation["requestBody"]["content"]["application/json"]["example"] = BODIES[endpoint.operation]
    if body := operation.get("requestBody"):
        named = body["content"]["application/json"]["schema"]["$ref"].removeprefix(_SCHEMAS)
        body["required"] = bool(schemas[named].get("required"))


def _in_path(name: str) -> dict[str, Any]:
    schema: Mapping[str, Json] = {"type": "string", "minLength": 1}
    if name in _NUMBERS:
        schema = {"type": "integer", "minimum": 1}
    return {**_parameter("path", name, schema, _PATH[name]), "required": True}


def _in_query(endpoint: Endpoint, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parameters of the query that a handler takes as a model."""
    model = _query_of(endpoint)
    if model is None:
        return
    schema = model.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}")
    for name, definition in schema.get("$defs", {}).items():
        schemas.setdefault(name, definition)
    _describe(schema, model)
    for name, described in schema["properties"].items():
        description = described.pop("description", "")
        described.pop("title", None)
        yield _parameter("query", name, _without_null(described), description)


def _query_of(endpoint: Endpoint) -> type[BaseModel] | None:
    for hint in get_type_hints(endpoint.handler, include_extras=True).values():
        if get_origin(hint) is Annotated and any(isinstance(annotation, Query) for annotation in get_args(hint)[1:]):
            model: type[BaseModel] = get_args(hint)[0]
            return model
    return None


def _parameter(where: str, name: str, schema: Mapping[str, Json], description: str) -> dict[str, Any]:
    described = {"description": description} if description else {}
    return {"name": name, "in": where, "required": False, **described, "schema": schema}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave null out, which no query can say: a parameter that is not meant is not there."""
    if schema.get("default", ...) is None:
        del schema["default"]
    *options, last = [option for option in schema.pop("anyOf", [schema]) if option.get("type") != "null"]
    return {**schema, "anyOf": [*options, last]} if options else {**last, **schema}


def _describe(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Describe a model by its docstring, and each field by the text beside it, else by that of its type."""
    schema["description"] = unwrapped(model.__doc__ or "")
    beside = field_docstrings(model)
    for name, described in schema.get("properties", {}).items():
        described.pop("title", None)
        if name in beside:
            described["description"] = beside[name]
        elif "const" in described:
            described.setdefault("description", _CONSTANT)


def _below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for derived in model.__subclasses__():
        yield derived
        yield from _below(derived)


def reached(value: Json, schemas: Mapping[str, Any]) -> set[str]:
    """Return the names of the schemas that a part of the document leads to."""
    names: set[str] = set()
    waiting = set(_references(value))
    while waiting:
        name = waiting.pop()
        names.add(name)
        waiting |= set(_references(schemas[name])) - names
    return names


def _references(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix(_SCHEMAS)
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
