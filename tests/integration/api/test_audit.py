"""The audit trail: no change by hand without an entry, and no payload or secret in one."""

from datetime import timedelta
from typing import Any

import pytest

from levante_api import app
from levante_api.http import endpoints
from levante_api.http.endpoints import Endpoint
from levante_core.domain.frozen import wire_time
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Put, Query
from levante_core.storage import keys
from levante_core.storage.catalogue import Role
from tests.integration.api.harness import Api

IN_HISTORIES = {
    "execute_workflow",
    "execute_workflow_registration",
    "signal_workflow_execution",
    "update_workflow_execution",
    "query_workflow_execution",
    "preview_batch",
}
"""Operations of clients that the history of an execution tells, or that change nothing. So do those that workers may use."""


def entries(api: Api, **query: Any) -> list[dict[str, Any]]:
    """Return the entries, the newest first."""
    answer = api.call("GET", "/v1/audit", query=query)
    assert answer.status == 200, answer
    listed: list[dict[str, Any]] = answer.body["entries"]
    return listed


def test_endpoints_when_people_change_something_by_them_then_the_trail_keeps_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint that is new has to say what is kept of it."""
    mounted: list[Endpoint] = []

    def mount(*of_app: Any) -> list[Endpoint]:
        mounted.extend(endpoints.mount(*of_app))
        return mounted

    monkeypatch.setattr(app, "mount", mount)
    app.create_app(api.engine, app.ApiSettings())
    changes = {
        endpoint.operation: endpoint.audits is not None
        for endpoint in mounted
        if endpoint.method != "GET" and endpoint.roles is not None and Role.WORKER not in endpoint.roles
        if not endpoint.is_refused
    }
    assert {operation for operation, is_kept in changes.items() if not is_kept} == IN_HISTORIES


def test_change_when_it_is_made_then_the_trail_says_who_when_and_what(api: Api) -> None:
    """With the key's name, for a key may be gone when somebody asks."""
    api.register("greet")
    api.start("one")
    api.clock.advance(5)
    assert api.call("POST", "/v1/workflows/executions/one/terminate", key="client").status == 204
    (entry,) = entries(api)
    assert entry.pop("audit_id")
    assert entry.pop("key_id")
    assert entry == {
        "at": wire_time(api.clock.now()),
        "key_name": "client",
        "role": "client",
        "operation": "terminate_workflow_execution",
        "target": {"execution_id": "one"},
        "details": {},
        "refused_with": None,
    }


def test_change_when_it_is_refused_then_the_trail_says_so(api: Api) -> None:
    """Who tries what is impossible is of interest, too."""
    assert api.call("POST", "/v1/workflows/executions/none/terminate").status == 404
    assert [(entry["target"], entry["refused_with"]) for entry in entries(api)] == [({"execution_id": "none"}, 404)]


def test_call_when_it_never_reaches_a_change_then_the_trail_has_nothing(api: Api) -> None:
    """A body that is wrong, and a role that may not."""
    assert api.call("POST", "/v1/keys", {"name": "x"}).status == 422
    assert api.call("POST", "/v1/keys", {"name": "x", "role": "client"}, key="client").status == 403
    assert entries(api) == []


def test_key_when_it_is_made_then_the_trail_names_what_it_may_and_no_secret(api: Api) -> None:
    """An entry is for eyes that may not see secrets."""
    made = api.call("POST", "/v1/keys", {"name": "fleet", "role": "worker", "deployments": ["shop"]})
    (entry,) = entries(api)
    assert entry["details"] == {"name": "fleet", "role": "worker", "deployments": '["shop"]'}
    assert made.body["secret"] not in str(entry)


def test_schedule_when_it_is_made_with_an_input_then_the_trail_keeps_none_of_it(api: Api) -> None:
    """Payloads stay where they belong."""
    api.register("greet")
    schedule = {"input": {"a": 4111}, "intervals": [{"every": "PT1H"}]}
    body = {"schedule": schedule, "workflow_identifier": "greet", "schedule_id": "hourly"}
    assert api.call("POST", "/v1/workflows/schedules", body).status == 201
    api.clock.advance(1)
    assert api.call("POST", "/v1/workflows/schedules/hourly/pause", {"note": "holidays"}).status == 204
    pause, made = entries(api)
    assert (pause["details"], pause["target"]) == ({"note": "holidays"}, {"schedule_id": "hourly"})
    assert made["details"] == {"schedule_id": "hourly", "workflow_identifier": "greet"}
    assert "4111" not in str(made)


def test_change_when_the_trail_cannot_be_written_then_nothing_is_changed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry comes first: whatever is changed is in it."""
    api.register("greet")
    api.start("one")

    def fails(*_: Any) -> None:
        raise Unavailable("busy")

    with monkeypatch.context() as patched:
        patched.setattr(type(api.engine.audit), "record", fails)
        assert api.call("POST", "/v1/workflows/executions/one/terminate").status == 503
    assert api.call("GET", "/v1/workflows/executions/one").body["status"] == "RUNNING"


def test_change_when_it_is_refused_and_that_cannot_be_noted_then_the_caller_hears_why_it_was_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What went wrong second does not hide what went wrong first."""

    def fails(*_: Any) -> None:
        raise Unavailable("busy")

    monkeypatch.setattr(type(api.engine.audit), "refused", fails)
    assert api.call("POST", "/v1/workflows/executions/none/terminate").status == 404


def test_trail_when_filtered_and_paged_then_each_entry_comes_once_and_in_order(api: Api) -> None:
    """By time, key and kind of change."""
    began = api.clock.now()
    for number in range(5):
        api.clock.advance(60)
        api.call("POST", f"/v1/workflows/executions/e{number}/terminate", key=("client", "admin")[number % 2])
    api.clock.advance(60)
    api.call("POST", "/v1/parked/retry", {})
    everything = entries(api)
    pages: list[Any] = []
    query: dict[str, Any] = {"limit": 2}
    for _ in range(3):
        page = api.call("GET", "/v1/audit", query=query).body
        pages += page["entries"]
        query["cursor"] = page["next_cursor"]
    assert (pages, query["cursor"]) == (everything, None)
    assert [entry["target"].get("execution_id") for entry in everything] == [None, "e4", "e3", "e2", "e1", "e0"]
    window = {"since": (began + timedelta(minutes=2)).isoformat(), "until": (began + timedelta(minutes=4)).isoformat()}
    assert [entry["target"]["execution_id"] for entry in entries(api, **window)] == ["e2", "e1"]
    assert [entry["target"].get("execution_id") for entry in entries(api, key_id="current")] == [None, "e3", "e1"]
    assert [entry["role"] for entry in entries(api, operation="retry_all_parked")] == ["admin"]


def test_trail_when_another_workspace_asks_then_it_has_none_of_it(api: Api) -> None:
    """Each workspace has its own."""
    api.call("POST", "/v1/parked/retry", {})
    assert api.call("GET", "/v1/audit", key="stranger").body["entries"] == []


def test_entry_when_it_is_damaged_then_the_others_are_listed(api: Api) -> None:
    """As in every listing."""
    api.call("POST", "/v1/parked/retry", {})
    api.clock.advance(1)
    api.call("POST", "/v1/redrive", {})
    store = api.engine.audit._store
    item = store.query(Query(keys.audit(api.home))).items[0]
    store.write(Put(type(item)(item.key, {**item.attributes, "role": "king"})))
    assert [entry["operation"] for entry in entries(api)] == ["redrive"]
