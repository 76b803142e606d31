"""Endpoints of API keys."""

from dataclasses import dataclass
from typing import Annotated

from aws_lambda_powertools.event_handler import Request, Response
from pydantic import Field

from levante_api.http.endpoints import ADMINS, Endpoint, no_content, workspace_of
from levante_core.domain.frozen import Frozen, Time
from levante_core.protocol.names import Deployment
from levante_core.services.access.api_keys import MOST_DEPLOYMENTS
from levante_core.services.engine import Engine
from levante_core.storage.catalogue import ApiKey, Role


class KeyRequest(Frozen):
    """The key to make."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    """For people, to tell their keys apart."""
    role: Role
    """What it may do."""
    deployments: Annotated[tuple[Deployment, ...], Field(max_length=MOST_DEPLOYMENTS)] = ()
    """Deployments that a worker's key is bound to, of whichever build; none for any."""


class KeyResponse(Frozen):
    """A key without its secret."""

    key_id: str
    """Id of the key; not its secret."""
    name: str
    """For people, to tell their keys apart."""
    role: Role
    """What it may do."""
    workspace: str
    """The workspace that it belongs to."""
    created_at: Time
    """When it was made."""
    revoked_at: Time | None
    """When it was revoked; null while it is valid."""
    deployments: tuple[str, ...]
    """Deployments that a worker's key is bound to; none for any."""


class NewKeyResponse(KeyResponse):
    """A key that was just made. The secret is shown this once."""

    secret: str
    """The key itself, for the header `Authorization`."""


class KeyListResponse(Frozen):
    """The keys of the workspace, oldest first, revoked ones too."""

    keys: tuple[KeyResponse, ...]
    """The keys of the workspace, oldest first, revoked ones too."""


@dataclass(frozen=True)
class KeyEndpoints:
    """Makes, lists and revokes keys of the admin's own workspace."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        return [
            Endpoint("POST", "/v1/keys", self.create_key, ADMINS, audits=("name", "role", "deployments")),
            Endpoint("GET", "/v1/keys", self.list_keys, ADMINS),
            Endpoint("DELETE", "/v1/keys/<key_id>", self.revoke_key, ADMINS, status=204, errors=(404,), audits=()),
        ]

    def create_key(self, request: Request, body: KeyRequest) -> NewKeyResponse:
        """Make an API key. Its secret is in the answer and cannot be had again."""
        key, secret = self.engine.api_keys.create(workspace_of(request), body.role, body.name, body.deployments)
        return NewKeyResponse(**_shown(key).model_dump(), secret=secret)

    def list_keys(self, request: Request) -> KeyListResponse:
        """List the workspace's API keys."""
        return KeyListResponse(keys=tuple(_shown(key) for key in self.engine.api_keys.list(workspace_of(request))))

    def revoke_key(self, request: Request, key_id: str) -> Response[None]:
        """Refuse an API key from now on. A repeat is harmless."""
        self.engine.api_keys.revoke(workspace_of(request), key_id)
        return no_content()


def _shown(key: ApiKey) -> KeyResponse:
    return KeyResponse(
        key_id=key.key_id,
        name=key.name,
        role=key.role,
        workspace=key.workspace,
        created_at=key.created_at,
        revoked_at=key.revoked_at,
        deployments=key.deployments,
    )
