"""A worker among the others: what it registers, its heartbeats, and the connection by which a host sees that it is there."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import aiohttp
import pytest

import levante as workflows
from levante.testing import run_in_virtual_time
from levante.worker.registration import PRESENCE_RETRY_SECONDS, Registration
from levante.worker.transport.api import ApiError, KeyRefused
from levante_core.protocol.workers import ActivitySlots, HeartbeatRequest, RegisterRequest
from tests.support.worker_context import WORKER, Surroundings

HEARTBEAT, REGISTER, WHOAMI = "/workers/heartbeat", "/register", "/workers/whoami"


@workflows.workflow.define(name="registered")
class Registered:
    """Does nothing."""

    @workflows.workflow.entrypoint
    async def run(self) -> None:
        """Return."""


class Registering(Surroundings):
    """A worker that registers. renewed: how often a host began to watch its connection."""

    def __init__(self) -> None:
        super().__init__([Registered], build_id="b7")
        self.renewed = 0
        self.registration = Registration(self.context, "session-1", self._present)
        self.watched: list[Callable[[], Exception | None]] = []
        self.workers: list[str] = []
        self.api.hold_presence = self._watch  # type: ignore[method-assign] # the part of a host that watches connections

    async def _present(self) -> None:
        self.renewed += 1

    async def _watch(self, worker_id: str, connected: Callable[[], Awaitable[None]]) -> None:
        self.workers.append(worker_id)
        await connected()
        if not self.watched:
            await asyncio.Event().wait()
        error = self.watched.pop(0)()
        if error:
            raise error


def run(scenario: Callable[[Registering], Coroutine[Any, Any, None]]) -> None:
    async def within() -> None:
        await scenario(Registering())

    run_in_virtual_time(within())


async def for_seconds(work: Coroutine[Any, Any, None], seconds: float) -> None:
    """Let work go on that never ends by itself."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


def test_registration_when_a_worker_begins_then_it_says_what_it_serves_and_as_whom(caplog: pytest.LogCaptureFixture) -> None:
    """What the API warns of is logged."""

    async def scenario(registering: Registering) -> None:
        registering.api.warnings = ("another deployment serves it too",)
        await registering.registration.register()
        (request,) = registering.api.said[REGISTER]
        assert isinstance(request, RegisterRequest)
        assert [(spec.name, spec.task_queue) for spec in request.definitions] == [("registered", "d")]
        assert (request.deployment_name, request.worker_name) == ("d", "w")
        assert (request.build_id, request.session) == ("b7", "session-1")

    run(scenario)
    assert "another deployment serves it too" in caplog.text


def test_heartbeats_when_all_is_well_then_they_name_what_was_registered() -> None:
    """Every ten seconds; a worker counts as active for 50 s after one."""

    async def scenario(registering: Registering) -> None:
        await registering.registration.register()
        await for_seconds(registering.registration.heartbeat(), 35)
        beats = registering.api.said[HEARTBEAT]
        assert len(beats) == 3
        beat = beats[-1]
        assert isinstance(beat, HeartbeatRequest)
        assert [ref.workflow_registration_id for ref in beat.workflow_registration_refs] == ["registered-1"]
        assert (beat.deployment_name, beat.worker_name, beat.build_id) == ("d", "w", "b7")
        assert len(registering.api.said[REGISTER]) == 1

    run(scenario)


def test_heartbeat_when_the_registration_is_gone_then_the_worker_registers_anew() -> None:
    """The catalogue forgets those that were silent for too long."""

    async def scenario(registering: Registering) -> None:
        await registering.registration.register()
        registering.api.is_active = False
        await for_seconds(registering.registration.heartbeat(), 15)
        assert len(registering.api.said[REGISTER]) == 2

    run(scenario)


def test_heartbeats_when_one_fails_then_the_next_ones_are_sent() -> None:
    """Nothing but a refused key ends them."""

    async def scenario(registering: Registering) -> None:
        registering.api.trouble[HEARTBEAT] = [ApiError(503, "no"), ValueError("no JSON"), ApiError(422, "no")]
        await for_seconds(registering.registration.heartbeat(), 65)
        assert len(registering.api.said[HEARTBEAT]) >= 2
        registering.api.trouble[HEARTBEAT] = [KeyRefused(401, "revoked")]
        with pytest.raises(KeyRefused):
            await registering.registration.heartbeat()

    run(scenario)


def test_presence_when_the_host_does_not_watch_connections_then_none_is_made() -> None:
    """As on AWS; it is asked once."""

    async def scenario(registering: Registering) -> None:
        await for_seconds(registering.registration.hold_presence(), 100)
        assert registering.workers == []
        await for_seconds(registering.registration.hold_presence(), 100)
        assert len(registering.api.said[WHOAMI]) == 1

    run(scenario)


@pytest.mark.parametrize("error", [None, aiohttp.ClientError("reset"), TimeoutError()], ids=["closed", "reset", "timeout"])
def test_presence_when_the_connection_ends_then_it_is_made_again_soon(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A host that was started anew waits a second for the workers that hold leases; no such end is worth a line."""

    async def scenario(registering: Registering) -> None:
        registering.api.features = {"presence": True}
        registering.watched = [lambda: error] * 3
        await for_seconds(registering.registration.hold_presence(), 3 * PRESENCE_RETRY_SECONDS)
        assert registering.workers == [WORKER] * 4
        assert registering.renewed == 4
        assert len(registering.api.said[WHOAMI]) == 1

    run(scenario)
    assert caplog.text == ""


def test_presence_when_the_host_is_back_then_workers_do_not_come_all_at_once() -> None:
    """There is a pause between two connections, however short these are."""
    times: list[float] = []

    async def scenario(registering: Registering) -> None:
        def ended() -> None:
            times.append(asyncio.get_running_loop().time())

        registering.api.features = {"presence": True}
        registering.watched = [ended] * 100
        await for_seconds(registering.registration.hold_presence(), 10 * PRESENCE_RETRY_SECONDS)

    run(scenario)
    assert 10 <= len(times) <= 21


@pytest.mark.parametrize(("features", "is_said"), [({}, False), ({"slots": True}, True)], ids=["older", "offers slots"])
def test_heartbeat_when_the_installation_knows_slots_then_it_says_how_many_are_in_use(
    features: dict[str, bool], *, is_said: bool
) -> None:
    """An installation of an earlier version would refuse a field that it does not know, even if it is null."""

    async def scenario(registering: Registering) -> None:
        registering.api.features = features
        runner = registering.context.runner
        async with runner._slots.one():
            total = runner.slots.total
            await registering.registration.register()
            await for_seconds(registering.registration.heartbeat(), 25)
        first, *_ = registering.api.said[HEARTBEAT]
        assert first.activity_slots == (ActivitySlots(total=total, in_use=1) if is_said else None)
        assert ("activity_slots" in first.model_dump_json()) == is_said
        assert len(registering.api.said[WHOAMI]) == 1

    run(scenario)
