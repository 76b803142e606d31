from dataclasses import replace

import pytest

from levante_core.adapters.system import RandomIds
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import Forbidden, InvalidInput, Unauthenticated
from levante_core.services.access import api_keys
from levante_core.services.access.api_keys import ApiKeyService, require_deployments, require_unbound
from levante_core.storage.catalogue import ApiKey, Role, api_key_item, api_key_of
from tests.fakes import FakeClock
from tests.support.faults import CountingStore
from tests.support.place import Place

SECRET = "lev_0123456789abcdef"
BAD = Workspace("a#b")
KEY = ApiKey("k", "digest", Workspace("w"), Role.WORKER, "fleet", FakeClock().now())
BOUND = replace(KEY, deployments=(DeploymentName("shop"), DeploymentName("pay")))


def test_key_when_its_workspace_is_none_then_it_is_refused_and_nothing_is_kept(place: Place) -> None:
    """Whoever makes a key passes this check: what is isolated by the workspace's name rests on its form."""
    keys = place.engine.api_keys
    with pytest.raises(InvalidInput, match="workspace 'a#b'"):
        keys.create(BAD, Role.ADMIN, "first")
    with pytest.raises(InvalidInput, match="workspace 'a#b'"):
        keys.ensure(BAD, Role.ADMIN, "first", SECRET)
    assert keys.list(BAD) == []
    with pytest.raises(Unauthenticated):
        keys.authenticate(SECRET)


@pytest.mark.parametrize("key", [KEY, BOUND])
def test_key_when_stored_then_it_is_read_as_it_was_written(key: ApiKey) -> None:
    """What a key is bound to outlives every process."""
    assert api_key_of(api_key_item(key)) == key


def test_key_when_it_was_stored_before_keys_were_bound_then_it_is_for_any_deployment() -> None:
    """An upgrade shuts no worker out."""
    item = api_key_item(BOUND)
    earlier = replace(item, attributes={name: value for name, value in item.attributes.items() if name != "deployments"})
    assert api_key_of(earlier) == KEY


@pytest.mark.parametrize("name", ["shop", "pay", "shop@v1", "pay~s", "shop@v1~s"])
def test_bound_key_when_the_deployment_is_its_own_then_it_passes_whatever_the_build_and_the_session(name: str) -> None:
    """Builds and sessions belong to their deployment."""
    require_deployments(BOUND, [WorkerPool.parse(name).deployment])


@pytest.mark.parametrize("name", ["shop2", "sho", "SHOP", "other@shop", "other~pay", "@shop", "~shop", ""])
def test_bound_key_when_any_deployment_is_not_its_own_then_forbidden_names_both(name: str) -> None:
    """One of several is enough: a request is refused as a whole."""
    with pytest.raises(Forbidden, match=r"'shop', 'pay'.*is of deployment"):
        require_deployments(BOUND, [DeploymentName("shop"), DeploymentName(name)])


def test_key_when_it_is_bound_to_nothing_then_it_works_for_any_deployment_and_reads() -> None:
    """Keys without a binding stay as they were."""
    require_deployments(KEY, [DeploymentName("anything")])
    require_unbound(KEY)
    with pytest.raises(Forbidden, match="role viewer"):
        require_unbound(BOUND)


def test_keys_when_more_are_in_use_than_are_remembered_then_only_those_used_least_recently_are_read_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One key too many makes nobody else's request slower; after BELIEVED_FOR all of them are read again."""
    monkeypatch.setattr(api_keys, "MOST_BELIEVED", 2)
    store = CountingStore(place.store)
    keys = ApiKeyService(store, place.clock, RandomIds())
    first, second, third = (keys.create(Workspace("s"), Role.CLIENT, name)[1] for name in "abc")
    for secret in (first, second, third):
        keys.authenticate(secret)
    store.reads = 0
    keys.authenticate(second)
    keys.authenticate(third)
    assert store.reads == 0
    keys.authenticate(first)
    assert store.reads == 1
    place.clock.advance(api_keys.BELIEVED_FOR.total_seconds())
    keys.authenticate(first)
    assert store.reads == 2


def test_key_when_it_is_revoked_then_this_process_does_not_believe_it_any_more(place: Place) -> None:
    """Whoever revokes a key and tries it sees that it is gone."""
    keys = place.engine.api_keys
    key, secret = keys.create(Workspace("s"), Role.CLIENT, "a")
    assert keys.authenticate(secret) == key
    keys.revoke(Workspace("s"), key.key_id)
    with pytest.raises(Unauthenticated, match="was revoked"):
        keys.authenticate(secret)


def test_key_when_it_is_not_known_then_it_is_looked_for_each_time(place: Place) -> None:
    """A key that somebody makes works at once."""
    keys = place.engine.api_keys
    with pytest.raises(Unauthenticated):
        keys.authenticate(SECRET)
    keys.ensure(Workspace("s"), Role.ADMIN, "first", SECRET)
    assert keys.authenticate(SECRET).name == "first"
