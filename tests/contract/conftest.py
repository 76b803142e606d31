"""The adapters under test. To put another one under a suite, add its factory to the suite's table here."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import pytest

from levante_core.ports.item_store import ChangeFeed, ItemStore
from levante_core.ports.queues import Queues
from levante_core.ports.surroundings import PayloadStore
from levante_local.payload_files import PayloadFiles
from levante_local.queues import InProcessQueues
from levante_local.sqlite_store import SqliteItemStore
from tests.fakes import FakeClock
from tests.support.dynamodb_tables import CONTRACT_INDEXES, EMULATORS, store_of


class StoreWithFeed(ItemStore, ChangeFeed, Protocol):
    """A store that reports its changes."""


@dataclass(frozen=True)
class QueuesAndTime:
    """Queues, and the way to let time pass for them."""

    queues: Queues
    let_pass: Callable[[float], None]


StoreFactory: TypeAlias = Callable[[pytest.FixtureRequest], AbstractContextManager[StoreWithFeed]]
QueuesFactory: TypeAlias = Callable[[], AbstractContextManager[QueuesAndTime]]
PayloadsFactory: TypeAlias = Callable[[Path], AbstractContextManager[PayloadStore]]


def sqlite(request: pytest.FixtureRequest) -> AbstractContextManager[StoreWithFeed]:
    return closing(SqliteItemStore(request.getfixturevalue("tmp_path") / "items.db"))


def dynamodb(name: str) -> StoreFactory:
    return lambda request: store_of(name, request, CONTRACT_INDEXES)


@contextmanager
def in_process() -> Iterator[QueuesAndTime]:
    clock = FakeClock()
    queues = InProcessQueues(clock)

    def let_pass(seconds: float) -> None:
        clock.advance(seconds)
        queues.wake()

    yield QueuesAndTime(queues, let_pass)


@contextmanager
def files(directory: Path) -> Iterator[PayloadStore]:
    yield PayloadFiles(directory / "payloads")


ITEM_STORES: Mapping[str, StoreFactory] = {
    "sqlite": sqlite,
    "moto": dynamodb("moto"),
    "dynamodb-local": dynamodb("dynamodb-local"),
    "ministack": dynamodb("ministack"),
}
CHANGE_FEEDS: Mapping[str, StoreFactory] = ITEM_STORES
QUEUES: Mapping[str, QueuesFactory] = {"in-process": in_process}
PAYLOAD_STORES: Mapping[str, PayloadsFactory] = {"files": files}


KNOWN_WRONG: Mapping[tuple[str, str], pytest.MarkDecorator] = {
    ("moto", "a number is no boolean"): pytest.mark.xfail(reason="moto 5.2.5: 1 equals True"),
    ("moto", "test_store_when_given_any_writes_does_as_a_dict_would"): pytest.mark.skip(
        reason="moto 5.2.5: 1 equals True, and transactions take a third of a second each"
    ),
    ("moto", "test_read_changes_when_many_write_at_once_keeps_the_order_of_each_item"): pytest.mark.xfail(
        reason="moto 5.2.5: an update that creates its item is two changes"
    ),
}
"""Where a double of DynamoDB does as DynamoDB does not: adapter, and part of a test's name."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for (adapter, name), mark in KNOWN_WRONG.items():
            parameters = item.name.partition("[")[2]
            if re.search(rf"\b{adapter}\b", parameters) and name in item.name:
                item.add_marker(mark)


def adapters(table: Mapping[str, object]) -> list[pytest.ParameterSet]:
    return [pytest.param(name, marks=[pytest.mark.emulators] if name in EMULATORS else []) for name in table]


@pytest.fixture(params=adapters(ITEM_STORES))
def store(request: pytest.FixtureRequest) -> Iterator[ItemStore]:
    with ITEM_STORES[request.param](request) as adapter:
        yield adapter


@pytest.fixture(params=adapters(CHANGE_FEEDS))
def store_with_feed(request: pytest.FixtureRequest) -> Iterator[StoreWithFeed]:
    with CHANGE_FEEDS[request.param](request) as adapter:
        yield adapter


@pytest.fixture(params=QUEUES)
def queues_and_time(request: pytest.FixtureRequest) -> Iterator[QueuesAndTime]:
    with QUEUES[request.param]() as adapter:
        yield adapter


@pytest.fixture(params=PAYLOAD_STORES)
def payloads(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PayloadStore]:
    with PAYLOAD_STORES[request.param](tmp_path) as adapter:
        yield adapter
