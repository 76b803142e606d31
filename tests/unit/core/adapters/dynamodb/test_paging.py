from dataclasses import replace

import pytest

from levante_core.adapters import page_tokens
from levante_core.adapters.dynamodb.images import Image, image_of
from levante_core.adapters.dynamodb.paging import page_token, start_key
from levante_core.errors import InvalidInput
from levante_core.ports.item_store import AFTER_ALL, Item, Key, Query

TABLE = Query("p", first="a", last="m")
INDEX = Query("w", index="runs", first="a", last="m", descending=True)
IMAGE: Image = image_of(Item(Key("p", "c"), {"status": "A"}, indexes={"runs": Key("w", "d")}))


def test_token_when_used_in_its_query_leads_back_to_the_item() -> None:
    """A start key names the item whole: in an index, its place there and its key."""
    assert start_key(TABLE, page_token(TABLE, IMAGE)) == {"pk": {"S": "p"}, "sk": {"S": "c"}}
    assert start_key(INDEX, page_token(INDEX, IMAGE)) == {
        "x.runs.pk": {"S": "w"},
        "x.runs.sk": {"S": "d"},
        "pk": {"S": "p"},
        "sk": {"S": "c"},
    }


@pytest.mark.parametrize(
    "other",
    [
        replace(TABLE, partition="q"),
        replace(TABLE, first="b"),
        replace(TABLE, last="n"),
        replace(TABLE, descending=True),
        replace(INDEX, descending=False),
    ],
)
def test_token_when_used_in_another_query_is_refused(other: Query) -> None:
    """A token is bound to its query: partition, bounds, direction and index."""
    with pytest.raises(InvalidInput):
        start_key(other, page_token(TABLE, IMAGE))


@pytest.mark.parametrize("place", ["", "c" * 1025])
def test_token_when_dynamodb_would_refuse_its_place_then_so_do_we(place: str) -> None:
    """Whoever makes a token up, check and all, hears of it as of any other: it is no error of the service."""
    query = replace(TABLE, first="", last=AFTER_ALL)
    assert start_key(query, page_tokens.page_token(query, ["c" * 1024]))
    with pytest.raises(InvalidInput):
        start_key(query, page_tokens.page_token(query, [place]))
