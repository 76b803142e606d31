from collections.abc import Iterator

import boto3
import localstack_client.session
import pytest

from levante_core.adapters.dynamodb.client import dynamodb_client
from levante_core.adapters.dynamodb.store import DynamoItemStore
from levante_core.errors import InvalidInput, NotStorable
from levante_core.ports.item_store import Item, Key, Put, Query, Update
from tests.support.dynamodb_tables import ON_ALL, aws_environment, new_table, store_of
from tests.support.emulators import CREDENTIALS

LARGE = "x" * 300_000


@pytest.fixture(params=ON_ALL)
def store(request: pytest.FixtureRequest) -> Iterator[DynamoItemStore]:
    with store_of(request.param, request) as adapter:
        yield adapter


def read_pages(store: DynamoItemStore, limit: int | None = None, *, descending: bool = False) -> list[list[str]]:
    pages, after = [], None
    while True:
        page = store.query(Query("p", limit=limit, descending=descending, after=after))
        pages.append([item.key.sort for item in page.items])
        after = page.next
        if after is None:
            return pages


@pytest.mark.parametrize(("limit", "descending"), [(None, False), (7, False), (2, False), (6, True)])
def test_query_when_it_finds_more_than_a_megabyte_pages_over_all_of_it(
    store: DynamoItemStore, limit: int | None, *, descending: bool
) -> None:
    """DynamoDB ends a page at 1 MB, before its limit is reached; the token goes on from there."""
    sorts = [str(number) for number in range(7)]
    for sort in sorts:
        store.write(Put(Item(Key("p", sort), documents={"large": LARGE})))
    pages = read_pages(store, limit, descending=descending)
    assert len(pages) > 1
    assert all(pages)
    assert [sort for page in pages for sort in page] == sorted(sorts, reverse=descending)


def test_query_when_its_limit_is_exactly_what_is_there_says_that_this_was_all(store: DynamoItemStore) -> None:
    """A caller is not sent for a page that has nothing on it."""
    for sort in "abc":
        store.write(Put(Item(Key("p", sort))))
    assert read_pages(store, limit=3) == [["a", "b", "c"]]
    assert read_pages(store, limit=2) == [["a", "b"], ["c"]]


def test_query_when_given_the_token_of_another_query_is_refused(store: DynamoItemStore) -> None:
    """A token does not lead into another partition, nor beyond other bounds."""
    for sort in "abc":
        store.write(Put(Item(Key("p", sort))))
    after = store.query(Query("p", limit=1)).next
    for partition, last in (("q", "c"), ("p", "b")):
        with pytest.raises(InvalidInput):
            store.query(Query(partition, last=last, after=after))


def test_write_when_an_item_is_too_large_says_which_and_why(store: DynamoItemStore) -> None:
    """400 KB is the end of an item, alone and in a transaction, and no repeat helps."""
    large = Put(Item(Key("p", "s"), documents={"large": LARGE + LARGE}))
    for group in ([large], [large, Put(Item(Key("p", "t")))]):
        with pytest.raises(NotStorable, match="an item would have"):
            store.write(*group)
    assert store.query(Query("p")).items == []


def test_write_when_a_number_is_large_or_small_keeps_it(store: DynamoItemStore) -> None:
    """Counters beyond 2 ** 53 and fractions come back as they were."""
    attributes = {"large": 2**70 + 1, "small": 1e-7, "negative": -3, "fraction": 0.1}
    store.write(Put(Item(Key("p", "s"), attributes)), Put(Item(Key("p", "t"))))
    store.write(Update(Key("p", "s"), add={"large": 1}))
    assert store.get(Key("p", "s")) == Item(Key("p", "s"), {**attributes, "large": 2**70 + 2})


@pytest.mark.emulators
def test_client_when_the_environment_names_an_endpoint_goes_there(ministack_url: str) -> None:
    """AWS_ENDPOINT_URL is all that a program needs to run on an emulator; localstack-client finds the same place."""
    with aws_environment(ministack_url):
        finder = localstack_client.session.Session(**CREDENTIALS).client("dynamodb")
        ours = boto3.Session().client("dynamodb")
        assert finder.meta.endpoint_url == ours.meta.endpoint_url == ministack_url
        with new_table(finder) as table:
            store = DynamoItemStore(table, dynamodb_client())
            store.write(Put(Item(Key("p", "s"), {"status": "A"})))
            found = finder.get_item(TableName=table, Key={"pk": {"S": "p"}, "sk": {"S": "s"}})
    assert found["Item"]["a.status"] == {"S": "A"}
