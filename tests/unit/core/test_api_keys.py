import pytest

from levante_core.domain.names import Workspace
from levante_core.errors import InvalidInput, Unauthenticated
from levante_core.records.catalogue import Role
from tests.support.place import Place

SECRET = "lev_0123456789abcdef"
BAD = Workspace("a#b")


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
