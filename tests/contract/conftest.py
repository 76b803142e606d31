"""The adapters under test. To put another one under a suite, add its factory to the suite's table here."""

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


class StoreWithFeed(ItemStore, ChangeFeed, Protocol):
    """A store that reports its changes."""


@dataclass(frozen=True)
class QueuesAndTime:
    """Queues, and the way to let time pass for them."""

    queues: Queues
    let_pass: Callable[[float], None]


StoreFactory: TypeAlias = Callable[[Path], AbstractContextManager[StoreWithFeed]]
QueuesFactory: TypeAlias = Callable[[], AbstractContextManager[QueuesAndTime]]
PayloadsFactory: TypeAlias = Callable[[Path], AbstractContextManager[PayloadStore]]


def sqlite(directory: Path) -> AbstractContextManager[StoreWithFeed]:
    return closing(SqliteItemStore(directory / "items.db"))


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


ITEM_STORES: Mapping[str, StoreFactory] = {"sqlite": sqlite}
CHANGE_FEEDS: Mapping[str, StoreFactory] = {"sqlite": sqlite}
QUEUES: Mapping[str, QueuesFactory] = {"in-process": in_process}
PAYLOAD_STORES: Mapping[str, PayloadsFactory] = {"files": files}


@pytest.fixture(params=ITEM_STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ItemStore]:
    with ITEM_STORES[request.param](tmp_path) as adapter:
        yield adapter


@pytest.fixture(params=CHANGE_FEEDS)
def store_with_feed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreWithFeed]:
    with CHANGE_FEEDS[request.param](tmp_path) as adapter:
        yield adapter


@pytest.fixture(params=QUEUES)
def queues_and_time(request: pytest.FixtureRequest) -> Iterator[QueuesAndTime]:
    with QUEUES[request.param]() as adapter:
        yield adapter


@pytest.fixture(params=PAYLOAD_STORES)
def payloads(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PayloadStore]:
    with PAYLOAD_STORES[request.param](tmp_path) as adapter:
        yield adapter
