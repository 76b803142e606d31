"""The loops that run beside the application: which there are, and which of them let workers be heard first."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from levante_core.domain.names import DeploymentName
from levante_core.errors import Unavailable
from levante_core.ports.item_store import EXPIRES_AT, Item, Key, Put
from levante_core.ports.queues import OutgoingMessage
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.local_key import read_local_key
from levante_core.protocol.workers import RegisterRequest, TaskQueue
from levante_core.services.dispatch.redrive import RedriveService
from levante_core.services.dispatch.sender import queue_name
from levante_core.services.executions.start import StartRequest
from levante_local import host as hosts
from levante_local import pumps
from levante_local.host import WORKSPACE, Host, HostSettings
from tests.integration.api.harness import on_a_loop
from tests.integration.local.serving import until

KEY = Key("p", "s")
FOR_EVER = 3600.0


def new_host(data: Path) -> Host:
    return Host(HostSettings(data=data, synchronous="NORMAL"))


def start(data: Path) -> None:
    """Let a process start an execution, and end before anything was sent for it."""
    host = new_host(data)
    with closing(host._store):
        start_on(host)


def start_on(host: Host) -> None:
    """Start an execution."""
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={})
    request = RegisterRequest(definitions=(spec,), deployment_name=DeploymentName("d"), worker_name="w")
    host._engine.catalogue.register(WORKSPACE, request)
    host._engine.executions.start(WORKSPACE, "w", StartRequest())


def sent(host: Host) -> int:
    """Return how many workflow tasks have been sent."""
    queue = queue_name(WORKSPACE, "d", TaskQueue.WORKFLOW)  # type: ignore[arg-type]
    host._queues.ensure(queue)
    return len(host._queues.receive(queue, limit=10, wait_seconds=0, visibility_seconds=0.001))


async def swept(host: Host) -> None:
    """Wait until the loops that begin at once have had a round."""
    host._store.write(Put(Item(KEY, {EXPIRES_AT: 1})))
    await until(lambda: host._store.get(KEY) is None, "what has expired is deleted")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pumps, "SWEEP_SECONDS", 0.01)


@on_a_loop
async def test_host_while_it_runs_then_it_expires_sweeps_keeps_leases_and_fires_timers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of the loops is missing; when the host has stopped, its file is closed."""
    sweeps: list[object] = []
    host = new_host(tmp_path)
    object.__setattr__(host._handlers, "sweep", lambda event, _: sweeps.append(event))
    monkeypatch.setattr(type(host._engine.due), "handle", lambda _, body: sweeps.append(body))
    async with host.running():
        await swept(host)
        await until(lambda: {} in sweeps, "a sweep")
        host._queues.send("timers", [OutgoingMessage("due")])
        await until(lambda: "due" in sweeps, "a timer fires")
        await until(lambda: host._queues._seen_alive_at, "the clock is looked at")
    with pytest.raises(Unavailable):
        host._store.get(KEY)


@on_a_loop
async def test_host_when_it_may_hold_open_runs_then_nothing_is_sent_before_their_workers_were_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the feed nor the redrive gives away what a worker still holds."""
    start(tmp_path)
    redrives: list[object] = []

    def redrive(service: RedriveService) -> int:
        redrives.append(service)
        return 0

    with monkeypatch.context() as patched:
        patched.setattr(RedriveService, "redrive", redrive)
        patched.setattr(hosts, "HEARD_SECONDS", FOR_EVER)
        host = new_host(tmp_path)
        object.__setattr__(host._handlers, "sweep", lambda *_: None)
        async with host.running():
            await swept(host)
            assert (sent(host), redrives) == (0, [])
            assert host._store.read_changes(None, 10) != []
    monkeypatch.setattr(hosts, "HEARD_SECONDS", 0.0)
    host = new_host(tmp_path)
    async with host.running():
        await until(lambda: sent(host), "the run goes on")


@on_a_loop
async def test_host_when_no_run_is_open_then_its_feed_waits_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first execution of a new installation begins at once."""
    monkeypatch.setattr(hosts, "HEARD_SECONDS", FOR_EVER)
    host = new_host(tmp_path)
    async with host.running():
        start_on(host)
        await until(lambda: sent(host), "it is sent for")
        await until(lambda: not host._store.read_changes(None, 10), "it is dealt with")


@pytest.mark.parametrize("error", [Unavailable("disk"), KeyError("damage")])
@on_a_loop
async def test_host_when_it_cannot_say_whether_runs_are_open_then_it_starts_and_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """What cannot be read keeps no host from starting, and is taken for the worse."""
    start(tmp_path)

    def fail(_: RedriveService) -> bool:
        raise error

    monkeypatch.setattr(RedriveService, "has_open_runs", fail)
    monkeypatch.setattr(hosts, "HEARD_SECONDS", FOR_EVER)
    host = new_host(tmp_path)
    object.__setattr__(host._handlers, "sweep", lambda *_: None)
    async with host.running():
        await swept(host)
        assert host._store.read_changes(None, 10) != []


@on_a_loop
async def test_worker_when_it_is_gone_then_what_a_poll_of_its_own_takes_once_more_is_handed_back_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll that is not yet found to be gone must not keep a task for the length of a lease."""
    monkeypatch.setattr(hosts, "SHORT_SECONDS", 0.01)
    host = new_host(tmp_path)

    def take(consumer: str | None) -> list[str]:
        found = host._queues.receive("q", limit=1, wait_seconds=0, visibility_seconds=60, consumer=consumer)
        return [message.body for message in found]

    with closing(host._store):
        host._queues.ensure("q")
        host._queues.send("q", [OutgoingMessage("a")])
        assert take("gone") == ["a"]
        releasing = asyncio.create_task(host._release("gone"))
        await asyncio.sleep(0)
        assert take("gone") == ["a"]
        await releasing
        assert take(None) == ["a"]


def test_local_key_when_it_is_kept_then_it_stays_and_when_it_is_lost_or_revoked_then_another_is_made(tmp_path: Path) -> None:
    """Everything on this machine finds it in the data directory, readable for its owner alone."""
    host = new_host(tmp_path)
    with closing(host._store):
        first = host.local_key()
        assert host.local_key() == first == read_local_key(tmp_path)
        assert (tmp_path / "api-key").stat().st_mode & 0o777 == 0o600
        (tmp_path / "api-key").write_text("damaged")
        second = host.local_key()
        assert second not in {first, "damaged"}
        keys = host._engine.api_keys
        keys.revoke(WORKSPACE, keys.authenticate(second).key_id)
        assert host.local_key() not in {first, second}
        assert [key.name for key in keys.list(WORKSPACE)] == ["local"] * 3
