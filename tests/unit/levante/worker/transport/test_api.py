"""Calls over HTTP: which answers are repeated, which are raised, and which end the worker."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponseError, web

from levante.worker.transport import api as module
from levante.worker.transport import retrying
from levante.worker.transport.api import ApiError, ApiUnreachable, HttpApi, KeyRefused
from levante.worker.transport.retrying import ENDLESS, SHORT, WORK, Patience
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol.workers import HandBack, LeasesRequest, PollRequest, TaskQueue

PATH = "/workers/load"
POLL = PollRequest(deployment_name=WorkerPool.parse("d"), worker_id="w", queue=TaskQueue.WORKFLOW)
DAMAGED = '{"detail": "damaged", "code": "WF_1105"}'
Answers = list[tuple[int, str, dict[str, str]] | None]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_RETRY_SECONDS", 0.001)
    monkeypatch.setattr("levante.worker.transport.api.WORK", ENDLESS)


class Server:
    """Gives one answer after the other, the last one for ever; None closes the connection. calls: how many came.

    asked: their methods, paths and what they authorised themselves with.
    """

    def __init__(self) -> None:
        self.answers: Answers = []
        self.calls = 0
        self.asked: list[tuple[str, str, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        await request.read()
        self.asked.append((request.method, request.path, request.headers.get("Authorization", "")))
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            assert request.transport
            request.transport.close()
            raise ConnectionResetError
        status, text, headers = answer
        return web.Response(status=status, text=text, headers=headers)


def run(*answers: Any, test: Callable[[HttpApi, Server], Awaitable[None]], ending: str = "") -> None:
    server = Server()
    server.answers = list(answers)

    @asynccontextmanager
    async def serving() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", server.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def scenario() -> None:
        async with serving() as url, HttpApi(url + ending, "key") as api:
            await test(api, server)

    asyncio.run(scenario())


OK: Any = (200, "{}", {})


@pytest.mark.parametrize("trouble", [429, 500, 502, 503, 504, None])
def test_call_when_it_meets_trouble_for_a_while_then_it_is_repeated(trouble: int | None) -> None:
    """Every call of the protocol may be repeated."""

    async def test(api: HttpApi, server: Server) -> None:
        assert await api.post_items(PATH, b"[%b]", [b"1"]) == b"{}"
        assert server.calls == 3

    answer: Any = trouble and (trouble, "no", {})
    run(answer, answer, OK, test=test)


@pytest.mark.parametrize("trouble", [429, 500, 502, 503, 504, None])
def test_call_when_it_meets_nothing_but_trouble_then_that_is_raised(
    trouble: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the one item that it carried, after its patience."""
    monkeypatch.setattr("levante.worker.transport.api.WORK", Patience(0.1, 0.1, 3))

    async def test(api: HttpApi, _: Server) -> None:
        with pytest.raises(ApiUnreachable if trouble is None else ApiError) as raised:
            await api.post_items(PATH, b"[%b]", [b"1"])
        assert raised.value.status == (trouble or 503)
        assert PATH in str(raised.value) or "the API answered" in str(raised.value)

    run(trouble and (trouble, "no", {}), test=test)


@pytest.mark.parametrize(
    ("status", "text"), [(400, "no"), (404, "no"), (413, "no"), (422, "no"), (500, DAMAGED), (403, "waf")]
)
def test_call_when_a_repeat_would_change_nothing_then_it_is_raised_at_once(status: int, text: str) -> None:
    """A refusal is about the call, even where something before the API refuses what it does not like the look of."""

    async def test(api: HttpApi, server: Server) -> None:
        with pytest.raises(ApiError) as raised:
            await api.post_items(PATH, b"[%b]", [b"1"])
        assert not isinstance(raised.value, KeyRefused)
        assert (raised.value.status, server.calls) == (status, 1)

    run((status, text, {}), test=test)


@pytest.mark.parametrize(("status", "text"), [(401, "no"), (403, '{"code": "FORBIDDEN"}')])
def test_key_when_it_is_refused_then_the_worker_is_told(status: int, text: str) -> None:
    """Nothing that it does can be recorded any more."""

    async def test(api: HttpApi, server: Server) -> None:
        with pytest.raises(KeyRefused):
            await api.post_items(PATH, b"[%b]", [b"1", b"2"])
        with pytest.raises(KeyRefused):
            await api.until_refused()
        assert server.calls == 1

    run((status, text, {}), test=test)


def test_items_when_they_share_a_call_that_breaks_the_api_then_it_is_not_repeated() -> None:
    """One of them may be to blame: they are split at once."""

    async def test(api: HttpApi, server: Server) -> None:
        with pytest.raises(ApiError):
            await api.post_items(PATH, b"[%b]", [b"1", b"2"])
        assert server.calls == 1

    run((500, "no", {}), test=test)


