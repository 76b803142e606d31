"""What an endpoint is: a route, who may use it, and how it is described."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from inspect import cleandoc
from itertools import chain
from typing import Any, Protocol, TypeAlias

from aws_lambda_powertools.event_handler import Request, Response
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import BaseModel

from levante_api.access.concerns import ConcernOf
from levante_api.http.problems import ErrorBody, InvalidBody
from levante_api.http.resolver import OverlappingResolver
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.errors import InvalidInput
from levante_core.services.access.api_keys import require_deployments
from levante_core.storage.catalogue import ApiKey, Role

Roles: TypeAlias = tuple[Role, ...]

ADMINS: Roles = ()
CLIENTS: Roles = (Role.CLIENT,)
WORKERS: Roles = (Role.WORKER,)
VIEWERS: Roles = (Role.VIEWER,)
TOKEN_HOLDERS: Roles = (Role.CLIENT, Role.WORKER)
READERS: Roles = (Role.CLIENT, Role.VIEWER, Role.WORKER)
"""Roles that may use an endpoint; admins may use them all. Whatever is for readers changes nothing."""

API_KEY = "api_key"
"""Where a request's context holds the key that it was made with."""

_ERRORS: Mapping[int, str] = {
    400: "No execution is named",
    401: "No API key, an unknown one or a revoked one",
    403: "The key's role, or what the key is bound to, does not allow this",
    404: "Nothing has this id in the key's workspace",
    409: "The state of things does not allow this",
    413: "The body is larger than 6 MB",
    422: "The request is invalid",
    500: "An internal error",
    503: "A service behind this one is busy or down; the same call may be repeated",
    504: "Not done within the time given",
}


@dataclass(frozen=True)
class Endpoint:
    """One route. roles: None if it needs no key. status: of a success. errors: its own, beside those that all have.

    frames: what each server-sent event is, if it answers with a stream. headers: of requests, those that it reads.
    concern: finds the deployments that a request is about, which a worker's key may be bound to; bound keys may not use what
    has none. audits: fields of the body that the audit trail keeps beside the path; None where it keeps nothing.
    redirects: whether large answers are elsewhere. is_refused: whether it does nothing but say what to do instead.
    """

    method: str
    path: str
    handler: Callable[..., Any]
    roles: Roles | None
    status: int = 200
    errors: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    concern: ConcernOf | None = None
    audits: tuple[str, ...] | None = None
    frames: type[BaseModel] | None = None
    redirects: bool = False
    is_refused: bool = False
    is_deprecated: bool = False

    @property
    def operation(self) -> str:
        """Its `operationId`."""
        return self.handler.__name__

    @cached_property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return cleandoc(self.handler.__doc__ or "").partition("\n")[0]

    @cached_property
    def description(self) -> str | None:
        """What follows it."""
        return cleandoc(self.handler.__doc__ or "").partition("\n")[2].strip() or None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What the paths of this endpoint look like."""
        return re.compile(re.sub(r"<\w+>", "[^/]+", self.path))

    @property
    def error_statuses(self) -> list[int]:
        """Every status that this endpoint answers with when it does not succeed."""
        if self.roles is None:
            return [500]
        body = (413,) if self.method in {"POST", "PATCH", "PUT"} else ()
        return sorted({401, 403, 422, 500, 503, *body, *self.errors})


class Endpoints(Protocol):
    """A group of endpoints."""

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        ...


def mount(app: OverlappingResolver, groups: Mapping[str, Iterable[Endpoints]]) -> list[Endpoint]:
    """Add groups of endpoints to the resolver, by the tag that they have in the OpenAPI document. Returns all of them."""
    mounted: list[Endpoint] = []
    for tag, tagged in groups.items():
        for endpoint in chain.from_iterable(group.table() for group in tagged):
            app.route(
                endpoint.path,
                endpoint.method,
                summary=endpoint.summary,
                description=endpoint.description,
                responses=_responses(endpoint),
                tags=[tag],
                operation_id=endpoint.operation,
                status_code=endpoint.status,
                deprecated=endpoint.is_deprecated,
                # An empty list would stand for the default, which is the bearer scheme.
                security=[{}] if endpoint.roles is None else None,
            )(endpoint.handler)
            mounted.append(endpoint)
    return mounted


@cache
def is_optional(body: type[BaseModel]) -> bool:
    """Tell whether a request may leave out its body: nothing in it has to be said. The official clients differ there."""
    return not any(field.is_required() for field in body.model_fields.values())


def key_of(request: Request) -> ApiKey:
    """Return the key that the caller has shown."""
    key: ApiKey = request.context[API_KEY]
    return key


def workspace_of(request: Request) -> Workspace:
    """Return the workspace of the caller, which only its key decides."""
    return key_of(request).workspace


def user_of(request: Request) -> str:
    """Return who calls: the id of the API key."""
    return key_of(request).key_id


def require_deployment(request: Request, deployment: DeploymentName) -> None:
    """Let pass who may work for a deployment, of whichever build and session. Raises: Forbidden.

    For what only a handler learns; what a body says, authentication has looked at: see `Endpoint.concern`.
    """
    require_deployments(request.context[API_KEY], [deployment])


def user_named(request: Request, user_id: str | None) -> str | None:
    """Return whom a query means. `current` is the caller."""
    return user_of(request) if user_id == "current" else user_id


def no_content() -> Response[None]:
    """Answer with nothing but success. A body, even an empty JSON one, would not do: the official client matches exactly."""
    return Response(204, body="")  # type: ignore[arg-type] # a text without characters: gateways refuse a null


def refuse_unsupported(request: Request, names: frozenset[str]) -> None:
    """Refuse query parameters of the contract that are not supported yet; to ignore a filter is to lie about the result."""
    unsupported = sorted(names & (request.query_parameters or {}).keys())
    if unsupported:
        raise InvalidInput(
            [
                {"loc": ["query", name], "msg": f"{name} is not supported yet: leave it out", "type": "not_supported"}
                for name in unsupported
            ]
        )


def _responses(endpoint: Endpoint) -> dict[int, OpenAPIResponse]:
    responses = {} if endpoint.is_refused else {endpoint.status: _success(endpoint)}
    if endpoint.redirects or endpoint.frames:
        responses[307] = {"description": "Told by another program of the same installation, at `Location`", "content": {}}
    for status in endpoint.error_statuses:
        model = InvalidBody if status == 422 else ErrorBody  # noqa: PLR2004 - invalid input
        responses[status] = {"description": _ERRORS[status], "content": {"application/json": {"model": model}}}
    return responses


def _success(endpoint: Endpoint) -> OpenAPIResponse:
    if endpoint.frames:
        content: dict[str, Any] = {"text/event-stream": {"model": endpoint.frames}}
        return {"description": "Server-sent events, each of this form", "content": content}
    success: OpenAPIResponse = {"description": "Success"}
    if endpoint.status == 204:  # noqa: PLR2004 - an answer without a body
        success["content"] = {}
    return success
