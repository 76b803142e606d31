import dataclasses
from typing import Any
from unittest.mock import ANY

import pytest

from tests.integration.api.harness import KEY_HOLDERS, SECRETS, Api

SHOWN = {"key_id", "name", "role", "workspace", "created_at", "revoked_at", "deployments"}


def test_key_when_made_then_its_secret_is_shown_once_and_works_until_revoked(api: Api) -> None:
    """The secret is in the answer that made the key and nowhere else."""
    made = api.call("POST", "/v1/keys", {"name": "ci", "role": "client"})
    assert made.status == 200
    expected: dict[str, Any] = {
        "name": "ci",
        "role": "client",
        "workspace": "home",
        "created_at": ANY,
        "revoked_at": None,
        "deployments": [],
    }
    assert made.body == {**expected, "key_id": ANY, "secret": ANY}
    SECRETS["made"] = made.body["secret"]
    assert api.call("GET", "/v1/workflows", key="made").status == 200
    assert api.call("GET", "/v1/keys", key="made").status == 403
    revoked = api.call("DELETE", f"/v1/keys/{made.body['key_id']}")
    assert (revoked.status, revoked.body) == (204, None)
    assert api.call("GET", "/v1/workflows", key="made").status == 401


def test_keys_when_listed_then_no_secret_and_no_digest_is_among_them(api: Api) -> None:
    """A listing of keys is no list of secrets."""
    answer = api.call("GET", "/v1/keys")
    assert sorted(row["name"] for row in answer.body["keys"]) == sorted(
        name for name, holder in KEY_HOLDERS.items() if holder.workspace == api.home
    )
    assert all(row.keys() == SHOWN for row in answer.body["keys"])
    text = str(api.handler(api.event("GET", "/v1/keys"), None))
    for key in api.engine.api_keys.list(api.home):
        assert key.digest not in text


def test_key_when_it_belongs_to_another_workspace_then_404_and_it_still_works(api: Api) -> None:
    """An admin is admin of one workspace."""
    theirs = next(one for one in api.call("GET", "/v1/keys", key="stranger").body["keys"] if one["name"] == "stranger")
    assert api.call("DELETE", f"/v1/keys/{theirs['key_id']}").status == 404
    assert api.call("GET", "/v1/keys", key="stranger").status == 200


@pytest.mark.parametrize(
    ("body", "where"),
    [({"name": "", "role": "client"}, "name"), ({"name": "x", "role": "boss"}, "role"), ({"role": "client"}, "name"),
     ({"name": "x", "role": "client", "workspace": "away"}, "workspace"),
     *(({"name": "x", "role": role, "deployments": ["shop"]}, "deployments") for role in ("admin", "client", "viewer")),
     *(({"name": "x", "role": "worker", "deployments": wrong}, "deployments")
       for wrong in ("shop", ["shop@v1"], ["shop~session"], [""], ["a b"], [f"d{number}" for number in range(51)]))],
)  # fmt: skip
def test_key_when_what_is_asked_for_is_wrong_then_422_and_none_is_made(api: Api, body: dict[str, str], where: str) -> None:
    """The workspace comes from the admin's own key and cannot be named."""
    before = api.engine.api_keys.list(api.home)
    answer = api.call("POST", "/v1/keys", body)
    assert answer.status == 422
    assert answer.body["detail"][0]["loc"][:2] == ["body", where]
    assert [dataclasses.astuple(key) for key in api.engine.api_keys.list(api.home)] == [
        dataclasses.astuple(key) for key in before
    ]


def test_key_when_it_is_made_for_deployments_then_answers_and_listings_name_each_once(api: Api) -> None:
    """A deployment may be named before its first worker registers; 50 fit."""
    many = [f"d{number}" for number in range(50)]
    made = api.call("POST", "/v1/keys", {"name": "fleet", "role": "worker", "deployments": ["shop", "shop", "pay.v2"]})
    assert (made.status, made.body["deployments"]) == (200, ["shop", "pay.v2"])
    assert api.call("POST", "/v1/keys", {"name": "many", "role": "worker", "deployments": many}).status == 200
    listed = {row["name"]: row["deployments"] for row in api.call("GET", "/v1/keys").body["keys"]}
    assert (listed["fleet"], listed["many"], listed["worker"]) == (["shop", "pay.v2"], many, [])
