"""Refused keys are logged without their text, and whoever goes on guessing waits; bodies wait for room."""

import asyncio
import json
import logging
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from levante_core.services.access import api_keys
from levante_core.services.access.api_keys import shown_key
from levante_local.http import refused_keys
from levante_local.http.admission import AdmissionLimits
from levante_local.http.body_room import SMALL_BYTES, BodyRoom, NoRoom, RoomLimits
from levante_local.http.refused_keys import GuessLimits
from tests.integration.api.harness import on_a_loop
from tests.integration.local.serving import KEY, request, serving, until

GUESS = "key-that-nobody-has-0123456789"
RUNS = "/v1/workflows/runs"
PATHS = (RUNS, "/there/is/nothing", "/v1/workflows/workers/w/presence", "/v1/workflows/executions/e/stream")


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long refusals were made to wait; nobody really does."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    loop = SimpleNamespace(sleep=sleep, get_running_loop=asyncio.get_running_loop)
    monkeypatch.setattr(refused_keys, "asyncio", loop)
    return waits


@on_a_loop
async def test_keys_when_they_are_refused_again_and_again_then_each_answer_waits_longer(
    tmp_path: Path, slept: list[float]
) -> None:
    """Wherever they are tried. A good key from the same address waits for nothing."""
    async with serving(tmp_path / "data") as served:
        for number in range(5 + 2 * len(PATHS)):
            answer = await served.ask(request("GET", PATHS[number % len(PATHS)], key=GUESS))
            assert answer.status == 401
            assert len(slept) == max(number - 4, 0)
        assert slept == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
        assert (await served.ask(request("GET", RUNS, key=KEY))).status == 200
        assert len(slept) == 8


@on_a_loop
async def test_keys_when_many_callers_wait_already_then_the_next_is_answered_at_once(tmp_path: Path) -> None:
    """What waits is bounded: it holds connections."""
    limits = AdmissionLimits(guesses=GuessLimits(free=0, first_seconds=60, longest_seconds=60, waiting=2))
    async with serving(tmp_path / "data", admission=limits) as served:
        for _ in range(2):
            caller = await served.connect()
            await caller.send(request("GET", RUNS, key=GUESS))
        assert await served.is_healthy()
        assert (await served.ask(request("GET", RUNS, key=GUESS))).status == 401


@on_a_loop
async def test_keys_when_they_are_refused_then_a_few_lines_tell_and_none_tells_the_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A line at once, and one for all that follow within a while."""
    limits = AdmissionLimits(guesses=GuessLimits(free=1000, log_seconds=0.3))
    with caplog.at_level(logging.WARNING, "levante.access"):
        async with serving(tmp_path / "data", admission=limits) as served:
            for _ in range(20):
                await served.ask(request("GET", RUNS, key=GUESS))
            async with asyncio.timeout(20):
                while " more requests" not in caplog.text:
                    await asyncio.sleep(0.01)
    lines = [record.getMessage() for record in caplog.records if record.name == "levante.access"]
    assert len(lines) < 20
    assert "127.0.0.1" in lines[0]
    assert shown_key(f"Bearer {GUESS}") in lines[0]
    assert GUESS not in caplog.text


def test_addresses_when_there_are_too_many_then_the_oldest_are_forgotten() -> None:
    """What is kept of strangers is bounded."""

    async def run() -> None:
        kept = refused_keys.RefusedKeys(GuessLimits(addresses=3))
        for number in range(10):
            kept._address(f"192.0.2.{number}", 0.0)
        assert list(kept._addresses) == ["192.0.2.7", "192.0.2.8", "192.0.2.9"]

    asyncio.run(run())


# --- room for bodies --------------------------------------------------------------------------------------------------

ROOM = RoomLimits(total_bytes=3 * SMALL_BYTES * 2, owner_bytes=2 * SMALL_BYTES * 2, wait_seconds=0.05)
SIZE = SMALL_BYTES * 2


@on_a_loop
async def test_body_when_there_is_no_room_then_it_waits_and_is_refused_after_a_while() -> None:
    """One key leaves room for others, and bodies that are small always fit."""
    room = BodyRoom(ROOM)
    async with room.held("a", SIZE), room.held("a", SIZE):
        with pytest.raises(NoRoom):
            await room.held("a", SIZE).__aenter__()
        async with room.held("b", SIZE):
            with pytest.raises(NoRoom):
                await room.held("c", SIZE).__aenter__()
            async with room.held("c", SMALL_BYTES):
                pass
    async with room.held("a", SIZE), room.held("a", SIZE), room.held("b", SIZE):
        pass


@on_a_loop
async def test_body_when_another_one_ends_then_it_is_let_in() -> None:
    """Whoever waits is woken."""
    room = BodyRoom(RoomLimits(SIZE, SIZE, wait_seconds=20))
    order: list[str] = []

    async def hold(name: str) -> None:
        async with room.held("a", SIZE):
            order.append(name)
            await asyncio.sleep(0)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(hold(name))
    assert sorted(order) == ["a", "b", "c"]


# --- keys that are revoked --------------------------------------------------------------------------------------------


@on_a_loop
async def test_presence_when_the_key_is_revoked_then_it_ends_and_tasks_are_handed_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that may do nothing any more holds nothing either."""
    monkeypatch.setattr(api_keys, "BELIEVED_FOR", timedelta(0))
    async with serving(tmp_path / "data", key_check_seconds=0.05) as served:
        released: list[str] = []
        monkeypatch.setattr(served.host._queues, "release_consumer", released.append)
        made = json.loads(
            (await served.ask(request("POST", "/v1/keys", b'{"name": "w", "role": "worker"}', key=KEY))).content
        )
        worker = await served.connect()
        await worker.send(request("GET", "/v1/workflows/workers/w1/presence", key=made["secret"]))
        assert (await worker.answer()).status == 200
        assert (await served.ask(request("DELETE", f"/v1/keys/{made['key_id']}", key=KEY))).status == 204
        assert await worker.reader.readuntil(b"0\r\n\r\n")
        await until(lambda: len(released) == 2, "its tasks are handed back")
