"""Dependencies of activities: who provides them, who shares them, and when they are torn down."""

# ruff: noqa: B008 - Depends is made to be called there, and changes nothing

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

import pytest

from levante import (
    DependencyInjector,
    Depends,
    InvalidArguments,
    activity,
    get_activity_definition,
)
from levante.context import current_workflow
from tests.unit.levante.definition.providers import (
    SAID,
    Connection,
    get_context,
    get_generator,
    get_plain,
    use_async,
    use_both,
)


@pytest.fixture(autouse=True)
def _silence() -> None:
    SAID.clear()


async def get_async_generator() -> AsyncIterator[Connection]:
    SAID.append("async generator made")
    yield Connection("async generator")
    SAID.append("async generator over")


@asynccontextmanager
async def get_async_context() -> AsyncIterator[Connection]:
    SAID.append("async context made")
    yield Connection("async context")
    SAID.append("async context over")


class Session:
    """A class is a provider, too; its instances are entered."""

    name = "session"

    async def __aenter__(self) -> Self:
        SAID.append("session made")
        return self

    async def __aexit__(self, *_: object) -> None:
        SAID.append("session over")


def get_session() -> AbstractAsyncContextManager[Session]:
    return Session()


async def get_session_as_it_is() -> Session:
    return Session()


@activity()
async def use_plain(order: str, connection: Connection = Depends(get_plain), suffix: str = "!") -> str:
    return f"{order} {connection.name}{suffix}"


@activity()
def use_generator(connection: Connection = Depends(get_generator)) -> str:
    SAID.append(f"in thread {threading.current_thread() is not threading.main_thread()}")
    return connection.name


@activity()
async def use_async_generator(connection: Connection = Depends(get_async_generator)) -> str:
    return connection.name


@activity()
async def use_context(connection: Connection = Depends(get_context)) -> str:
    return connection.name


@activity()
async def use_async_context(connection: Connection = Depends(get_async_context)) -> str:
    return connection.name


@activity()
async def use_session(session: Session = Depends(get_session)) -> str:
    return session.name


@activity()
async def use_session_as_it_is(session: Session = Depends(get_session_as_it_is)) -> str:
    return session.name


@activity()
async def use_partial(connection: Connection = Depends(functools.partial(Connection, "partial"))) -> str:
    return connection.name


@pytest.mark.parametrize(
    ("function", "given", "said"),
    [
        pytest.param(use_async, "async", [], id="async function"),
        pytest.param(use_generator, "generator", ["generator made", "in thread True", "generator over"], id="generator"),
        pytest.param(
            use_async_generator, "async generator", ["async generator made", "async generator over"], id="async gen"
        ),
        pytest.param(use_context, "context", ["context made", "context over"], id="context manager"),
        pytest.param(use_async_context, "async context", ["async context made", "async context over"], id="async context"),
        pytest.param(use_session, "session", ["session made", "session over"], id="what can be entered is"),
        pytest.param(use_session_as_it_is, "session", [], id="what an async function returns is passed on"),
        pytest.param(use_partial, "partial", [], id="anything that can be called"),
    ],
)
def test_provider_when_of_any_kind_then_its_value_is_given_and_torn_down(
    function: Callable[[], Any], given: str, said: list[str]
) -> None:
    """All kinds of providers of the contract work. Source: SDK contract §8."""
    assert asyncio.run(function()) == given
    assert said == SAID


def test_call_when_it_gives_the_argument_itself_then_no_provider_is_asked() -> None:
    """A test can call an activity as the function that its signature shows, by position too."""
    assert asyncio.run(use_plain("a")) == "a plain!"
    assert asyncio.run(use_plain("a", suffix="?")) == "a plain?"
    assert asyncio.run(use_plain("a", Connection("own"), "?")) == "a own?"
    assert asyncio.run(use_plain("a", connection=Connection("own"))) == "a own!"


