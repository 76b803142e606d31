"""Many small requests in few calls, and none of them in the way of another."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from levante.testing.virtual_time import run_in_virtual_time
from levante.worker.transport.api import ApiError, KeyRefused
from levante.worker.transport.batcher import Batcher
from levante.worker.transport.retrying import SHARED, WORK, Retries, Trouble

PATIENT_SECONDS = 2.0
"""The longest that an item may be delayed by others. Source: invariant 11."""


class Api:
    """Answers each item with itself. calls: the items of each call that came; poison: those that no call may hold.

    meets: what becomes of a call that does.
    """

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.poison: set[bytes] = set()
        self.meets: Callable[[list[bytes]], Coroutine[Any, Any, list[bytes]]] = self._refuse

    async def send(self, items: list[bytes]) -> list[bytes]:
        self.calls.append(items)
        if self.poison.intersection(items):
            return await self.meets(items)
        return items

    async def _refuse(self, _: list[bytes]) -> list[bytes]:
        raise ApiError(422, "no")

    async def break_down(self, items: list[bytes]) -> list[bytes]:
        """Fail as an API does that answers 500 whenever it meets the item: the call is repeated, as over HTTP."""
        await self._try_again(items, Trouble.FAULT)
        raise ApiError(500, "it broke")

    async def be_unreachable(self, items: list[bytes]) -> list[bytes]:
        """Fail as an API does that closes the connection whenever it meets the item."""
        await self._try_again(items, Trouble.UNREACHABLE)
        raise ApiError(503, "nobody is there")

    async def _try_again(self, items: list[bytes], trouble: Trouble) -> None:
        patience = WORK if len(items) == 1 else SHARED
        retries = Retries(patience, asyncio.get_running_loop().time)
        while (pause := retries.pause(trouble)) is not None:
            await asyncio.sleep(pause)

    async def miscount(self, items: list[bytes]) -> list[bytes]:
        """Give an answer too many."""
        return [*items, b"more"]

    async def hang(self, _: list[bytes]) -> list[bytes]:
        """Never answer."""
        await asyncio.Event().wait()
        raise AssertionError


def items_of(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


Scenario = Callable[[Api, "Batcher[bytes]"], Coroutine[Any, Any, None]]


def run(scenario: Scenario) -> None:
    async def within() -> None:
        api = Api()
        await scenario(api, Batcher(api.send))

    run_in_virtual_time(within())


async def results(batcher: Batcher[bytes], items: list[bytes]) -> list[bytes | BaseException]:
    return await asyncio.gather(*map(batcher.submit, items), return_exceptions=True)


def test_items_when_they_come_at_once_then_they_share_a_call() -> None:
    """Each gets the answer that is its own."""

    async def scenario(api: Api, batcher: Batcher[bytes]) -> None:
        assert await results(batcher, items_of(5)) == items_of(5)
        assert len(api.calls) == 1

    run(scenario)


def test_items_when_they_come_during_a_call_then_they_share_the_next_one() -> None:
    """However many there are, a call of 100 items at most is under way."""

    async def scenario(api: Api, batcher: Batcher[bytes]) -> None:
        assert await results(batcher, items_of(250)) == items_of(250)
        assert [len(call) for call in api.calls] == [100, 100, 50]

    run(scenario)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
@pytest.mark.parametrize("place", [0, 0.5, 1])
@pytest.mark.parametrize("how", ["_refuse", "break_down", "be_unreachable", "miscount"])
def test_item_when_no_call_with_it_succeeds_then_it_fails_alone_and_at_once(how: str, place: float, count: int) -> None:
    """Whatever one item is like: those that shared its call, and those that come after it, are sent within two seconds."""

    async def scenario(api: Api, batcher: Batcher[bytes]) -> None:
        items = items_of(count)
        bad = items[round(place * (count - 1))]
        api.poison, api.meets = {bad}, getattr(api, how)
        sent = {item: asyncio.create_task(batcher.submit(item)) for item in items}
        await asyncio.sleep(0)
        later = [asyncio.create_task(batcher.submit(b"later %d" % number)) for number in range(3)]
        good = [task for item, task in sent.items() if item != bad]
        async with asyncio.timeout(PATIENT_SECONDS):
            assert await asyncio.gather(*good) == [item for item in items if item != bad]
            assert await asyncio.gather(*later) == [b"later 0", b"later 1", b"later 2"]
        with pytest.raises((ApiError, RuntimeError)):
            await sent[bad]
        assert await batcher.submit(b"at last") == b"at last"

    run(scenario)


def test_call_when_it_is_never_answered_then_those_after_it_do_not_wait() -> None:
    """How long an API takes for one call is its own affair."""

    async def scenario(api: Api, batcher: Batcher[bytes]) -> None:
        api.poison, api.meets = {b"bad"}, api.hang
        hanging = asyncio.create_task(batcher.submit(b"bad"))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(PATIENT_SECONDS):
            assert await results(batcher, items_of(5)) == items_of(5)
        assert not hanging.done()

    run(scenario)


def test_items_when_several_of_a_call_are_bad_then_each_fails_and_the_others_do_not() -> None:
    """Halves of halves: about 2 log2(n) calls for each."""

    async def scenario(api: Api, batcher: Batcher[bytes]) -> None:
        items = items_of(64)
        api.poison = {items[3], items[4], items[60]}
        found = await results(batcher, items)
        assert [item for item, one in zip(items, found, strict=True) if isinstance(one, ApiError)] == sorted(api.poison)
        assert len(api.calls) <= 1 + 3 * 2 * 6

    run(scenario)


def test_items_when_the_key_is_refused_then_no_more_calls_are_made() -> None:
    """That is nobody's fault, and asking again with each item would change nothing."""

    async def scenario(api: Api, batcher: Batcher[bytes]) -> None:
        async def refuse(_: list[bytes]) -> list[bytes]:
            raise KeyRefused(401, "revoked")

        api.poison, api.meets = set(items_of(8)), refuse
        assert all(isinstance(one, KeyRefused) for one in await results(batcher, items_of(8)))
        assert len(api.calls) == 1

    run(scenario)


