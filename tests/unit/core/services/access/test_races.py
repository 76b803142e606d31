"""Keys and tickets that somebody else makes, or changes, between the look and the write."""

import pytest

from levante_core.adapters.system import RandomIds
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.names import ExecutionId, RunId, Workspace
from levante_core.errors import InvalidCapability
from levante_core.ports.item_store import ConditionFailed
from levante_core.services.access.capabilities import Capabilities, RunGrant
from levante_core.services.access.tickets import TicketService
from levante_core.storage.catalogue import ApiKey, Role
from tests.support.place import POOL, SPACE, Place
from tests.support.races import races

SECRET = "lev_0123456789abcdef"
GRANT = RunGrant(RunKey(SPACE, ExecutionId("e"), RunId("r")), POOL, 1)


class SameSecret(RandomIds):
    """Ids that have one secret alone."""

    def secret(self) -> str:
        """See Ids."""
        return SECRET


def process(place: Place) -> Capabilities:
    """Be another process of the installation."""
    return Capabilities(place.racing, place.clock, RandomIds())


@races("api_keys._store_key Absent")
def test_key_when_another_makes_it_meanwhile_then_that_one_stands(place: Place) -> None:
    """Several processes begin with the same secret; none of them gives it other rights than it has."""
    keys, made = place.engine.api_keys, list[ApiKey]()
    with place.racing.before_write(lambda: made.append(keys.ensure(SPACE, Role.VIEWER, "first", SECRET))):
        assert keys.ensure(Workspace("other"), Role.ADMIN, "second", SECRET) == made[0]
    assert keys.authenticate(SECRET) == made[0]
    assert keys.list(Workspace("other")) == []


@races("tickets.issue Absent")
def test_ticket_when_another_has_its_secret_meanwhile_then_that_one_is_not_replaced(place: Place) -> None:
    """Random secrets do not collide; should they, nobody gets what somebody else's ticket opens."""
    tickets = TicketService(place.racing, place.clock, SameSecret())
    first, _ = place.engine.api_keys.create(SPACE, Role.CLIENT, "first")
    second, _ = place.engine.api_keys.create(SPACE, Role.ADMIN, "second")
    with place.racing.before_write(lambda: tickets.issue(first, "stream")), pytest.raises(ConditionFailed):
        tickets.issue(second, "stream")
    assert tickets.redeem(SECRET, "stream") == first.digest


@races("capabilities._read Absent")
def test_signing_key_when_another_process_makes_it_meanwhile_then_both_use_that_one(place: Place) -> None:
    """What one process signs, all others can read."""
    first, second = process(place), process(place)
    tokens: list[str] = []
    with place.racing.before_write(lambda: tokens.append(first.run_token(GRANT))):
        tokens.append(second.run_token(GRANT))
    assert [one.run(SPACE, token) for one in (first, second, process(place)) for token in tokens] == [GRANT] * 6


@races("capabilities.rotate Matches", "capabilities.rotate Absent")
@pytest.mark.parametrize("has_key", [True, False])
def test_rotation_when_another_process_rotates_meanwhile_then_what_that_signs_is_good(
    place: Place, *, has_key: bool
) -> None:
    """Each rotation makes a key of its own; the one before it stays good."""
    first, second = process(place), process(place)
    before = first.run_token(GRANT) if has_key else None
    versions: list[int] = []
    with place.racing.before_write(lambda: versions.append(first.rotate())):
        versions.append(second.rotate())
    assert versions[1] == versions[0] + 1
    reader = process(place)
    assert [reader.run(SPACE, one.run_token(GRANT)) for one in (first, second)] == [GRANT, GRANT]
    if before:
        with pytest.raises(InvalidCapability):
            reader.run(SPACE, before)
