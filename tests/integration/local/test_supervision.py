"""Loops that fail are begun again, and a host starts whatever its data is like."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

from levante_core.adapters.system import SystemClock
from levante_core.errors import InconsistentHistory, Unavailable
from levante_core.ports.queues import OutgoingMessage
from levante_core.services.dispatch.redrive import RedriveService
from levante_local import supervision
from levante_local.host import FEED, UNREADABLE
from levante_local.supervision import Supervisor
from tests.integration.api.harness import on_a_loop
from tests.integration.local.serving import KEY, Served, request, serving, until


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "FIRST_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(supervision, "LAST_RETRY_SECONDS", 0.002)


class Loop:
    """A loop that fails as often as it is told to. rounds: how often it was begun."""

    def __init__(self, *errors: Exception) -> None:
        self.rounds = 0
        self.went_well = asyncio.Event()
        self._errors = iter(errors)

    async def step(self) -> float:
        """Fail, or wait for ever after one good round."""
        self.rounds += 1
        error = next(self._errors, None)
        if error:
            raise error
        if self.went_well.is_set():
            await asyncio.Event().wait()
        self.went_well.set()
        return 0.0


@on_a_loop
async def test_loop_when_it_fails_then_it_is_begun_again_and_the_others_go_on() -> None:
    """No error of one loop ends it, or another one."""
    supervisor = Supervisor(SystemClock())
    bad, good = Loop(*[ValueError("secret of a user")] * 3), Loop()
    tasks = [asyncio.create_task(supervisor.keep(name, loop.step)) for name, loop in (("bad", bad), ("good", good))]
    await good.went_well.wait()
    await bad.went_well.wait()
    await until(lambda: not supervisor.problems, "it works again")
    assert bad.rounds >= 4
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("secret of a user"), "ValueError"),
        (Unavailable("the disk is full"), "Unavailable: the disk is full"),
        (sqlite3.DatabaseError("malformed"), "DatabaseError: malformed"),
    ],
)
@on_a_loop
async def test_loop_while_it_fails_then_it_is_told_since_when_and_why(error: Exception, message: str) -> None:
    """What an error of a library says may be what a user sent: of those only the class is told."""
    supervisor = Supervisor(SystemClock())
    supervisor.report("bad", error)
    (first,) = supervisor.problems
    supervisor.report("bad", error)
    (problem,) = supervisor.problems
    assert (problem.part, problem.error, problem.count, problem.since) == ("bad", message, 2, first.since)
    supervisor.resolve("bad")
    assert supervisor.problems == []


@on_a_loop
async def test_loop_when_a_step_was_the_last_then_it_ends() -> None:
    """What has to be done once at the start."""

    async def once() -> None:
        return None

    async with asyncio.timeout(5):
        await Supervisor(SystemClock()).keep("once", once)


# --- the host ---------------------------------------------------------------------------------------------------------


def problems_of(health: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    """Return what is wrong, by part."""
    return {problem["part"]: problem["error"] for problem in health["problems"]}


async def wait_for_problem(served: Served, part: str) -> str:
    """Wait until the health check reports a problem. Returns its error."""
    async with asyncio.timeout(20):
        while part not in (found := problems_of(await served.health())):
            await asyncio.sleep(0.01)
    return found[part]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a host."""
    return tmp_path / "data"


