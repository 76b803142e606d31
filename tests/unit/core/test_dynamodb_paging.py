import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from levante_core.adapters.dynamodb_expressions import Range
from levante_core.adapters.dynamodb_paging import page_token, start_key
from levante_core.adapters.images import Image, image_of
from levante_core.errors import InvalidInput
from levante_core.ports.item_store import Item, Key

TABLE = Range(None, "p", "a", "m")
INDEX = Range("runs", "w", "a", "m", descending=True)
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
def test_token_when_used_in_another_query_is_refused(other: Range) -> None:
    """A token is bound to its query: partition, bounds, direction and index."""
    with pytest.raises(InvalidInput):
        start_key(other, page_token(TABLE, IMAGE))


@pytest.mark.parametrize(
    "place", [["z"], [""], ["c", "d"], [], [1], [None], [["c"]], ["c" * 1025], ["\ud800"], {"c": 1}, "c", 7, None]
)
def test_token_when_its_place_was_made_up_is_refused(place: Any) -> None:
    """What DynamoDB would refuse as a start is the fault of whoever sent the token."""
    mark, *_ = json.loads(base64.urlsafe_b64decode(page_token(TABLE, IMAGE)))
    parts = [mark, *place] if isinstance(place, list) else place
    with pytest.raises(InvalidInput):
        start_key(TABLE, base64.urlsafe_b64encode(json.dumps(parts).encode()).decode())