def test_item_when_what_writes_it_raises_then_only_its_submitter_is_told() -> None:
    """And what finds nothing to send is cancelled, as ever."""

    def broken() -> bytes:
        raise ValueError("not JSON")

    async def scenario(_: Api, batcher: Batcher[bytes]) -> None:
        work = [batcher.submit(b"a"), batcher.submit(broken), batcher.submit(lambda: None), batcher.submit(lambda: b"d")]
        first, second, third, fourth = await asyncio.gather(*work, return_exceptions=True)
        assert (first, fourth) == (b"a", b"d")
        assert isinstance(second, ValueError)
        assert isinstance(third, asyncio.CancelledError)

    run(scenario)


def test_item_when_its_submitter_leaves_then_the_others_get_their_answers() -> None:
    """Cancelling the wait does not take the item back."""

    async def scenario(api: Api, batcher: Batcher[bytes]) -> None:
        leaving = asyncio.create_task(batcher.submit(b"a"))
        staying = asyncio.create_task(batcher.submit(b"b"))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == b"b"
        assert api.calls == [[b"a", b"b"]]

    run(scenario)


def test_items_when_they_are_large_then_calls_stay_below_what_a_function_takes() -> None:
    """An item over the limit goes alone."""

    async def scenario(api: Api, batcher: Batcher[bytes]) -> None:
        items = [b"a" * 3 * 2**20, b"b" * 2**20, b"c", b"d" * 5 * 2**20, b"e"]
        assert await results(batcher, items) == items
        assert [[call[:1] for call in one] for one in api.calls] == [[b"a", b"b"], [b"c"], [b"d"], [b"e"]]

    run(scenario)


def test_batcher_when_it_is_closed_then_nobody_waits_for_answers_any_more() -> None:
    """Neither those whose call is under way, nor those whose turn has not come; nothing more is sent."""

    async def scenario(api: Api, batcher: Batcher[bytes]) -> None:
        api.poison, api.meets = {b"a"}, api.hang
        sent = asyncio.create_task(batcher.submit(b"a"))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(batcher.submit(item)) for item in (b"b", b"c")]
        await asyncio.sleep(0.1)
        await batcher.close()
        done, _ = await asyncio.wait([sent, *waiting], timeout=1)
        assert {task.cancelled() for task in done} == {True}
        assert (len(done), api.calls) == (3, [[b"a"]])
        await batcher.close()

    run(scenario)


def test_batcher_when_it_was_idle_then_it_sends_what_comes_next() -> None:
    """Also after an item that nobody could send."""

    async def scenario(api: Api, batcher: Batcher[bytes]) -> None:
        api.poison = {b"bad"}
        for item in (b"a", b"bad", b"b"):
            async with asyncio.timeout(PATIENT_SECONDS):
                (result,) = await results(batcher, [item])
            assert isinstance(result, ApiError) == (item == b"bad")
        assert api.calls == [[b"a"], [b"bad"], [b"b"]]

    run(scenario)


def test_items_when_two_submitters_leave_then_a_call_that_splits_answers_the_others() -> None:
    """An answer to nobody is no error, whichever way it comes."""

    async def scenario(api: Api, batcher: Batcher[bytes]) -> None:
        api.poison = {b"bad"}
        tasks = [asyncio.create_task(batcher.submit(item)) for item in (b"a", b"bad", b"b", b"c")]
        await asyncio.sleep(0)
        for leaving in tasks[:2]:
            leaving.cancel()
        async with asyncio.timeout(PATIENT_SECONDS):
            assert await asyncio.gather(*tasks[2:]) == [b"b", b"c"]
            assert await batcher.submit(b"d") == b"d"

    run(scenario)
