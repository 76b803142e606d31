"""What a type checker sees of dependencies. Checked by mypy, never run."""
# ruff: noqa: B008 - Depends is made to be called there, and changes nothing

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from typing import Self, assert_type

from levante import DependencyInjector, Depends, activity


class Database:
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


def get_name() -> str:
    return ""


async def get_later() -> Database:
    return Database()


def get_yielded() -> Iterator[str]:
    yield ""


def get_generated() -> Generator[str, None, None]:
    yield ""


async def get_yielded_later(name: str = Depends(get_name)) -> AsyncIterator[Database]:
    yield Database()


async def get_generated_later() -> AsyncGenerator[Database, None]:
    yield Database()


@contextmanager
def get_managed() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect("")) as connection:
        yield connection


@asynccontextmanager
async def get_managed_later() -> AsyncIterator[Database]:
    yield Database()


assert_type(Depends(get_name), str)
assert_type(Depends(get_later), Database)
assert_type(Depends(get_yielded), str)
assert_type(Depends(get_generated), str)
assert_type(Depends(get_yielded_later), Database)
assert_type(Depends(get_generated_later), Database)
assert_type(Depends(get_managed), sqlite3.Connection)
assert_type(Depends(get_managed_later), Database)
assert_type(Depends(Database), Database)
assert_type(Depends(partial(open, "file", encoding="utf-8")).readable(), bool)
Depends("")  # type: ignore[call-overload]


@activity()
async def charge(order: str, db: Database = Depends(get_later)) -> str:
    return order


@activity()
def plain(order: str, db: sqlite3.Connection = Depends(get_managed), *, name: str = Depends(get_name)) -> str:
    return order


@activity()
async def wrong(order: str, db: Database = Depends(get_name)) -> str:  # type: ignore[assignment]
    return order


async def calls() -> None:
    assert_type(await charge("a"), str)
    await charge("a", Database())
    await charge("a", db=Database())
    await charge("a", db="")  # type: ignore[arg-type]
    await plain("a", name="")


DependencyInjector({get_later: Database, get_name: lambda: "fake"}).with_dependencies()
DependencyInjector({get_later: Database()})  # type: ignore[dict-item]
