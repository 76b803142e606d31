"""Tables for tests, on moto and on the emulators, and their streams as a change feed."""

import itertools
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cache
from typing import Any

import boto3
import pytest
from moto import mock_aws

from levante_core.adapters.dynamodb.client import dynamodb_client
from levante_core.adapters.dynamodb.images import change_of
from levante_core.adapters.dynamodb.store import DynamoItemStore
from levante_core.adapters.dynamodb.table import INDEXES, table_definition
from levante_core.ports.item_store import Change
from tests.support.emulators import ENVIRONMENT
from tests.support.processes import wait_until

_numbers = itertools.count()

CONTRACT_INDEXES: Mapping[str, tuple[str, ...]] = {
    "by_start": ("status", "count", "ratio", "open", "parent", "place"),
    "by_root": ("status", "count", "ratio", "open", "parent"),
    "model": ("status", "owner", "count"),
}
"""The indexes that the contract suites list items in."""

EMULATORS = {"dynamodb-local": "dynamodb_local_url", "ministack": "ministack_url"}
"""Emulators that have tables, and the fixtures that start them."""

ON_EMULATORS = [pytest.param(name, marks=pytest.mark.emulators) for name in EMULATORS]
ON_ALL = ["moto", *ON_EMULATORS]
"""Parameters for fixtures: names that `store_of` knows."""


class OneAtATime:
    """A client whose calls wait for one another. moto has no locks: without this, threads lose each other's writes."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(**parameters: Any) -> Any:
            with self._lock:
                return found(**parameters)

        return call


class StoreWithStream(DynamoItemStore):
    """A store, and the stream of its table read from the one shard that all emulators have."""

    def __init__(self, table: str, client: Any, streams: Any) -> None:
        super().__init__(table, client)
        self._streams = streams
        self._stream = client.describe_table(TableName=table)["Table"]["LatestStreamArn"]

    def read_changes(self, after: str | None, limit: int) -> list[Change]:
        (shard,) = self._streams.describe_stream(StreamArn=self._stream)["StreamDescription"]["Shards"]
        start = {"ShardIteratorType": "TRIM_HORIZON"}
        if after is not None:
            start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after}
        place = self._streams.get_shard_iterator(StreamArn=self._stream, ShardId=shard["ShardId"], **start)
        answer = self._streams.get_records(ShardIterator=place["ShardIterator"], Limit=limit)
        return [change_of(record) for record in answer["Records"]]

    def acknowledge_changes(self, sequence: str) -> None:
        """A stream forgets by itself."""


@contextmanager
def aws_environment(endpoint_url: str | None = None) -> Iterator[None]:
    """Give clients credentials that lead nowhere, and the endpoint of an emulator."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")  # moto finds no streams at endpoints of an account
        if endpoint_url:
            patch.setenv("AWS_ENDPOINT_URL", endpoint_url)
        yield


@contextmanager
def new_table(client: Any, indexes: Mapping[str, tuple[str, ...]] = INDEXES) -> Iterator[str]:
    """Make a table for one test."""
    table = f"test-{os.getpid()}-{next(_numbers)}"
    client.create_table(**table_definition(table, indexes))
    wait_until(lambda: client.describe_table(TableName=table)["Table"]["TableStatus"] == "ACTIVE", f"{table} is there")
    try:
        yield table
    finally:
        client.delete_table(TableName=table)


@cache
def clients(endpoint_url: str | None) -> tuple[Any, Any]:
    """Return clients of tables and of streams, which all tests share: making them takes longer than most tests."""
    with aws_environment(endpoint_url):
        table_client, stream_client = dynamodb_client(), boto3.Session().client("dynamodbstreams")
    return table_client if endpoint_url else OneAtATime(table_client), stream_client


@contextmanager
def store_on(endpoint_url: str | None, indexes: Mapping[str, tuple[str, ...]] = INDEXES) -> Iterator[StoreWithStream]:
    """Make a store on a table of its own; endpoint_url: of an emulator, None for moto."""
    client, streams = clients(endpoint_url)
    with new_table(client, indexes) as table, closing(StoreWithStream(table, client, streams)) as store:
        yield store


@contextmanager
def store_on_moto(indexes: Mapping[str, tuple[str, ...]] = INDEXES) -> Iterator[StoreWithStream]:
    """Make a store on a table in this process."""
    with mock_aws(), store_on(None, indexes) as store:
        yield store


def store_of(
    name: str, request: pytest.FixtureRequest, indexes: Mapping[str, tuple[str, ...]] = INDEXES
) -> AbstractContextManager[StoreWithStream]:
    """Make a store on a table of its own, on moto or on an emulator that the session shares."""
    if name == "moto":
        return store_on_moto(indexes)
    return store_on(request.getfixturevalue(EMULATORS[name]), indexes)
