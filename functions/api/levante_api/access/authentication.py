"""What every request passes: who asks, may they, is the request well formed; and how errors leave."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from time import perf_counter
from typing import Any

from aws_lambda_powertools.event_handler import ApiGatewayResolver, Response
from aws_lambda_powertools.event_handler.api_gateway import Route
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.event_handler.middlewares.openapi_validation import OpenAPIRequestValidationMiddleware
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from levante_api.http.endpoints import API_KEY, Endpoint, is_optional
from levante_api.http.problems import Refused, answer_to, unknown_route, unsupported_method
from levante_api.http.request_log import RequestLog
from levante_api.http.resolver import written
from levante_core.answers import Answer
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.limits import MAX_BODY_BYTES
from levante_core.errors import InvalidInput, NotFound, Unauthenticated, Unavailable
from levante_core.services.access.api_keys import require, require_deployments, require_unbound
from levante_core.services.access.audit import AuditEntry
from levante_core.services.engine import Engine
from levante_core.storage.catalogue import ApiKey

MOST_ID_CHARACTERS = 512
"""Of an id or a name in a path: more than any has."""

_UNMATCHED = "(none)"
_EXPLAINED = 504


class _Arguments(dict[str, Any]):
    """A handler's arguments. Powertools formats them for its debug log at every call, whatever the log level."""

    def __repr__(self) -> str:
        return ", ".join(self)


