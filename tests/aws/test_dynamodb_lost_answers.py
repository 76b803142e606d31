import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from levante_core.adapters.dynamodb.calls import Patience
from levante_core.adapters.dynamodb.store import DynamoItemStore
from levante_core.ports.item_store import Absent, ConditionFailed, Delete, Item, Key, Matches, Put, Query, Update, Write
from tests.support.dynamodb_tables import ON_ALL, ON_EMULATORS, store_of

KEY = Key("p", "s")
WITHOUT_PAUSES = Patience(30, sleep=lambda _: None)


class LosesAnswers:
    """A client whose requests are carried out, but of which every other answer gets lost."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._is_lost = itertools.cycle([True, False])

    def __getattr__(self, operation: str) -> Any:
        def call(**parameters: Any) -> Any:
            is_lost, error = next(self._is_lost), None
            try:
                answer = getattr(self._client, operation)(**parameters)
            except self._client.exceptions.ClientError as refused:
                answer, error = None, refused
            if is_lost:
                raise ReadTimeoutError(endpoint_url="http://table")
            if error:
                raise error
            return answer

        return call


@dataclass
class Place:
    """A table, seen by a store whose answers get lost and by one whose answers do not."""

    plain: DynamoItemStore

    def lossy(self) -> DynamoItemStore:
        calls = self.plain._calls
        return DynamoItemStore(self.plain._table, LosesAnswers(calls.client), patience=WITHOUT_PAUSES)


@pytest.fixture(params=ON_ALL)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with store_of(request.param, request) as store:
        yield Place(store)


@pytest.fixture(params=ON_EMULATORS)
def place_with_tokens(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Without moto, which does not look at the tokens of transactions."""
    with store_of(request.param, request) as store:
        yield Place(store)


def attempt(store: DynamoItemStore, *writes: Write) -> ConditionFailed | None:
    try:
        store.write(*writes)
    except ConditionFailed as refused:
        return refused
    return None


def test_put_when_its_answer_gets_lost_is_its_own_success(place: Place) -> None:
    """The write took effect and its repeat finds the index taken, by itself."""
    batch = Item(KEY, {"commit_id": "c", "count": 1, "ratio": 2.0}, {"batch": "{}"}, {"runs": Key("w", "1")})
    assert attempt(place.lossy(), Put(batch, Absent())) is None
    assert place.plain.get(KEY) == batch


def test_put_when_its_answer_gets_lost_and_the_index_was_taken_is_refused(place: Place) -> None:
    """The item of another writer is never taken for one's own."""
    first = Item(KEY, {"commit_id": "first"})
    place.plain.write(Put(first))
    refused = attempt(place.lossy(), Put(Item(KEY, {"commit_id": "second"}), Absent()))
    assert refused is not None
    assert refused.existing == (first,)
    assert place.plain.get(KEY) == first


def test_put_when_eight_race_and_answers_get_lost_lets_exactly_one_win(place: Place) -> None:
    """One writer wins per index, and knows it, also when nobody got the first answer."""
    stores = [place.lossy() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for index in range(20):
            key = Key("history", f"{index:08d}")
            outcomes = list(
                pool.map(lambda owner, key=key: attempt(stores[owner], Put(Item(key, {"owner": owner}), Absent())), range(8))
            )
            winners = [owner for owner, outcome in enumerate(outcomes) if outcome is None]
            assert place.plain.get(key) == Item(key, {"owner": winners[0]})
            assert len(winners) == 1


def test_update_when_its_answer_gets_lost_counts_once(place_with_tokens: Place) -> None:
    """An addition is no less exact for being sent twice."""
    with ThreadPoolExecutor(4) as pool:
        stores = [place_with_tokens.lossy() for _ in range(4)]
        list(pool.map(lambda number: stores[number % 4].write(Update(KEY, add={"count": 1})), range(40)))
    assert place_with_tokens.plain.get(KEY) == Item(KEY, {"count": 40})


def test_group_when_its_answer_gets_lost_is_carried_out_once_and_succeeds(place_with_tokens: Place) -> None:
    """A close takes its index and the execution in one transaction, and its repeat is not refused by itself."""
    execution, batch = Item(KEY, {"is_open": True, "mail_count": 2}), Item(Key("p", "t"), {"commit_id": "c"})
    place_with_tokens.plain.write(Put(execution))
    closing = Update(KEY, {"is_open": False}, condition=Matches({"is_open": True, "mail_count": 2}))
    assert attempt(place_with_tokens.lossy(), Put(batch, Absent()), closing) is None
    assert place_with_tokens.plain.get(KEY) == Item(KEY, {"is_open": False, "mail_count": 2})
    assert place_with_tokens.plain.get(batch.key) == batch


def test_conditional_writes_when_their_answers_get_lost_are_not_refused_by_what_they_did(place_with_tokens: Place) -> None:
    """What makes its own condition false is sent with a token, alone too."""
    place_with_tokens.plain.write(Put(Item(KEY, {"status": "A"})))
    assert attempt(place_with_tokens.lossy(), Update(KEY, {"status": "B"}, condition=Matches({"status": "A"}))) is None
    assert attempt(place_with_tokens.lossy(), Delete(KEY, Matches({"status": "B"}))) is None
    assert place_with_tokens.plain.get(KEY) is None


def test_reads_when_their_answers_get_lost_are_repeated(place: Place) -> None:
    """A read that got no answer is asked again."""
    place.plain.write(Put(Item(KEY, {"status": "A"}, indexes={"runs": Key("w", "1")})))
    assert place.lossy().get(KEY) == place.plain.get(KEY)
    assert place.lossy().query(Query("p")) == place.plain.query(Query("p"))
    assert place.lossy().query(Query("w", index="runs")) == place.plain.query(Query("w", index="runs"))
