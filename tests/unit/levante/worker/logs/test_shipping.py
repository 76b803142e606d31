"""What is logged in a worker is sent, and nothing that logs ever waits or fails for it."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from levante import logger
from levante.context import ActivityInfo, current_activity, current_workflow
from levante.worker.logs import shipping
from levante.worker.logs.shipping import LogShipping
from levante.worker.settings import WorkerSettings
from levante.worker.transport.api import ApiError
from levante_core.protocol.logs import MOST_CHARACTERS, LogLine, LogsRequest

SETTINGS = WorkerSettings(api_key=SecretStr("k"), deployment_name="d", worker_name="w")
INFO = ActivityInfo("e", "r", "r:3", "paint", 2, timedelta(1), None, "t")


class Api:
    """Keeps what it is sent. refuses: whether it does not."""

    def __init__(self) -> None:
        self.requests: list[LogsRequest] = []
        self.refuses = False

    async def ship_logs(self, request: LogsRequest) -> None:
        self.requests.append(request)
        if self.refuses:
            raise ApiError(422, "no")

    @property
    def lines(self) -> list[LogLine]:
        return [line for request in self.requests for line in request.lines]


@dataclass(eq=False)
class Run:
    """The code of a run, as far as the logging asks for it."""

    is_replaying: bool = False
    events: int = 1
    execution_id: str = "e"
    run_id: str = "r"
    workflow_name: str = "order"


@contextmanager
def in_activity() -> Iterator[None]:
    context: Any = SimpleNamespace(info=INFO)
    token = current_activity.set(context)
    try:
        yield
    finally:
        current_activity.reset(token)


@contextmanager
def in_workflow(*, is_replaying: bool) -> Iterator[None]:
    run: Any = Run(is_replaying=is_replaying)
    token = current_workflow.set(run)
    try:
        yield
    finally:
        current_workflow.reset(token)


@pytest.fixture(autouse=True)
def _everything_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "SECONDS", 0.01)
    logging.getLogger("levante").setLevel(logging.INFO)


def shipped(work: Any, *, refuses: bool = False) -> Api:
    """Do the work while what it logs is sent. Returns what the API got."""
    api: Any = Api()
    api.refuses = refuses

    async def run() -> None:
        async with LogShipping(api, SETTINGS).running():
            await asyncio.to_thread(work)

    asyncio.run(run())
    found: Api = api
    return found


def test_line_when_an_activity_logs_then_it_says_where_it_comes_from() -> None:
    """By whatever logger, in a thread as well; with what is wrong, and what the call gave beside."""

    def work() -> None:
        with in_activity():
            try:
                int("red")
            except ValueError:
                logging.getLogger("somebody.else").exception("cannot %s", "paint", extra={"colour": "red"})

    (line,) = shipped(work).lines
    assert (line.execution_id, line.run_id, line.activity_id, line.activity_name, line.attempt) == (
        "e",
        "r",
        "r:3",
        "paint",
        2,
    )
    assert (line.level, line.logger, line.attributes) == ("ERROR", "somebody.else", {"colour": "red"})
    assert line.message.startswith("cannot paint\nTraceback")
    assert "invalid literal" in line.message


def test_line_when_workflow_code_is_replayed_then_it_is_not_sent_again() -> None:
    """It was sent when the code ran for the first time."""

    def work() -> None:
        for is_replaying in (True, False):
            with in_workflow(is_replaying=is_replaying):
                logger.info("is replaying: %s", is_replaying)

    (line,) = shipped(work).lines
    assert (line.message, line.workflow_name, line.activity_id) == ("is replaying: False", "order", None)


def test_line_when_it_is_nobodys_then_only_the_workers_own_are_sent() -> None:
    """What libraries log on their own account stays here."""

    def work() -> None:
        logging.getLogger("somebody.else").error("mine")
        logging.getLogger("levante.worker").error("the worker's")

    (line,) = shipped(work).lines
    assert (line.message, line.execution_id) == ("the worker's", None)


def test_lines_when_they_are_too_many_or_too_long_then_some_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits, and memory is bounded."""
    monkeypatch.setattr(shipping, "MOST_WAITING", 5)
    monkeypatch.setattr(shipping, "SECONDS", 60)

    def work() -> None:
        with in_activity():
            for number in range(8):
                logger.info("%d %s", number, "x" * 2 * MOST_CHARACTERS)

    lines = shipped(work).lines
    assert [line.message[0] for line in lines] == ["0", "1", "2", "3", "4", "3"]
    assert lines[-1].message == (
        "3 lines were dropped: they came faster than they could be sent, or the API did not take them"
    )
    assert {len(line.message) for line in lines[:-1]} == {MOST_CHARACTERS}


def test_lines_when_the_api_refuses_them_then_those_after_them_are_sent_all_the_same() -> None:
    """Logging fails nobody's work; a message that does not fit its arguments does not either."""

    def work() -> None:
        with in_activity():
            logger.info("%d", "no number")
            logger.info("fine")

    logging.raiseExceptions = False
    try:
        api = shipped(work, refuses=True)
    finally:
        logging.raiseExceptions = True
    assert [line.message for line in api.lines] == ["fine"]


def test_lines_when_they_are_large_then_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API that is away costs a worker so much memory, and no more."""
    monkeypatch.setattr(shipping, "MOST_WAITING_BYTES", 40_000)
    monkeypatch.setattr(shipping, "SECONDS", 60)

    def work() -> None:
        with in_activity():
            for number in range(5):
                logger.info("%d %s", number, "x" * 2 * MOST_CHARACTERS)

    lines = shipped(work).lines
    assert [line.message[0] for line in lines] == ["0", "1", "3"]


@contextmanager
def unheard() -> Iterator[None]:
    """Nobody but the worker takes what is logged: reports of tests cannot carry half a character."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    yield
    root.handlers = handlers


def test_line_when_it_is_odd_then_it_is_cut_to_what_a_call_carries() -> None:
    """Attributes without end, half a character, a name of a kilometre: each line can be sent."""

    def work() -> None:
        with in_activity():
            extra = {f"{number}{'n' * 1000}": "v" * 5000 for number in range(200)}
            logger.info("half \ud800", extra=extra)

    with unheard():
        (line,) = shipped(work).lines
    assert line.message == "half ?"
    assert len(line.attributes) == shipping.MOST_ATTRIBUTES
    assert {(len(name), len(value)) for name, value in line.attributes.items()} == {(256, 1024)}


@pytest.mark.parametrize("error", [ApiError(422, "no"), ApiError(503, "away"), RuntimeError("a bug"), ValueError("<html>")])
def test_batch_when_it_cannot_be_sent_then_it_is_dropped_and_counted(error: Exception) -> None:
    """It is tried once, and those after it are sent."""

    class Failing(Api):
        async def ship_logs(self, request: LogsRequest) -> None:
            await super().ship_logs(request)
            if len(self.requests) == 1:
                raise error

    async def run() -> None:
        api: Any = Failing()
        async with LogShipping(api, SETTINGS).running():
            for message in ("lost", "sent"):
                with in_activity():
                    logger.info(message)
                while not any(line.message == message for line in api.lines):
                    await asyncio.sleep(0.001)
        assert [line.message.partition(":")[0] for line in api.lines] == ["lost", "sent", "1 lines were dropped"]

    asyncio.run(run())


def test_line_when_it_is_about_calls_to_the_api_then_it_is_not_sent() -> None:
    """Else each batch that cannot be sent would make the next one."""

    def work() -> None:
        logging.getLogger("levante.worker.transport.api").warning("the API is away")

    assert shipped(work).lines == []
