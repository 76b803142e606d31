"""API keys: who may do what in which workspace."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from operator import attrgetter
from threading import Lock

from cachetools import TTLCache, cachedmethod

from levante_core.domain import names
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from levante_core.ports.item_store import EXPIRES_AT, Absent, ConditionFailed, ItemStore, Put, Query
from levante_core.ports.surroundings import Clock, Ids
from levante_core.services.history.loading import count_index, read_all
from levante_core.storage import keys
from levante_core.storage.catalogue import ApiKey, Role, api_key_item, api_key_of
from levante_core.storage.decoding import readable

SECRET_PREFIX = "lev_"  # noqa: S105 - what secrets begin with
MINIMUM_SECRET_LENGTH = 16
MOST_KEYS = 5_000
"""Of a workspace, with those that were revoked in the last REVOKED_KEPT_FOR."""
REVOKED_KEPT_FOR = timedelta(days=30)
BELIEVED_FOR = timedelta(seconds=5)
MOST_BELIEVED = 1000
MOST_DEPLOYMENTS = 50
"""That one key is bound to."""
SHOWN_DIGITS = 8
"""Of a digest, in logs."""


def digest_of(secret: str) -> str:
    """Return what is stored of a secret. Plain SHA-256 will do: secrets that we make have 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def shown_key(authorization: str) -> str:
    """Say what may be logged of a key that was refused: enough to tell one from another, too little to use it."""
    secret = authorization.partition(" ")[2].strip()
    return f"digest {digest_of(secret)[:SHOWN_DIGITS]}" if secret else "no key"


class ApiKeyService:
    """Makes, finds and revokes keys."""

    def __init__(self, store: ItemStore, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._believed: TTLCache[str, ApiKey] = TTLCache(
            MOST_BELIEVED, BELIEVED_FOR.total_seconds(), timer=lambda: clock.now().timestamp()
        )
        self._believing = Lock()  # of readers of streams, which have threads of their own

    def authenticate(self, secret: str) -> ApiKey:
        """Return the key with this secret. Raises: Unauthenticated.

        A good key is believed for BELIEVED_FOR without asking again. Cost: one read, or none.
        """
        return self.renewed(digest_of(secret))

    @cachedmethod(attrgetter("_believed"), key=lambda _, digest: digest, lock=attrgetter("_believing"))
    def renewed(self, digest: str) -> ApiKey:
        """Return the key whose secret has this digest, as it is now: for what was opened with it a while ago.

        Raises: Unauthenticated, as `authenticate` does. Cost: the same.
        """
        item = self._store.get(keys.api_key(digest))
        if item is None:
            raise Unauthenticated("this API key is not known here: create one with `levante keys create`")
        key = api_key_of(item)
        if key.revoked_at is not None:
            raise Unauthenticated(f"API key {key.key_id} was revoked")
        return key

    def create(self, workspace: Workspace, role: Role, name: str, deployments: Sequence[str] = ()) -> tuple[ApiKey, str]:
        """Make a key. Returns it with its secret, which cannot be had again.

        deployments: that a worker's key is bound to; none for any. Those that do not exist yet may be named.
        Raises: InvalidInput for names out of form, too many deployments, any of them for another role, and more than
        MOST_KEYS in the workspace. Cost: a query over its keys, a write.
        """
        bound = _bound(role, deployments)
        if count_index(self._store, keys.API_KEYS, workspace, MOST_KEYS) >= MOST_KEYS:
            problem = f"the workspace has {MOST_KEYS} keys, which is the most: revoked ones go after 30 days"
            raise InvalidInput.at(("body", "name"), problem)
        secret = SECRET_PREFIX + self._ids.secret()
        return self._store_key(workspace, role, name, secret, bound), secret

    def ensure(self, workspace: Workspace, role: Role, name: str, secret: str) -> ApiKey:
        """Make a key with a given secret unless there is one.

        Raises: InvalidInput if no workspace can have that name; ValueError for a secret that is too short.
        """
        if len(secret) < MINIMUM_SECRET_LENGTH:
            raise ValueError(f"an API key needs at least {MINIMUM_SECRET_LENGTH} characters")
        item = self._store.get(keys.api_key(digest_of(secret)))
        return api_key_of(item) if item else self._store_key(workspace, role, name, secret)

    def list(self, workspace: Workspace) -> list[ApiKey]:
        """List the workspace's keys, oldest first, revoked ones too."""
        return list(readable(read_all(self._store, Query(workspace, index=keys.API_KEYS)), api_key_of))

    def revoke(self, workspace: Workspace, key_id: str) -> None:
        """Refuse this key from now on; other processes may believe it for BELIEVED_FOR. A repeat is harmless.

        Raises: NotFound.
        """
        for key in self.list(workspace):
            if key.key_id == key_id:
                revoked = replace(key, revoked_at=key.revoked_at or self._clock.now())
                item = api_key_item(revoked)
                expires_at = int((self._clock.now() + REVOKED_KEPT_FOR).timestamp())
                self._store.write(Put(replace(item, attributes={**item.attributes, EXPIRES_AT: expires_at})))
                with self._believing:
                    self._believed.pop(key.digest, None)
                return
        raise NotFound(f"no API key has the id {key_id!r}")

    def _store_key(
        self, workspace: Workspace, role: Role, name: str, secret: str, bound: tuple[DeploymentName, ...] = ()
    ) -> ApiKey:
        key = ApiKey(
            self._ids.uuid(),
            digest_of(secret),
            names.workspace(workspace),
            role,
            name,
            self._clock.now(),
            deployments=bound,
        )
        try:
            self._store.write(Put(api_key_item(key), Absent()))
        except ConditionFailed as refused:
            existing = refused.existing[0]
            if existing is None:
                raise
            return api_key_of(existing)
        return key


def require(key: ApiKey, *roles: Role) -> None:
    """Let admins pass, and keys with one of the roles. Raises: Forbidden."""
    if key.role is not Role.ADMIN and key.role not in roles:
        allowed = ", ".join([*roles, Role.ADMIN])
        raise Forbidden(f"a key with the role {key.role.value} may not do this; it takes one with: {allowed}")


def require_deployments(key: ApiKey, deployments: Iterable[DeploymentName]) -> None:
    """Let pass who may work for all these deployments. Raises: Forbidden."""
    if not key.deployments:
        return
    for deployment in sorted(set(deployments) - set(key.deployments)):
        raise Forbidden(
            f"this key works for {_listed(key)}, and this is of deployment {deployment!r}: use a key for that one"
        )


def require_unbound(key: ApiKey) -> None:
    """Let pass who works for any deployment, or for none. Raises: Forbidden."""
    if key.deployments:
        raise Forbidden(f"this key does the work of {_listed(key)} and reads nothing else: use one with the role viewer")


def _listed(key: ApiKey) -> str:
    return f"deployment{'s' if len(key.deployments) > 1 else ''} {', '.join(map(repr, key.deployments))}"


def _bound(role: Role, deployments: Sequence[str]) -> tuple[DeploymentName, ...]:
    where = ("body", "deployments")
    if deployments and role is not Role.WORKER:
        problem = (
            f"only keys with the role worker are bound to deployments, not one with the role {role.value}: leave them out"
        )
        raise InvalidInput.at(where, problem)
    if len(deployments) > MOST_DEPLOYMENTS:
        raise InvalidInput.at(where, f"a key is bound to {MOST_DEPLOYMENTS} deployments at most: make several keys")
    return tuple(dict.fromkeys(map(names.deployment_name, deployments)))