def test_pause_when_the_api_asks_for_one_then_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry-After is honoured: what comes sooner would only be refused again."""
    pauses: list[float] = []
    pause_of = retrying.Retries.pause

    def noted(self: retrying.Retries, trouble: retrying.Trouble, retry_after: float | None = None) -> float | None:
        pauses.append(retry_after or 0.0)
        return pause_of(self, trouble, None)

    monkeypatch.setattr(retrying.Retries, "pause", noted)

    async def test(api: HttpApi, _: Server) -> None:
        await api.post_items(PATH, b"[%b]", [b"1"])

    run((503, "", {"Retry-After": "17"}), (429, "", {"Retry-After": "nonsense"}), OK, test=test)
    assert pauses == [17.0, 0.0]


TASK = """{"receipt": "%s", "receive_count": 1, "task": {"kind": "workflow_task", "workspace": "s", "execution_id": "e",
"run_id": "r", "deployment_name": "d", "fresh_at": "2026-01-01T00:00:00Z"}}"""


@pytest.mark.parametrize(
    "odd",
    [
        "7",
        "null",
        "{}",
        '{"receipt": "x", "receive_count": 1, "task": null}',
        '{"receipt": "x", "receive_count": 1, "task": {"kind": "of a later version"}}',
        (TASK % "x").replace('"r"', "{}"),
        (TASK % "x").replace('"kind"', '"new_field": 1, "kind"'),
    ],
)
def test_poll_when_one_task_cannot_be_read_then_the_others_are_had(odd: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is left alone, and its lease ends; the log says so without quoting it."""

    async def test(api: HttpApi, _: Server) -> None:
        tasks = (await api.poll(POLL)).tasks
        assert [task.receipt for task in tasks] == ["a", "b"]

    run((200, f'{{"tasks": [{TASK % "a"}, {odd}, {TASK % "b"}]}}', {}), test=test)
    assert "a task cannot be read" in caplog.text


@pytest.mark.parametrize("answer", ["", "<html>", "{}", "[]", "null", '{"tasks": 7}'])
def test_poll_when_the_answer_is_none_then_it_is_an_error_of_that_poll(answer: str) -> None:
    """Such as the page of a proxy: the loop that polls goes on after a pause."""

    async def test(api: HttpApi, _: Server) -> None:
        with pytest.raises(ValueError, match=r"tasks|JSON|EOF|expected"):
            await api.poll(POLL)

    run((200, answer, {}), test=test)


@pytest.mark.parametrize("ending", ["", "/", "//"])
def test_call_when_it_is_made_then_it_names_the_key_and_the_address(ending: str) -> None:
    """However the address ends."""

    async def test(api: HttpApi, server: Server) -> None:
        await api.post_items(PATH, b"[%b]", [b"1"])
        assert server.asked == [("POST", f"/v1/workflows{PATH}", "Bearer key")]

    run(OK, test=test, ending=ending)


def leases(count: int) -> LeasesRequest:
    """Return a request about so many leases, of all kinds."""
    receipts = [f"{number}" for number in range(count)]
    back = tuple(HandBack(receipt=receipt, token="t") for receipt in receipts[2::3])
    return LeasesRequest(
        deployment_name=WorkerPool.parse("d"),
        queue=TaskQueue.ACTIVITY,
        extend=tuple(receipts[0::3]),
        done=tuple(receipts[1::3]),
        hand_back=back,
    )


@pytest.mark.parametrize(("count", "calls"), [(1, 4), (2, 1), (3, 1)])
def test_leases_when_several_share_a_call_that_breaks_the_api_then_it_is_not_repeated(count: int, calls: int) -> None:
    """Whether they are extended, ended or handed back: each counts."""

    async def test(api: HttpApi, server: Server) -> None:
        with pytest.raises(ApiError):
            await api.leases(leases(count))
        assert server.calls == calls

    run((500, "no", {}), test=test)


ENDLESS_PATHS = ("/register", "/workers/whoami", "/workers/queue-access", "/workers/heartbeat", "/workers/poll")
SHORT_PATHS = (
    "/workers/leases",
    "/workers/activity-heartbeats",
    "/workers/query-answers",
    "/workers/rate-permits",
    "/workers/task-events",
    "/workers/logs",
    "/workers/workflow-task-failures",
)


@pytest.mark.parametrize(
    ("paths", "patience"),
    [
        pytest.param(ENDLESS_PATHS, ENDLESS, id="without these a worker cannot work"),
        pytest.param(SHORT_PATHS, SHORT, id="these come again by themselves, or are worth little when late"),
        pytest.param(("/workers/commits", "/workers/activity-reports", "/workers/load"), WORK, id="these carry work"),
    ],
)
def test_patience_when_calls_meet_an_outage_then_it_is_that_of_what_they_carry(
    paths: tuple[str, ...], patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker outlives any outage, and does not hold up what comes again anyway."""
    asked: list[Patience] = []

    class Noted(retrying.Retries):
        def __init__(self, patience: Patience, clock: Callable[[], float]) -> None:
            asked.append(patience)
            super().__init__(patience, clock)

    monkeypatch.setattr(module, "Retries", Noted)
    monkeypatch.setattr(module, "WORK", WORK)

    async def test(api: HttpApi, _: Server) -> None:
        for path in paths:
            await api.post_items(path, b"[%b]", [b"1"])
            await api._call("POST", path, b"{}")

    run(OK, test=test)
    assert asked == [patience] * 2 * len(paths)


def test_presence_when_a_host_answers_then_the_worker_is_told_and_waits_for_the_end_of_the_connection() -> None:
    """It names the worker; a refusal is an error, and nobody is told."""
    lines: list[str] = []

    async def connected() -> None:
        lines.append("connected")

    async def test(api: HttpApi, server: Server) -> None:
        await api.hold_presence("worker-1", connected)
        assert server.asked == [("GET", "/v1/workflows/workers/worker-1/presence", "Bearer key")]
        assert lines == ["connected"]
        with pytest.raises(ClientResponseError):
            await api.hold_presence("worker-1", connected)
        assert lines == ["connected"]

    run(OK, (404, "no", {}), test=test)