@pytest.mark.parametrize("error", [InconsistentHistory("gone"), KeyError("x"), RecursionError(), OSError(5, "disk")])
@on_a_loop
async def test_host_when_the_redrive_fails_then_it_starts_and_says_so_until_it_works(
    data: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A start never fails because of data."""
    is_broken = True

    def redrive(_: RedriveService) -> int:
        if is_broken:
            raise error
        return 0

    monkeypatch.setattr(RedriveService, "redrive", redrive)
    async with serving(data) as served:
        message = await wait_for_problem(served, "redrive at the start")
        assert message.startswith(type(error).__qualname__)
        assert (await served.ask(request("GET", "/v1/workflows/runs", key=KEY))).status == 200
        is_broken = False
        await until(lambda: not served.host._problems(), "it works again")
        assert (await served.health())["status"] == "ok"


@pytest.mark.parametrize("handler", ["stream", "timers"])
@on_a_loop
async def test_host_when_a_handler_raises_then_the_loop_is_begun_again_and_nothing_is_lost(data: Path, handler: str) -> None:
    """What a round did not deal with, the next one meets again."""
    part = {"stream": FEED}.get(handler, handler)
    async with serving(data) as served:
        host = served.host
        good, failures = getattr(host._handlers, handler), 3

        def fail(event: object, context: object) -> object:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise ZeroDivisionError
            return good(event, context)

        object.__setattr__(host._handlers, handler, fail)
        if handler == "stream":
            await start_something(served)
        else:
            host._engine.dispatch._queues.send("timers", [OutgoingMessage(json.dumps({"kind": "nobody knows"}))])
        await until(lambda: failures < 0, "the handler works again")
        await until(lambda: part not in {problem.part for problem in host._problems()}, "the loop works again")
        if handler == "stream":
            await until(lambda: not host._store.read_changes(None, 1), "all changes are dealt with")


async def start_something(served: Served) -> None:
    """Start an execution: a change for the feed."""
    body = json.dumps(
        {
            "definitions": [{"name": "greet", "task_queue": "d", "input_schema": {}}],
            "deployment_name": "d",
            "worker_name": "w",
            "deployment_location": {"location_type": "local"},
        }
    ).encode()
    assert (await served.ask(request("POST", "/v1/workflows/register", body, key=KEY))).status == 200
    assert (await served.ask(request("POST", "/v1/workflows/greet/execute", b'{"input": {}}', key=KEY))).status == 200


DAMAGES = {
    "no JSON": "UPDATE changes SET new_attributes = '{' WHERE sequence = 1",
    "no object": "UPDATE changes SET new_attributes = '[1]' WHERE sequence = 1",
    "no text": "UPDATE changes SET new_documents = CAST(x'ff7b' AS TEXT) WHERE sequence = 1",
    "no place": "UPDATE changes SET new_indexes = '{\"runs\": 1}' WHERE sequence = 1",
    "a number": "UPDATE changes SET new_attributes = x'00' WHERE sequence = 1",
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@on_a_loop
async def test_feed_when_a_row_cannot_be_read_then_it_is_set_aside_and_the_feed_goes_on(data: Path, damage: str) -> None:
    """It is kept, the health check reports it, and a start feeds it once more: somebody may have mended it."""
    async with serving(data) as served:
        object.__setattr__(served.host._handlers, "stream", _never)
        await start_something(served)
        await start_again(served)
    with sqlite3.connect(data / "levante.sqlite") as database:
        row = database.execute("SELECT * FROM changes WHERE sequence = 1").fetchone()
        database.execute(DAMAGES[damage])
    database.close()
    async with serving(data) as served:
        await wait_for_problem(served, UNREADABLE)
        await until(lambda: not served.host._store.read_changes(None, 1), "the feed goes on behind it")
        await start_again(served)
    with sqlite3.connect(data / "levante.sqlite") as database:
        assert database.execute("SELECT sequence FROM changes_set_aside").fetchall() == [(1,)]
        names = "partition, sort, old_attributes, old_indexes, old_documents, new_attributes, new_indexes, new_documents"
        places = ", ".join(f"{name.strip()} = ?" for name in names.split(","))
        database.execute(f"UPDATE changes_set_aside SET {places}", row[1:])  # noqa: S608 - names of columns
    database.close()
    async with serving(data) as served:
        await until(lambda: not served.host._store.read_changes(None, 1), "the mended row is dealt with")
        assert (await served.health())["status"] == "ok"


def _never(*_: object) -> None:
    raise ZeroDivisionError


async def start_again(served: Served) -> None:
    """Start one more execution."""
    assert (await served.ask(request("POST", "/v1/workflows/greet/execute", b'{"input": {}}', key=KEY))).status == 200


@pytest.mark.parametrize("damage", ["'{'", "CAST(x'ff' AS TEXT)"])
@on_a_loop
async def test_item_when_its_row_is_damaged_then_others_are_listed_and_written_all_the_same(data: Path, damage: str) -> None:
    """Whoever asks for that one hears that it is damaged; nobody else notices."""
    async with serving(data) as served:
        await start_something(served)
        await start_again(served)
        await until(lambda: not served.host._store.read_changes(None, 1), "all changes are dealt with")
    with sqlite3.connect(data / "levante.sqlite") as database:
        (partition,) = database.execute("SELECT partition FROM items WHERE partition LIKE 'X#%' LIMIT 1").fetchone()
        database.execute(f"UPDATE items SET documents = {damage} WHERE partition = ?", (partition,))  # noqa: S608
    database.close()
    async with serving(data) as served:
        listed = json.loads((await served.ask(request("GET", "/v1/workflows/runs", key=KEY))).content)["executions"]
        assert len(listed) == 2
        answers = [
            (await served.ask(request("GET", f"/v1/workflows/executions/{one['execution_id']}", key=KEY))).status
            for one in listed
        ]
        assert sorted(answers) == [200, 500]
        await start_again(served)
        await until(lambda: not served.host._store.read_changes(None, 1), "the feed goes on")