def test_input_when_read_and_written_then_dependencies_are_no_part_of_it() -> None:
    """A dependency is in no schema and in no recorded input."""
    definition = get_activity_definition(use_plain)
    assert definition.input.schema["properties"].keys() == {"order", "suffix"}
    assert definition.input.dump(("a",), {"suffix": "?"}) == {"order": "a", "suffix": "?"}
    assert asyncio.run(definition.run({"order": "a", "suffix": "?"})) == "a plain?"
    with pytest.raises(InvalidArguments, match="'connection' is unknown"):
        definition.bind({"order": "a", "connection": {"name": "theirs"}})


def test_call_when_a_workflow_gives_a_dependency_then_nothing_is_scheduled() -> None:
    """What workers provide cannot be recorded, so workflow code cannot give it."""
    token = current_workflow.set(object())  # type: ignore[arg-type]
    try:
        with pytest.raises(InvalidArguments, match="a workflow cannot give 'connection'"):
            asyncio.run(use_plain("a", Connection("own")))
    finally:
        current_workflow.reset(token)


@activity()
async def call_others(count: int) -> list[tuple[int, ...]]:
    found = await asyncio.gather(*(use_both() for _ in range(count)))
    SAID.append("others called")
    return list(found)


def test_provider_when_it_depends_on_another_then_that_one_is_made_first_and_torn_down_last() -> None:
    """What is depended on lives longer than what depends on it, and each is made once for all that ask."""
    first, second = asyncio.run(use_both())
    assert first == second
    assert SAID == ["generator made", "pool made", "called", "pool over", "generator over"]


def test_nested_calls_when_at_once_then_they_share_what_the_outermost_call_tears_down() -> None:
    """Outside a worker, values live as long as the outermost call, and not a call longer."""
    found = asyncio.run(call_others(3))
    assert len({identity for each in found for identity in each}) == 1
    assert SAID == [
        "generator made",
        "pool made",
        "called",
        "called",
        "called",
        "others called",
        "pool over",
        "generator over",
    ]
    asyncio.run(use_both())
    assert SAID.count("pool made") == 2


def test_block_of_an_injector_when_calls_follow_one_another_then_they_share_what_its_end_tears_down() -> None:
    """`with_dependencies` makes a scope for as long as the block."""

    async def scenario() -> None:
        async with DependencyInjector().with_dependencies():
            assert await use_both() == await use_both()
            SAID.append("at the end")

    asyncio.run(scenario())
    assert SAID[-3:] == ["at the end", "pool over", "generator over"]


@activity()
async def leave_a_task_behind() -> None:
    LEFT_BEHIND.append(asyncio.create_task(_call_late()))


LEFT_BEHIND: list["asyncio.Task[str]"] = []


async def _call_late() -> str:
    while "generator over" not in SAID:
        await asyncio.sleep(0)
    return await use_context()


def test_call_when_its_outermost_call_is_over_then_it_has_values_of_its_own() -> None:
    """What was torn down is never given."""

    async def scenario() -> None:
        await leave_a_task_behind()
        await use_generator()
        assert await LEFT_BEHIND.pop() == "context"

    asyncio.run(scenario())
    assert SAID[-2:] == ["context made", "context over"]


class OneTask:
    """Insists on being left in the task that entered it, as cancel scopes of some libraries do."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        return self

    async def __aexit__(self, *_: object) -> None:
        SAID.append("left in the same task" if asyncio.current_task() is self._task else "left in another task")


@activity()
async def use_one_task(one: OneTask = Depends(OneTask)) -> None: ...


def test_value_when_asked_for_in_another_task_then_it_is_torn_down_in_the_one_that_made_it() -> None:
    """Some context managers can be used in one task alone."""

    async def scenario() -> None:
        async with DependencyInjector().with_dependencies():
            await asyncio.create_task(use_one_task())

    asyncio.run(scenario())
    assert SAID == ["left in the same task"]
