"""The adapters under test. To put another one under a suite, add its factory to the suite's table here."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Protocol, TypeAlias

import pytest

from levante_core.ports.item_store import ChangeFeed, ItemStore
from levante_core.ports.surroundings import PayloadStore
from levante_local.payload_files import PayloadFiles
from levante_local.queues.queues import InProcessQueues
from levante_local.sqlite.store import SqliteItemStore
from tests.contract.aws_adapters import QueuesAndTime, s3_on_ministack, s3_on_moto, sqs_on_ministack, sqs_on_moto
from tests.fakes import FakeClock
from tests.support.dynamodb_tables import CONTRACT_INDEXES, EMULATORS, store_of


class StoreWithFeed(ItemStore, ChangeFeed, Protocol):
    """A store that reports its changes."""


StoreFactory: TypeAlias = Callable[[pytest.FixtureRequest], AbstractContextManager[StoreWithFeed]]
QueuesFactory: TypeAlias = Callable[[pytest.FixtureRequest], AbstractContextManager[QueuesAndTime]]
PayloadsFactory: TypeAlias = Callable[[pytest.FixtureRequest], AbstractContextManager[PayloadStore]]


def sqlite(request: pytest.FixtureRequest) -> AbstractContextManager[StoreWithFeed]:
    return closing(SqliteItemStore(request.getfixturevalue("tmp_path") / "items.db"))


def dynamodb(name: str) -> StoreFactory:
    return lambda request: store_of(name, request, CONTRACT_INDEXES)


@contextmanager
def in_process(_: pytest.FixtureRequest) -> Iterator[QueuesAndTime]:
    clock = FakeClock()
    queues = InProcessQueues(clock)

    def let_pass(seconds: float) -> None:
        clock.advance(seconds)
        queues.wake()

    yield QueuesAndTime(queues, let_pass)


@contextmanager
def files(request: pytest.FixtureRequest) -> Iterator[PayloadStore]:
    yield PayloadFiles(request.getfixturevalue("tmp_path") / "payloads")


ITEM_STORES: Mapping[str, StoreFactory] = {
    "sqlite": sqlite,
    "moto": dynamodb("moto"),
    "dynamodb-local": dynamodb("dynamodb-local"),
    "ministack": dynamodb("ministack"),
}
CHANGE_FEEDS: Mapping[str, StoreFactory] = ITEM_STORES
QUEUES: Mapping[str, QueuesFactory] = {"in-process": in_process, "moto": sqs_on_moto, "ministack": sqs_on_ministack}
PAYLOAD_STORES: Mapping[str, PayloadsFactory] = {"files": files, "moto": s3_on_moto, "ministack": s3_on_ministack}


_MOTO_WAITS_FOR_NEW_ONES = pytest.mark.skip(
    reason="moto 5.2.5: a receive that waits does not see that a group is free again; SQS returns what becomes available"
)
KNOWN_WRONG: Mapping[tuple[str, str], pytest.MarkDecorator] = {
    ("moto", "a number is no boolean"): pytest.mark.xfail(reason="moto 5.2.5: 1 equals True"),
    ("moto", "test_store_when_given_any_writes_does_as_a_dict_would"): pytest.mark.skip(
        reason="moto 5.2.5: 1 equals True, and transactions take a third of a second each"
    ),
    ("moto", "test_read_changes_when_many_write_at_once_keeps_the_order_of_each_item"): pytest.mark.xfail(
        reason="moto 5.2.5: an update that creates its item is two changes"
    ),
    ("moto", "test_receipt_when_received_again_since_is_lost"): pytest.mark.xfail(
        reason="moto 5.2.5: an old receipt is as good as the newest; that of a FIFO queue has expired in SQS"
    ),
    ("moto", "test_receive_when_many_receivers_race_gives_each_message_to_one"): pytest.mark.skip(
        reason="moto 5.2.5 has no locks: receivers that race get one message twice"
    ),
    ("moto", "test_receive_when_one_group_is_always_busy_serves_the_others_too"): pytest.mark.xfail(
        reason="moto 5.2.5: the oldest message is always next, and SQS promises no other order among groups"
    ),
    ("ministack", "test_receive_when_one_group_is_always_busy_serves_the_others_too"): pytest.mark.xfail(
        reason="ministack 1.5.33: the oldest message is always next, and SQS promises no other order among groups"
    ),
    ("moto", "what_becomes_available[moto-hand back]"): _MOTO_WAITS_FOR_NEW_ONES,
    ("moto", "what_becomes_available[moto-delete before it]"): _MOTO_WAITS_FOR_NEW_ONES,
    ("moto", "test_send_when_repeated_within_five_minutes_is_dropped"): pytest.mark.xfail(
        reason="moto 5.2.5: a deduplication id is forgotten with its message; SQS remembers it for five minutes"
    ),
}
"""Where a double of AWS does as AWS does not: adapter, and part of a test's name."""


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


@pytest.fixture(params=adapters(QUEUES))
def queues_and_time(request: pytest.FixtureRequest) -> Iterator[QueuesAndTime]:
    with QUEUES[request.param](request) as adapter:
        yield adapter


@pytest.fixture(params=adapters(PAYLOAD_STORES))
def payloads(request: pytest.FixtureRequest) -> Iterator[PayloadStore]:
    with PAYLOAD_STORES[request.param](request) as adapter:
        yield adapter
