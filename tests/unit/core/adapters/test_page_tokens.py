import base64
import json
from typing import Any

import pytest

from levante_core.adapters.page_tokens import page_token, place_of
from levante_core.errors import InvalidInput
from levante_core.ports.item_store import Query

QUERY = Query("w", index="runs", first="a", last="m", descending=True)
PLACE = ("d", "partition", "sort")


def with_place(place: list[Any]) -> str:
    """Make a token whose check is right, as somebody could who has read this code."""
    return page_token(QUERY, place)


@pytest.mark.parametrize("place", [PLACE, ("a", "", ""), ("m", "ß", "\U0001f600"), ('d"', "\\", "\n")])
def test_token_when_it_comes_back_then_it_leads_to_the_same_place(place: tuple[str, ...]) -> None:
    """Whatever text a key is, its token is letters that a URL takes."""
    token = page_token(QUERY, place)
    assert place_of(QUERY, token, 3) == place
    assert token.isascii()


@pytest.mark.parametrize("place", [["z", "p", "s"], ["d", "p"], [], ["d", "p", 1], ["d", "p", None], ["d", "p", "\ud800"]])
def test_token_when_its_place_cannot_be_one_then_it_is_refused_although_its_check_is_right(place: list[Any]) -> None:
    """What a store could not take, or would take out of the listing's bounds, is the fault of whoever sent the token."""
    with pytest.raises(InvalidInput):
        place_of(QUERY, with_place(place), 3)


def test_token_when_the_check_of_another_place_is_in_it_then_it_is_refused() -> None:
    """The check is made from query and place, so neither can be changed alone."""
    mark, *_ = json.loads(base64.urlsafe_b64decode(page_token(QUERY, PLACE)))
    edited = base64.urlsafe_b64encode(json.dumps([mark, "e", *PLACE[1:]]).encode()).decode()
    with pytest.raises(InvalidInput):
        place_of(QUERY, edited, 3)


@pytest.mark.parametrize("document", [{"c": 1}, "c", 7, None, []])
def test_token_when_it_is_no_list_then_it_is_refused(document: Any) -> None:
    """Any JSON may come."""
    with pytest.raises(InvalidInput):
        place_of(QUERY, base64.urlsafe_b64encode(json.dumps(document).encode()).decode(), 3)
