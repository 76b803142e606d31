"""Which providers are accepted, and what overrides replace."""

# ruff: noqa: B008 - Depends is made to be called there, and changes nothing

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from levante import (
    DependencyInjector,
    Depends,
    WorkflowsException,
    activity,
    workflow,
)
from tests.unit.levante.definition.providers import (
    SAID,
    Connection,
    get_generator,
    get_plain,
    use_both,
)


@pytest.fixture(autouse=True)
def _silence() -> None:
    SAID.clear()


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
