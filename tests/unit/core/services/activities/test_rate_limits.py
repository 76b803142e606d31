"""Rate limits: places in time, each given once."""

import threading
from contextlib import suppress
from datetime import timedelta

import pytest

from levante_core.adapters.system import RandomIds
from levante_core.domain.activities.options import RateLimit
from levante_core.domain.names import DeploymentName
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import Unavailable
from levante_core.protocol.activities import PermitRequest
from levante_core.services.activities.rate_limits import RateLimitService
from levante_core.services.conflicts import Conflicts
from tests.fakes import FakeClock
from tests.support.faults import Fate, FaultyStore, OneFault, Operations
from tests.support.place import DEPLOYMENT, SPACE, Place


def request(activity: str = "a", key: str | None = None, deployment: DeploymentName = DEPLOYMENT) -> PermitRequest:
    """Five attempts a second."""
    limit = RateLimit(time_window_in_sec=2, max_execution=10, key=key)
    return PermitRequest(deployment_name=WorkerPool.parse(deployment), activity_name=activity, rate_limit=limit)


def waits(place: Place, count: int, asked: PermitRequest) -> list[float]:
    return [place.engine.rate_limits.permit(SPACE, asked).total_seconds() for _ in range(count)]


def test_permits_when_asked_for_at_once_then_they_are_spread_evenly(place: Place) -> None:
    """No burst, and none saved up while nobody asked."""
    assert waits(place, 4, request()) == pytest.approx([0, 0.2, 0.4, 0.6])
    place.clock.advance(0.5)
    assert waits(place, 1, request()) == pytest.approx([0.3])
    place.clock.advance(3600)
    assert waits(place, 2, request()) == pytest.approx([0, 0.2])


def test_permits_when_limits_have_a_key_then_they_share_it_within_the_deployment(place: Place) -> None:
    """Without a key each activity has its own; a key is no activity's name."""
    assert waits(place, 1, request("a")) == [0]
    assert waits(place, 1, request("b")) == [0]
    assert waits(place, 1, request("b", key="a")) == [0]
    assert waits(place, 1, request("c", key="a")) == pytest.approx([0.2])
    assert waits(place, 1, request("c", key="a", deployment=DeploymentName("other"))) == [0]


def test_permits_when_many_ask_at_once_then_each_place_is_given_once(place: Place) -> None:
    """Exact over the fleet."""
    got: list[timedelta] = []
    store = place.engine.streams._store

    def ask() -> None:
        service, own = RateLimitService(store, place.clock, Conflicts(FakeClock(), RandomIds())), list[timedelta]()
        while len(own) < 20:
            with suppress(Unavailable):  # as the worker does, who asks again
                own.append(service.permit(SPACE, request()))
        got.extend(own)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(30)
    assert [one.total_seconds() for one in sorted(got)] == pytest.approx([0.2 * number for number in range(80)])


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.UNANSWERED])
def test_permit_when_the_store_fails_then_a_place_may_be_lost_but_is_never_given_twice(place: Place, fate: Fate) -> None:
    """The limit holds whatever fails."""
    store = place.engine.streams._store
    mortal = RateLimitService(
        FaultyStore(store, Operations("permits", OneFault("write", 1, fate, is_armed=True))), place.clock, place.conflicts
    )
    with pytest.raises(Unavailable):
        mortal.permit(SPACE, request())
    (wait,) = waits(place, 1, request())
    assert wait == pytest.approx(0.2 if fate is Fate.UNANSWERED else 0)
