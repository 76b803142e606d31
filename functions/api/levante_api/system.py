"""Endpoints about the service itself; they need no key."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from aws_lambda_powertools.event_handler import Response

from levante_api.endpoints import Endpoint
from levante_core.domain.frozen import Frozen


class Health(Frozen):
    """The service answers. version: of Levante."""

    status: Literal["ok"] = "ok"
    version: str


@dataclass(frozen=True)
class SystemEndpoints:
    """document: generates the OpenAPI document, which takes a while and so is done at most once."""

    version: str
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
        """Tell that the service answers."""
        return Health(version=self.version)

    def get_openapi_document(self) -> Response[dict[str, Any]]:
        """Describe this API as an OpenAPI document."""
        return Response(200, "application/json", self._document)  # type: ignore[arg-type] # already JSON
