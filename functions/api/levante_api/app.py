"""The composition of the API: services in, one Lambda handler out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

from levante_api.access.audit import AuditEndpoints
from levante_api.access.authentication import Authentication
from levante_api.access.keys import KeyEndpoints
from levante_api.activities.attempts import ActivityEndpoints
from levante_api.batch_jobs.batch_jobs import BatchJobEndpoints
from levante_api.catalogue.deployments import DeploymentEndpoints
from levante_api.catalogue.managed import ManagedEndpoints
from levante_api.catalogue.registrations import RegistrationEndpoints
from levante_api.catalogue.workflow_edits import WorkflowEditEndpoints
from levante_api.catalogue.workflows import WorkflowEndpoints
from levante_api.console.site import ConsoleSite
from levante_api.dispatch.parked import ParkedEndpoints
from levante_api.dispatch.redrive import RedriveEndpoints
from levante_api.dispatch.workers import WorkerEndpoints
from levante_api.executions.executions import ExecutionEndpoints
from levante_api.executions.explain import ExplainEndpoints
from levante_api.executions.interventions import InterventionEndpoints
from levante_api.executions.reruns import RerunEndpoints
from levante_api.executions.runs import RunEndpoints
from levante_api.http.endpoints import Endpoint, Endpoints, mount
from levante_api.http.problems import answer_to
from levante_api.http.request_log import RequestLog
from levante_api.http.resolver import OverlappingResolver, written
from levante_api.messages.messages import MessageEndpoints
from levante_api.observability.costs import CostEndpoints
from levante_api.observability.logs import LogEndpoints
from levante_api.observability.metrics import MetricsEndpoints
from levante_api.observability.statistics import StatisticsEndpoints
from levante_api.observability.traces import TraceEndpoints
from levante_api.schedules.schedules import ScheduleEndpoints
from levante_api.streams.events import EventEndpoints
from levante_api.streams.redirects import StreamRedirects
from levante_api.system import HealthProblem, SystemEndpoints
from levante_core.domain.frozen import Json
from levante_core.domain.observability.costs import PRICES, CostUnit
from levante_core.services.engine import Engine

LambdaHandler = Callable[[dict[str, Any], object], dict[str, Any]]


def _installed_version() -> str:
    try:
        return version("levante")
    except PackageNotFoundError:  # a Lambda package holds the code alone
        return "unknown"


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """features: for workers, in `whoami`. streams_at: address of the program that streams, if it is another one.

    quiet: log errors only. problems: what does not work at present, for the health check. prices: US dollars for one of each
    unit that AWS bills.

    max_wait_seconds: longest wait for a result; API Gateway gives up after 30 s (quotas of HTTP APIs, read 2026-11-23).
    """

    features: Mapping[str, Json] = field(default_factory=dict)
    version: str = field(default_factory=_installed_version)
    max_wait_seconds: float = 28.0
    quiet: bool = False
    streams_at: str | None = None
    problems: Callable[[], Sequence[HealthProblem]] = tuple
    prices: Mapping[CostUnit, float] = field(default_factory=lambda: PRICES)


def create_app(engine: Engine, settings: ApiSettings) -> LambdaHandler:
    """Build the Lambda handler for events of an API Gateway HTTP API, payload format 2.0.

    Its requests may overlap as `OverlappingResolver` describes. It never raises an Exception.
    """
    app, log = OverlappingResolver(), RequestLog(quiet=settings.quiet)
    endpoints = mount(app, _groups(engine, settings, lambda: _document(app, endpoints, settings)))
    app.use([Authentication(engine, endpoints, log)])
    console = ConsoleSite(settings.streams_at)

    def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
        try:
            return console.answer(event) or app.resolve(event, context)
        except Exception as error:  # noqa: BLE001 - what has gone wrong outside of authentication fails closed
            log.failed(error, route="(none)", request_id="")
            answer = answer_to(error)
            headers = {"Content-Type": "application/json", **answer.headers}
            return {"statusCode": answer.status, "headers": headers, "body": written(answer.body), "isBase64Encoded": False}

    return handle


def _groups(engine: Engine, settings: ApiSettings, document: Callable[[], str]) -> Mapping[str, Sequence[Endpoints]]:
    """List all endpoints, by the tags that they have in the OpenAPI document."""
    streams = StreamRedirects(engine.tickets, settings.streams_at) if settings.streams_at else None
    return {
        "system": [SystemEndpoints(settings.version, settings.problems, document)],
        "executions": [
            ExecutionEndpoints(engine, settings.max_wait_seconds, streams),
            ExplainEndpoints(engine),
            InterventionEndpoints(engine),
            RerunEndpoints(engine),
            MessageEndpoints(engine, settings.max_wait_seconds),
        ],
        "runs": [RunEndpoints(engine, settings.max_wait_seconds, streams)],
        "batches": [BatchJobEndpoints(engine)],
        "metrics": [MetricsEndpoints(engine), StatisticsEndpoints(engine), CostEndpoints(engine, settings.prices)],
        "activities": [ActivityEndpoints(engine)],
        "events": [EventEndpoints(engine, streams)],
        "workers": [WorkerEndpoints(engine, settings.features)],
        "workflows": [WorkflowEndpoints(engine), WorkflowEditEndpoints(engine), RegistrationEndpoints(engine)],
        "deployments": [DeploymentEndpoints(engine), ManagedEndpoints()],
        "logs": [LogEndpoints(engine, streams)],
        "keys": [KeyEndpoints(engine)],
        "audit": [AuditEndpoints(engine)],
        "operations": [RedriveEndpoints(engine), ParkedEndpoints(engine)],
        "schedules": [ScheduleEndpoints(engine)],
        "traces": [TraceEndpoints(engine)],
    }


def bare_document(version: str = "") -> str:
    """Return the OpenAPI document without an installation: nothing but the routes is needed for it."""
    http = {"method": "GET", "path": "/openapi.json"}
    context = {"http": http, "stage": "$default"}
    event = {"version": "2.0", "rawPath": "/openapi.json", "headers": {}, "requestContext": context}
    answer = create_app(cast("Engine", None), ApiSettings(version=version, quiet=True))(event, None)
    document: str = answer["body"]
    return document


def _document(app: OverlappingResolver, endpoints: list[Endpoint], settings: ApiSettings) -> str:
    from levante_api.openapi.document import openapi_document  # noqa: PLC0415 - a third of all import time

    return openapi_document(app, endpoints, settings.version)
