"""Providers, and activities that depend on them."""

# ruff: noqa: B008 - Depends is made to be called there, and changes nothing

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from levante import (
    Depends,
    activity,
)

SAID: list[str] = []
"""What providers and activities did, in order."""


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


@contextmanager
def get_context() -> Iterator[Connection]:
    SAID.append("context made")
    yield Connection("context")
    SAID.append("context over")


@activity()
async def use_async(connection: Connection = Depends(get_async)) -> str:
    return connection.name


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
