"""`levante parked` against a small server that answers as the API does."""

import json

import pytest

from levante.cli.exits import Exit
from tests.support.cli import Api, api, run

__all__ = ["api"]

ITEM = {
    "parked_id": "e1.0123456789abcdef",
    "kind": "change",
    "execution_id": "e1",
    "run_id": "r1",
    "deployment_name": "prod",
    "error": "InconsistentHistory: batch 3 is missing",
    "since": "2026-11-30T00:00:00Z",
    "failed_at": "2026-11-30T00:10:00Z",
    "count": 4,
    "retry_at": None,
}


def test_parked_when_listed_then_each_is_told_with_what_is_wrong(api: Api) -> None:
    """Who mends it has to know what it is, whose, and why; its id is whole, as other commands take it."""
    api.on("GET", "/v1/parked", (200, {"parked": [ITEM], "count": 1, "next_cursor": None}))
    shown = run(api, "parked", "list").stdout
    assert all(str(ITEM[name]) in shown for name in ("parked_id", "kind", "execution_id", "error", "count"))
    assert json.loads(run(api, "parked", "list", "--json").stdout)["parked"] == [ITEM]


def test_parked_when_there_is_none_then_that_is_said(api: Api) -> None:
    """An empty listing is an answer."""
    api.on("GET", "/v1/parked", (200, {"parked": [], "count": 0, "next_cursor": None}))
    assert "nothing is parked" in run(api, "parked", "list").output


def test_retry_when_one_is_named_then_it_alone_is_asked_for(api: Api) -> None:
    """Its id goes into the path."""
    api.on("POST", "/v1/parked/e1.0123/retry", (204, None))
    assert run(api, "parked", "retry", "e1.0123").exit_code == 0
    assert [path for _, path, _, _ in api.asked] == ["/v1/parked/e1.0123/retry"]


def test_retry_when_all_are_meant_then_pages_are_asked_for_until_there_are_no_more(api: Api) -> None:
    """The API takes a hundred with each call, and says where to go on."""
    api.on("POST", "/v1/parked/retry", (200, {"next": "1:"}), (200, {"next": None}))
    assert run(api, "parked", "retry", "--all").exit_code == 0
    assert [body for _, _, body, _ in api.asked] == [{}, {"after": "1:"}]


@pytest.mark.parametrize("arguments", [[], ["e1.0123", "--all"]])
def test_retry_when_it_is_unclear_what_is_meant_then_nothing_is_asked_for(api: Api, arguments: list[str]) -> None:
    """Neither nothing nor both."""
    assert run(api, "parked", "retry", *arguments).exit_code == Exit.USAGE
    assert api.asked == []


def test_drop_when_one_is_named_then_it_is_deleted(api: Api) -> None:
    """What is dropped is told."""
    api.on("DELETE", "/v1/parked/e1.0123", (204, None))
    result = run(api, "parked", "drop", "e1.0123")
    assert (result.exit_code, result.stdout) == (0, "e1.0123 is dropped\n")
