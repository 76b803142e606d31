"""Slots, and the places in time under rate limits that are taken with them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from levante.testing.virtual_time import run_in_virtual_time
from levante.worker.activities.slots import HELD_SECONDS, Slots
from levante.worker.transport.api import ApiError
from levante_core.domain.activities.options import RateLimit
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol.activities import PermitRequest, PermitResponse


def limit(interval: float, key: str = "k") -> PermitRequest:
    window = max(1, round(interval))
    rate = RateLimit(time_window_in_sec=window, max_execution=round(window / interval), key=key)
    return PermitRequest(deployment_name=WorkerPool.parse("d"), activity_name="a", rate_limit=rate)


class Limiter:
    """The service's limits. places: the times that were given away. trouble: raised in place of the next answers."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self.places: list[float] = []
        self.trouble: list[ApiError] = []
        self.calls = 0

    async def permit(self, request: PermitRequest) -> PermitResponse:
        self.calls += 1
        await asyncio.sleep(0.01)
        if self.trouble:
            raise self.trouble.pop(0)
        now = asyncio.get_running_loop().time()
        place = max(now, self.free_at)
        if is_taken := request.takes(place - now):
            self.places.append(place)
            self.free_at = place + request.rate_limit.interval_seconds
        return PermitResponse(wait_seconds=place - now, is_taken=is_taken)


class LimitedSlots:
    """Slots on that service. began: when limited attempts began."""

    def __init__(self, count: int) -> None:
        self.limiter = Limiter()
        self.slots = Slots(count, self.limiter.permit)
        self.began: list[float] = []

    async def limited(self, request: PermitRequest, seconds: float = 0.0) -> None:
        async with self.slots.one_in_time(request):
            self.began.append(asyncio.get_running_loop().time())
            await asyncio.sleep(seconds)

    async def plain(self, seconds: float) -> float:
        asked_at = asyncio.get_running_loop().time()
        async with self.slots.one():
            waited = asyncio.get_running_loop().time() - asked_at
            await asyncio.sleep(seconds)
            return waited


def run(count: int, scenario: Callable[[LimitedSlots], Coroutine[Any, Any, None]]) -> None:
    async def within() -> None:
        await scenario(LimitedSlots(count))

    run_in_virtual_time(within())


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("interval", [0.1, 1.0, 60.0])
def test_attempts_when_their_rate_is_limited_then_every_place_is_used_at_its_time(interval: float, slots: int) -> None:
    """A place that is taken is never lost, and never used by a burst that waited for slots."""

    async def scenario(limited_slots: LimitedSlots) -> None:
        await asyncio.gather(*(limited_slots.limited(limit(interval)) for _ in range(8)))
        assert limited_slots.began == pytest.approx(limited_slots.limiter.places, abs=0.001)
        gaps = [later - earlier for earlier, later in zip(limited_slots.began, limited_slots.began[1:], strict=False)]
        assert gaps == pytest.approx([interval] * 7, rel=0.5, abs=0.2)

    run(slots, scenario)


def test_attempts_when_all_slots_are_busy_then_no_place_is_taken_until_one_is_free() -> None:
    """An hour of other work must not turn into a burst of all the places that passed meanwhile."""

    async def scenario(limited_slots: LimitedSlots) -> None:
        busy = [asyncio.create_task(limited_slots.plain(3600)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(limited_slots.limited(limit(1.0))) for _ in range(3)]
        await asyncio.sleep(3599)
        assert limited_slots.limiter.places == []
        await asyncio.gather(*busy, *waiting)
        assert limited_slots.began == pytest.approx(limited_slots.limiter.places, abs=0.001)
        assert limited_slots.began[2] - limited_slots.began[0] >= 1.9

    run(2, scenario)


@pytest.mark.parametrize("slots", [1, 4])
def test_attempts_when_many_wait_for_their_time_then_other_work_gets_slots(slots: int) -> None:
    """A limit of one an hour keeps a slot for a second at most."""

    async def scenario(limited_slots: LimitedSlots) -> None:
        waiting = [asyncio.create_task(limited_slots.limited(limit(3600.0))) for _ in range(10)]
        await asyncio.sleep(5)
        waited = [await limited_slots.plain(0.1) for _ in range(200)]
        assert max(waited) <= HELD_SECONDS + 0.1
        assert limited_slots.slots.free <= slots
        for task in waiting:
            task.cancel()

    run(slots, scenario)


def test_attempts_when_they_wait_in_line_then_the_service_is_asked_about_twice_for_each() -> None:
    """Not each of them again and again."""

    async def scenario(limited_slots: LimitedSlots) -> None:
        await asyncio.gather(*(limited_slots.limited(limit(10.0)) for _ in range(20)))
        assert limited_slots.limiter.calls <= 20 + 2 * 20

    run(20, scenario)


def test_attempt_when_the_service_is_away_then_it_waits_without_a_slot_and_is_not_lost() -> None:
    """An outage fails no attempt that has not begun; a refusal does."""

    async def scenario(limited_slots: LimitedSlots) -> None:
        limited_slots.limiter.trouble = [ApiError(503, "away") for _ in range(3)]
        waiting = asyncio.create_task(limited_slots.limited(limit(1.0)))
        await asyncio.sleep(1)
        assert await limited_slots.plain(0.1) <= 0.1
        await waiting
        assert len(limited_slots.began) == 1
        limited_slots.limiter.trouble = [ApiError(422, "no such limit")]
        with pytest.raises(ApiError, match="no such limit"):
            await limited_slots.limited(limit(1.0))
        assert limited_slots.slots.load == 0

    run(1, scenario)


def test_slots_when_attempts_are_cancelled_at_any_moment_then_all_are_free_again() -> None:
    """Whatever they waited for."""

    async def scenario(limited_slots: LimitedSlots) -> None:
        for seconds in (0, 0.005, 0.02, 0.5, 9.5, 10.005):
            tasks = [asyncio.create_task(limited_slots.limited(limit(10.0), 5)) for _ in range(4)]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert (limited_slots.slots.load, limited_slots.slots.free) == (0, 2)
        assert await limited_slots.plain(0) == 0

    run(2, scenario)
