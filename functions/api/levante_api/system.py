"""Endpoints about the service itself; they need no key."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from aws_lambda_powertools.event_handler import Response

from levante_api.http.endpoints import Endpoint
from levante_core.domain.frozen import Frozen


class HealthProblem(Frozen):
    """A part that does not work at present, and is tried again."""

    part: str
    """Which part does not work."""
    since: datetime
    """When it first failed."""
    error: str
    """What was wrong the last time."""
    count: int
    """How often it has failed since."""


class Health(Frozen):
    """The service answers.

    On AWS alarms report such problems, and the list is empty.
    """

    status: Literal["ok", "degraded"]
    """Whether all of it works."""
    version: str
    """Version of Levante."""
    problems: tuple[HealthProblem, ...]
    """What does not work, if it is degraded; calls are answered still."""


@dataclass(frozen=True)
class SystemEndpoints:
    """document: generates the OpenAPI document, which takes a while and so is done at most once.

    problems: tells what does not work at present.
    """

    version: str
    problems: Callable[[], Sequence[HealthProblem]]
    document: Callable[[], str]

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        return [
            Endpoint("GET", "/v1/health", self.get_health, roles=None),
            Endpoint("GET", "/openapi.json", self.get_openapi_document, roles=None),
        ]

    @cached_property
    def _document(self) -> str:
        return self.document()

    def get_health(self) -> Health:
        """Tell that the service answers, and what of it does not work."""
        problems = tuple(self.problems())
        return Health(status="degraded" if problems else "ok", version=self.version, problems=problems)

    def get_openapi_document(self) -> Response[dict[str, Any]]:
        """Describe this API as an OpenAPI document."""
        return Response(200, "application/json", self._document)  # type: ignore[arg-type] # already JSON