class Authentication(OpenAPIRequestValidationMiddleware):
    """The outermost middleware. Powertools' own order would validate the body of a caller who has shown no key."""

    def __init__(self, engine: Engine, endpoints: Iterable[Endpoint], log: RequestLog) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._engine = engine
        self._endpoints = {endpoint.handler: endpoint for endpoint in endpoints}
        self._log = log

    def handler(self, app: ApiGatewayResolver, next_middleware: NextMiddleware) -> Response[Any]:
        """Let a request in, or say why not."""
        started = perf_counter()
        endpoint = self._endpoints.get(app.context["_route"].func)
        route = endpoint.path if endpoint else _UNMATCHED
        try:
            self._admit(app, endpoint)
            response = self._validated(app, endpoint, next_middleware)
        except Exception as error:  # noqa: BLE001 - the one place where errors become answers
            response = self._refusal(error, app, route)
        self._log.answered(
            method=app.current_event.http_method,
            route=route,
            status=response.status_code,
            seconds=perf_counter() - started,
            request_id=_request_id(app),
        )
        return response

    def _admit(self, app: ApiGatewayResolver, endpoint: Endpoint | None) -> None:
        if endpoint is not None and endpoint.roles is None:
            return
        key = self._engine.api_keys.authenticate(_secret(app.current_event.headers))
        if endpoint is None or endpoint.roles is None:
            raise self._nothing_there(app)
        require(key, *endpoint.roles)
        if endpoint.concern is None:
            require_unbound(key)
        app.context[API_KEY] = key
        if any(len(part) > MOST_ID_CHARACTERS for part in app.context["_route_args"].values()):
            raise NotFound(f"nothing has an id or a name of more than {MOST_ID_CHARACTERS} characters")
        body = app.current_event.body
        if body and len(body) * 4 > MAX_BODY_BYTES and len(body.encode(errors="replace")) > MAX_BODY_BYTES:
            raise Refused.because(
                413, "TOO_LARGE", "the body is larger than 6 MB: put the data elsewhere and pass a reference"
            )

    def _nothing_there(self, app: ApiGatewayResolver) -> Refused:
        method, path = app.current_event.http_method, app.context["_path"]
        allowed = [endpoint.method for endpoint in self._endpoints.values() if endpoint.pattern.fullmatch(path)]
        # A path that looks right, and yet has no route: it holds an id of characters that no id has.
        is_unsupported = allowed and method not in allowed
        return unsupported_method(method, allowed) if is_unsupported else unknown_route(method, path)

    def _validated(
        self, app: ApiGatewayResolver, endpoint: Endpoint | None, next_middleware: NextMiddleware
    ) -> Response[Any]:
        """Validate, and go on. Queries are left to powertools; bodies take the short way, which costs a third of it."""
        route: Route = app.context["_route"]
        dependant = route.dependant
        if dependant.query_params:
            if API_KEY in app.context:
                require_unbound(app.context[API_KEY])  # concerns are found in bodies
            return super().handler(app, next_middleware)
        arguments, body = _Arguments(app.context["_route_args"]), None
        for field in dependant.body_params:
            arguments[field.name] = body = self._read(app, field.type_)
        self._require_deployments(app, endpoint, body)
        entry = self._recorded(app, endpoint, body)
        app.context["_route_args"] = arguments
        try:
            return next_middleware(app)
        except Exception as error:
            if entry is not None:
                with suppress(Unavailable):
                    self._engine.audit.refused(app.context[API_KEY].workspace, entry, answer_to(error).status)
            raise

    def _recorded(self, app: ApiGatewayResolver, endpoint: Endpoint | None, body: BaseModel | None) -> AuditEntry | None:
        """Keep who asks for a change before it is made, where the endpoint is one of those. Cost: a write."""
        if endpoint is None or endpoint.audits is None:
            return None
        fields = body.model_dump(mode="json", include=set(endpoint.audits), exclude_none=True) if body else {}
        details = {name: value if isinstance(value, str) else written(value) for name, value in fields.items()}
        return self._engine.audit.record(app.context[API_KEY], endpoint.operation, app.context["_route_args"], details)

    def _require_deployments(self, app: ApiGatewayResolver, endpoint: Endpoint | None, body: BaseModel | None) -> None:
        """Hold a key that is bound to deployments to them. Raises: Forbidden. Cost: a read or two for each run."""
        key: ApiKey | None = app.context.get(API_KEY)
        if key is None or not key.deployments or endpoint is None or endpoint.concern is None:
            return
        concern = endpoint.concern(body)
        named = (self._engine.capabilities.deployment_if_any(key.workspace, token) for token in concern.tokens)
        require_deployments(key, [*concern.deployments, *filter(None, named)])
        for execution_id, run_id in concern.runs:
            deployment = self._engine.executions.deployment_of(RunKey(key.workspace, execution_id, run_id))
            if deployment is not None:
                require_deployments(key, [deployment])

    def _read(self, app: ApiGatewayResolver, model: type[BaseModel]) -> BaseModel:
        """Read the body, whatever its content type says: all that this API takes is a JSON object, typed as described."""
        try:
            text = app.current_event.decoded_body or ""
            if not text.strip() and is_optional(model):
                return model()
            if not text.lstrip().startswith("{"):
                _refuse_no_object(app.current_event.json_body)
            return model.model_validate_json(text, strict=True)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            raise RequestValidationError([{**problem, "loc": ("body", *problem["loc"])} for problem in problems]) from None
        except ValueError:  # base64 of something that is not UTF-8 text
            raise InvalidInput.at(("body",), "the body is not valid JSON: it is no UTF-8 text", "json_invalid") from None

    def _refusal(self, error: Exception, app: ApiGatewayResolver, route: str) -> Response[Any]:
        answer = answer_to(error)
        if isinstance(error, Unauthenticated):
            caller = app.current_event.raw_event["requestContext"]["http"].get("sourceIp", "")
            authorization = app.current_event.headers.get("authorization", "")
            self._log.refused(caller, authorization, request_id=_request_id(app))
        if answer.status >= 500 and answer.status != _EXPLAINED:  # noqa: PLR2004 - the fault is not the caller's
            self._log.failed(error, route=route, request_id=_request_id(app))
        return rendered(answer)


def rendered(answer: Answer) -> Response[Any]:
    """Write an answer as a response."""
    return Response(answer.status, "application/json", written(answer.body), answer.headers)


def _refuse_no_object(body: Any) -> None:
    """Say what a body has to be. Raises: InvalidInput."""
    if body is None:
        raise InvalidInput.at(("body",), "a body is required: send a JSON object", "missing")
    if not isinstance(body, dict):
        raise InvalidInput.at(("body",), "the body must be a JSON object", "dict_type")


def _secret(headers: Mapping[str, str]) -> str:
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unauthenticated("send an API key in the header `Authorization: Bearer <key>`")
    return secret.strip()


def _request_id(app: ApiGatewayResolver) -> str:
    return str(app.current_event.raw_event["requestContext"].get("requestId", ""))
