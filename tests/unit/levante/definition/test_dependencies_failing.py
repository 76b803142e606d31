"""Providers and teardowns that fail or are cancelled."""

# ruff: noqa: B008 - Depends is made to be called there, and changes nothing

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from levante import (
    DependencyInjector,
    Depends,
    WorkflowsException,
    activity,
)
from tests.unit.levante.definition.providers import (
    SAID,
    Connection,
    get_async,
    get_context,
    get_generator,
    use_async,
)


@pytest.fixture(autouse=True)
def _silence() -> None:
    SAID.clear()


def get_refused(connection: Connection = Depends(get_context)) -> Connection:
    SAID.append("refused")
    raise ConnectionRefusedError(f"no {connection.name}")


async def get_on_refused(connection: Connection = Depends(get_refused)) -> Connection:
    return connection


@activity()
async def use_refused(connection: Connection = Depends(get_on_refused)) -> str:
    return connection.name


def test_provider_when_it_fails_then_the_error_names_it_and_the_others_are_torn_down() -> None:
    """Whoever reads the error sees which provider to look at, not the one that depended on it."""
    with pytest.raises(
        WorkflowsException, match=r"provider \S+\.get_refused failed: ConnectionRefusedError: no context"
    ) as caught:
        asyncio.run(use_refused())
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert SAID == ["context made", "refused", "context over"]


def test_provider_when_it_failed_then_the_next_call_asks_it_again() -> None:
    """A failure is not kept: the next attempt of an activity may succeed."""

    async def scenario() -> None:
        async with DependencyInjector().with_dependencies():
            for _ in range(2):
                with pytest.raises(WorkflowsException):
                    await use_refused()

    asyncio.run(scenario())
    assert SAID == ["context made", "refused", "refused", "context over"]


@contextmanager
def get_broken_end(connection: Connection = Depends(get_generator)) -> Iterator[Connection]:
    yield connection
    raise OSError("the disk is full")


@activity()
async def use_broken_end(
    first: Connection = Depends(get_context), second: Connection = Depends(get_broken_end)
) -> tuple[str, str]:
    return first.name, second.name


def test_teardown_when_one_fails_then_the_others_follow_and_the_call_counts(caplog: pytest.LogCaptureFixture) -> None:
    """A failing teardown is logged with the provider's name, and keeps nothing else open."""
    with caplog.at_level(logging.ERROR, "levante.definition.dependencies"):
        assert asyncio.run(use_broken_end()) == ("context", "generator")
    assert SAID == ["context made", "generator made", "generator over", "context over"]
    (record,) = caplog.records
    assert "get_broken_end gave could not be torn down" in record.getMessage()
    assert record.exc_info
    assert str(record.exc_info[1]) == "the disk is full"


async def get_never(connection: Connection = Depends(get_context)) -> AsyncIterator[Connection]:
    SAID.append("waiting")
    try:
        await asyncio.Event().wait()
    finally:
        SAID.append("gave up")
    yield connection


@activity()
async def use_never(connection: Connection = Depends(get_never)) -> str:
    return connection.name


def test_call_when_cancelled_while_a_provider_is_at_work_then_that_one_is_cancelled_too() -> None:
    """A call that is given up leaves nothing behind."""

    async def scenario() -> None:
        call = asyncio.create_task(use_never())
        while "waiting" not in SAID:
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(scenario())
    assert SAID == ["context made", "waiting", "gave up", "context over"]


def test_call_when_cancelled_then_others_still_get_what_they_share_with_it() -> None:
    """One of two calls is given up; the provider goes on for the other."""

    async def scenario() -> str:
        gate = asyncio.Event()

        async def get_gated() -> Connection:
            await gate.wait()
            return Connection("gated")

        async with DependencyInjector({get_async: get_gated}).with_dependencies():
            given_up, other = asyncio.create_task(use_async()), asyncio.create_task(use_async())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            given_up.cancel()
            gate.set()
            return await other

    assert asyncio.run(scenario()) == "gated"


async def get_by_activity() -> str:
    return await ask_for_itself()


@activity()
async def ask_for_itself(name: str = Depends(get_by_activity)) -> str:
    return name


def test_provider_when_it_calls_an_activity_that_depends_on_it_then_it_fails() -> None:
    """No signature shows this circle; it would wait for itself for ever."""
    with pytest.raises(
        WorkflowsException, match="get_by_activity failed: RuntimeError: it calls an activity that depends on it"
    ):
        asyncio.run(ask_for_itself())
