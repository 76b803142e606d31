"""What `Depends` accepts, what a provider may be, and how long what it gives lives."""
# ruff: noqa: B008 - Depends is made to be called there, and changes nothing

import asyncio
import functools
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Self

import pytest

from levante import (
    DependencyInjector,
    Depends,
    InvalidArguments,
    WorkflowsException,
    activity,
    get_activity_definition,
    workflow,
)
from levante.context import current_workflow

SAID: list[str] = []
"""What providers and activities did, in order."""


@pytest.fixture(autouse=True)
def _silence() -> None:
    SAID.clear()


class Connection:
    """Something that JSON cannot carry."""

    def __init__(self, name: str) -> None:
        self.name = name


def get_plain() -> Connection:
    return Connection("plain")


async def get_async() -> Connection:
    return Connection("async")


def get_generator() -> Iterator[Connection]:
    SAID.append("generator made")
    yield Connection("generator")
    SAID.append("generator over")


async def get_async_generator() -> AsyncIterator[Connection]:
    SAID.append("async generator made")
    yield Connection("async generator")
    SAID.append("async generator over")


@contextmanager
def get_context() -> Iterator[Connection]:
    SAID.append("context made")
    yield Connection("context")
    SAID.append("context over")


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
async def use_async(connection: Connection = Depends(get_async)) -> str:
    return connection.name


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


# --- sharing ----------------------------------------------------------------------------------------------------------


async def get_pool(connection: Connection = Depends(get_generator)) -> AsyncIterator[list[Connection]]:
    SAID.append("pool made")
    yield [connection]
    SAID.append("pool over")


@activity()
async def use_both(
    pool: list[Connection] = Depends(get_pool), connection: Connection = Depends(get_generator)
) -> tuple[int, ...]:
    SAID.append("called")
    return (id(connection), *map(id, pool))


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


# --- failures ---------------------------------------------------------------------------------------------------------


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


# --- definitions ------------------------------------------------------------------------------------------------------


def get_first(second: str = "") -> str:
    return second


def get_second(first: str = Depends(get_first)) -> str:
    return first


async def in_a_circle(name: str = Depends(get_second)) -> str:
    return name


async def unfilled(name: Connection = Depends(Connection)) -> str:
    return name.name


async def given_a_value(name: Any = Depends("postgres://user:secret@db")) -> str:  # type: ignore[call-overload]
    return str(name)


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> str:
        return ""


async def given_unhashable(name: str = Depends(Unhashable())) -> str:
    return name


@pytest.mark.parametrize(
    ("function", "said"),
    [
        pytest.param(in_a_circle, "circle: .*get_second → .*get_first → .*get_second", id="none could be the first"),
        pytest.param(unfilled, "nothing fills parameter 'name' of provider .*Connection", id="providers get no input"),
        pytest.param(given_a_value, "a str is none: write Depends", id="a value is no provider"),
        pytest.param(given_unhashable, "a Unhashable is none", id="its value could not be found again"),
    ],
)
def test_activity_when_a_provider_cannot_work_then_the_import_fails(
    function: Callable[..., Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could never be provided fails where it is written, and no message shows a value."""
    monkeypatch.setattr(get_first, "__defaults__", (Depends(get_second),))
    with pytest.raises(WorkflowsException, match=said) as caught:
        activity()(function)
    assert caught.value.message.startswith(f"activity {function.__name__!r}: ")
    assert "secret" not in caught.value.message


def test_entrypoint_when_it_has_a_dependency_then_the_import_fails() -> None:
    """Workflow code is replayed, so what it depends on is recorded; providers are for activities."""
    with pytest.raises(WorkflowsException, match="'connection': Depends is for activities"):

        @workflow.define(name="depends")
        class Depending:
            @workflow.entrypoint
            async def run(self, connection: Connection = Depends(get_plain)) -> None: ...


# --- overrides --------------------------------------------------------------------------------------------------------


def test_override_when_in_its_block_then_providers_that_depend_on_it_get_it_too() -> None:
    """Inside the block, and only there, the override is asked in place of the provider."""
    replacement = Connection("fake")

    async def scenario() -> tuple[int, ...]:
        async with DependencyInjector({get_generator: lambda: replacement}).with_dependencies():
            return await use_both()

    assert asyncio.run(scenario()) == (id(replacement), id(replacement))
    assert SAID == ["pool made", "called", "pool over"]
    assert asyncio.run(use_both())[0] != id(replacement)


def get_around(connection: Connection = Depends(get_plain)) -> Connection:
    return connection


def get_around_that(connection: Connection = Depends(get_around)) -> Connection:
    return connection


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        pytest.param({get_plain: get_around}, "circle: .*get_around → .*get_around", id="needs what it stands in for"),
        pytest.param(
            {get_plain: get_around_that}, "circle: .*that → .*around → .*that", id="needs what needs what it stands in for"
        ),
        pytest.param({get_plain: "fake"}, "a str is none", id="a value is no provider"),
        pytest.param({get_plain: Connection}, "nothing fills parameter 'name'", id="providers get no input"),
    ],
)
def test_override_when_it_cannot_work_then_it_is_refused_at_once(overrides: Any, said: str) -> None:
    """A test that could never call anything says so before it does."""
    with pytest.raises(WorkflowsException, match=f"DependencyInjector: .*{said}"):
        DependencyInjector(overrides)
