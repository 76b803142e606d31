"""Parked items over the API: listed, tried again, dropped, and shown by the status of their execution."""

from typing import Any

import pytest

from levante_core.domain.names import ExecutionId, RunId
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import InconsistentHistory
from levante_core.services.dispatch import parking
from levante_core.storage.parked import NOBODY, Owner, ParkedKind
from levante_dispatcher.handlers import build_handlers
from tests.integration.api.harness import HOME, Api

SECRET = "a payload that nobody may see"


def parked(api: Api, number: int = 0, owner: Owner | None = None) -> str:
    """Park a message that cannot be read."""
    whose = owner or Owner(HOME, ExecutionId("e1"), RunId("r1"), WorkerPool.parse("prod"))
    error = InconsistentHistory("batch 7 is where batch 3 should be")
    return api.engine.parking.park(ParkedKind.TIMER, whose, f"{SECRET}{number}", error).parked_id


def test_parked_when_listed_then_all_is_told_but_the_content(api: Api) -> None:
    """Operators see what it is, whose it is, what is wrong and when it is tried again; payloads stay where they are."""
    name = parked(api)
    answer = api.call("GET", "/v1/parked")
    now = answer.body["parked"][0]["since"]
    expected = {"kind": "timer", "execution_id": "e1", "run_id": "r1", "deployment_name": "prod", "count": 1, "since": now}
    (item,) = answer.body["parked"]
    assert item.items() >= {**expected, "parked_id": name, "failed_at": now}.items()
    assert item["error"] == "InconsistentHistory: batch 7 is where batch 3 should be"
    assert item["retry_at"] > now
    assert (answer.body["count"], answer.body["next_cursor"]) == (1, None)
    assert SECRET not in str(answer)


def test_parked_when_there_are_many_then_pages_have_each_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing is bounded, and goes on where it ended; what is nobody's comes last."""
    monkeypatch.setattr(parking, "MOST_LISTED", 2)
    names = {parked(api, number) for number in range(5)} | {parked(api, 9, Owner(NOBODY))}
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 100}
    while True:
        body = api.call("GET", "/v1/parked", query=query).body
        assert body["count"] == len(names)
        seen += [one["parked_id"] for one in body["parked"]]
        if body["next_cursor"] is None:
            break
        query = {"limit": 100, "cursor": body["next_cursor"]}
    assert (len(seen), set(seen)) == (len(names), names)


@pytest.mark.parametrize("cursor", ["x", "own:x", "other:"])
def test_parked_when_the_cursor_is_none_then_422(api: Api, cursor: str) -> None:
    """Only a page says where the next one begins."""
    assert api.call("GET", "/v1/parked", query={"cursor": cursor}).status == 422


def test_parked_when_it_is_another_workspaces_then_nobody_else_sees_or_touches_it(api: Api) -> None:
    """Invariant 9; what says of no workspace whose it is can be seen by every admin, as somebody has to."""
    name, nobodys = parked(api), parked(api, 1, Owner(NOBODY))
    listed = api.call("GET", "/v1/parked", key="stranger").body
    assert ([one["parked_id"] for one in listed["parked"]], listed["count"]) == ([nobodys], 1)
    assert api.call("POST", f"/v1/parked/{name}/retry", {}, key="stranger").status == 404
    assert api.call("DELETE", f"/v1/parked/{name}", key="stranger").status == 404
    assert api.call("DELETE", f"/v1/parked/{nobodys}", key="stranger").status == 204
    assert api.call("GET", "/v1/parked").body["count"] == 1


@pytest.mark.parametrize("key", ["client", "worker"])
def test_parked_when_the_key_is_no_admins_then_403(api: Api, key: str) -> None:
    """It is for operators."""
    assert api.call("GET", "/v1/parked", key=key).status == 403
    assert api.call("POST", "/v1/parked/retry", {}, key=key).status == 403
    assert api.call("POST", "/v1/parked/x/retry", {}, key=key).status == 403
    assert api.call("DELETE", "/v1/parked/x", key=key).status == 403


def test_parked_when_dropped_then_it_is_gone_and_a_repeat_finds_nothing(api: Api) -> None:
    """What is dropped is not done, and counts no more."""
    name = parked(api)
    assert api.call("DELETE", f"/v1/parked/{name}").status == 204
    assert api.call("DELETE", f"/v1/parked/{name}").status == 404
    assert api.call("POST", f"/v1/parked/{name}/retry", {}).status == 404
    assert api.call("GET", "/v1/parked").body == {"parked": [], "count": 0, "next_cursor": None}


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/v1/parked/<one>/retry", "/v1/parked/retry", "/v1/redrive"])
def test_parked_when_its_tries_are_used_up_then_it_waits_until_it_is_asked_for(api: Api, path: str) -> None:
    """It is tried less and less often, then only by hand or by redrive, and is never lost."""
    name = parked(api)
    sweep = build_handlers(api.engine, lambda item: item).sweep
    tries = 1
    for _ in range(24 * 60):
        api.clock.advance(60)
        sweep({}, None)
    (item,) = api.call("GET", "/v1/parked").body["parked"]
    assert (item["count"], item["retry_at"]) == (parking.MOST_TRIES, None)
    body: dict[str, Any] = {}
    while True:
        answer = api.call("POST", path.replace("<one>", name), body)
        assert answer.status in {200, 204}
        if not answer.body or answer.body["next"] is None:
            break
        body = {"after": answer.body["next"]}
    sweep({}, None)
    (item,) = api.call("GET", "/v1/parked").body["parked"]
    assert item["count"] == parking.MOST_TRIES + tries
    assert item["retry_at"] is not None


def test_execution_when_something_of_it_is_parked_then_its_status_says_so_until_it_is_gone(api: Api) -> None:
    """Who asks how an execution is learns that something of it is stuck; for others there is nothing, at no cost."""
    api.register("greet")
    api.start("e1")
    api.start("e2")
    name = parked(api)
    status = api.call("GET", "/v1/workflows/executions/e1", key="client").body
    assert [one["parked_id"] for one in status["parked"]] == [name]
    assert api.call("GET", "/v1/workflows/executions/e2", key="client").body["parked"] is None
    assert api.call("DELETE", f"/v1/parked/{name}").status == 204
    assert api.call("GET", "/v1/workflows/executions/e1", key="client").body["parked"] is None


@pytest.mark.parametrize(("most", "is_one_enough"), [(6, True), (1, False)])
def test_parked_when_there_are_more_than_a_sweep_tries_then_the_next_ones_go_on(
    api: Api, monkeypatch: pytest.MonkeyPatch, *, most: int, is_one_enough: bool
) -> None:
    """So many of each of four shards; with each sweep others have their turn."""
    monkeypatch.setattr(parking, "RETRIED_AT_ONCE", most)
    names = {parked(api, number) for number in range(6)}
    api.clock.advance(3600)
    tried: list[str] = []
    sweeps = 0
    while set(tried) < names and sweeps < 7:
        api.engine.parking.retry_due(lambda item, _: tried.append(item.parked_id))
        sweeps += 1
    assert sorted(tried) == sorted(names)
    assert (sweeps == 1) is is_one_enough
    monkeypatch.setattr(parking, "RETRIED_AT_ONCE", 100)
    assert api.call("GET", "/v1/parked").body["count"] == 0
