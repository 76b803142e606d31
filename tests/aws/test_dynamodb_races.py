from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from threading import Barrier
from typing import Any

import pytest

from levante_core.adapters.dynamodb.client import dynamodb_client
from levante_core.adapters.dynamodb.store import DynamoItemStore
from levante_core.ports.item_store import Absent, ConditionFailed, Item, Key, Put, Query
from tests.support.dynamodb_tables import EMULATORS, ON_EMULATORS, aws_environment, clients, new_table

WRITERS, INDICES = 16, 1000


@pytest.fixture(params=ON_EMULATORS)
def writers(request: pytest.FixtureRequest) -> Iterator[list[DynamoItemStore]]:
    """Stores on one table, each with a client of its own, as in processes of their own."""
    url = request.getfixturevalue(EMULATORS[request.param])
    table_client, _ = clients(url)
    with ExitStack() as stack:
        table = stack.enter_context(new_table(table_client))
        with aws_environment(url):
            own: list[Any] = [dynamodb_client(connections=1) for _ in range(WRITERS)]
        yield [DynamoItemStore(table, stack.enter_context(closing(client))) for client in own]


@pytest.mark.timeout(240)
def test_put_when_16_writers_race_for_each_of_1000_indices_lets_exactly_one_win(writers: list[DynamoItemStore]) -> None:
    """The fence of the engine: one writer wins each index of a history, all others learn who it was."""
    start_line = Barrier(WRITERS, timeout=60)

    def race(writer: int) -> list[ConditionFailed | None]:
        """Return what this writer was told at each index; None where it won."""
        outcomes: list[ConditionFailed | None] = []
        for index in range(INDICES):
            batch = Item(Key("H#run", f"L#{index:08d}"), {"commit_id": str(writer)}, {"batch": "{}"})
            start_line.wait()
            try:
                writers[writer].write(Put(batch, Absent()))
            except ConditionFailed as refused:
                outcomes.append(refused)
            else:
                outcomes.append(None)
        return outcomes

    with ThreadPoolExecutor(WRITERS) as pool:
        by_writer = list(pool.map(race, range(WRITERS)))
    history: list[Item] = []
    after: str | None = None
    while True:
        page = writers[0].query(Query("H#run", after=after))
        history += page.items
        after = page.next
        if after is None:
            break
    assert [item.key.sort for item in history] == [f"L#{index:08d}" for index in range(INDICES)]
    for index, item in enumerate(history):
        outcomes = [by_writer[writer][index] for writer in range(WRITERS)]
        winners = [str(writer) for writer, refused in enumerate(outcomes) if refused is None]
        assert winners == [item.attributes["commit_id"]]
        assert all(refused.existing == (item,) for refused in outcomes if refused is not None)
