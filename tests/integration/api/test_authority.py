"""The authority matrix: every route, every kind of key, whatever the request says that it is about.

Its requests are those of `test_auth`, which a test there holds to the table of endpoints.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from levante_core.protocol.activities import AttemptRef
from levante_core.protocol.task_tokens import token_of
from tests.integration.api.harness import HOLDERS, Answer, Api, build
from tests.integration.api.test_auth import EVERYTHING, OPEN, RUN, TOKEN, TOKEN_HOLDER, WORKERS, Stocked

Route: TypeAlias = tuple[str, str]
WHOAMI = ("GET", f"{WORKERS}/whoami")
BY_THEIR_IDS = {route for route, body in EVERYTHING.items() if "{run}" in str(body) or TOKEN in str(body)}
"""Routes whose bodies name a run: what counts is the run's deployment, whatever a body says besides."""
NOBODY = (None, "unknown", "revoked")

BAD_TOKENS: Mapping[str, Callable[[Stocked], str]] = {
    "no token": lambda _: "no-token",
    "of a run that there is not": lambda stocked: token_of(
        AttemptRef.model_validate(attempt(stocked, run_id="00000000-0000-0000-0000-000000000000"))
    ),
}
"""Tokens that end nothing, by what is wrong with them."""


def attempt(stocked: Stocked, **other: Any) -> dict[str, Any]:
    """Name the attempt that the installation is stocked with, or one that differs."""
    return {**RUN, "run_id": stocked.names["{run}"], "seq": 1, "scheduled_in": 1, "attempt": 1, **other}


class Guarded:
    """An installation that tells whether anything in it has changed."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.stocked = Stocked(api)
        api.register("part", deployment="other")
        self.run_elsewhere = api.start("e2", "part")["run_id"]
        self.operations = self.stocked.operations()

    def rows(self) -> list[str]:
        """Return all that is stored."""
        with closing(sqlite3.connect(self.api.directory / "items.db")) as connection:
            return list(connection.iterdump())

    def is_allowed(self, route: Route, key: str | None) -> bool:
        """Say what the document says: whether a key may send what the matrix has for a route."""
        if route in OPEN:
            return True
        if key in NOBODY or key is None:
            return False
        holder, operation = HOLDERS[key], self.operations[route]
        if holder.role not in operation["x-levante-roles"]:
            return False
        is_for_another = key == "elsewhere" and route != WHOAMI
        return not holder.deployments or (bool(operation["x-levante-bound-keys"]) and not is_for_another)

    def send(self, route: Route, key: str | None, **replaced: str) -> Answer:
        """Send what the matrix has for a route. replaced: texts of the body, by the text that takes their place."""
        sent = self.stocked.event(route, key)
        for to, text in replaced.items():
            sent["body"] = sent["body"].replace(text, to)
        return self.api.send(sent)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    directory: Path = tmp_path_factory.mktemp("authority")
    api = build(directory)
    yield Guarded(api)
    for close in api.closers:
        close()


def test_worker_routes_when_they_do_not_say_what_they_are_about_then_bound_keys_may_only_not_read(guarded: Guarded) -> None:
    """Each route that a worker works with finds the deployments of its requests. A route that is new has to as well."""
    said = {route: one["x-levante-bound-keys"] for route, one in guarded.operations.items() if "x-levante-bound-keys" in one}
    assert said.keys() == {route for route, one in guarded.operations.items() if "worker" in one.get("x-levante-roles", ())}
    assert {route for route, is_bound in said.items() if is_bound} == {
        WHOAMI,
        *(route for route in said if route[0] != "GET"),
    }


def test_viewers_when_they_may_use_a_route_then_it_is_one_that_reads(guarded: Guarded) -> None:
    """A viewer changes nothing, and reads all that is not about keys."""
    viewed = {route for route, one in guarded.operations.items() if "viewer" in one.get("x-levante-roles", ())}
    assert viewed == {route for route in EVERYTHING if route[0] == "GET" and route[1] != "/v1/keys"}


@pytest.mark.parametrize("key", [*NOBODY, *HOLDERS])
def test_calls_when_refused_then_the_answer_says_so_and_nothing_has_changed(guarded: Guarded, key: str | None) -> None:
    """The matrix: a refusal is 401 without a good key, 403 for what the key is not for, and comes before any write."""
    before = guarded.rows()
    for route in (route for route in EVERYTHING if not guarded.is_allowed(route, key)):
        answer = guarded.send(route, key)
        assert answer.status == (401 if key in NOBODY else 403), (route, answer)
        assert guarded.rows() == before, route


@pytest.mark.parametrize("key", [key for key, holder in HOLDERS.items() if holder.workspace == "home" and key != "revoked"])
def test_calls_when_the_key_is_for_them_then_they_are_not_refused(api: Api, key: str) -> None:
    """Nothing that a key is for is refused to it."""
    guarded = Guarded(api)
    for route in EVERYTHING:
        if guarded.is_allowed(route, key):
            assert guarded.send(route, key).status not in (401, 403, 405, 422, 500), route


@pytest.mark.parametrize("key", [key for key, holder in HOLDERS.items() if holder.workspace == "away"])
def test_calls_when_the_key_is_of_another_workspace_then_nothing_of_this_one_changes(api: Api, key: str) -> None:
    """Names and ids of one workspace mean nothing in another, whatever the role and the deployments of a key."""
    guarded = Guarded(api)
    before = guarded.stocked.looked_at()
    for route in EVERYTHING:
        assert guarded.send(route, key).status < 500, route
    assert guarded.stocked.looked_at() == before


@pytest.mark.parametrize("route", sorted(BY_THEIR_IDS - TOKEN_HOLDER.keys()), ids="-".join)
def test_bound_key_when_it_names_its_deployment_and_a_run_of_another_then_403_and_nothing_changes(
    guarded: Guarded, route: Route
) -> None:
    """What a body says of the deployment is a claim; the run's own deployment decides."""
    before = guarded.rows()
    answer = guarded.send(route, "elsewhere", other="prod")
    assert (answer.status, answer.body["code"]) == (403, "FORBIDDEN"), answer
    assert guarded.rows() == before


@pytest.mark.parametrize("route", sorted(BY_THEIR_IDS - TOKEN_HOLDER.keys()), ids="-".join)
def test_bound_key_when_it_joins_its_own_execution_and_a_run_of_another_then_nothing_changes(
    guarded: Guarded, route: Route
) -> None:
    """A run is found by both of its ids; histories are kept by the run's alone."""
    before = guarded.rows()
    answer = guarded.send(route, "elsewhere", other="prod", e2="e1")
    assert answer.status in (200, 403, 404), answer
    assert guarded.stocked.names["{run}"] not in str(answer.body) or answer.status != 200
    assert guarded.rows() == before


@pytest.mark.parametrize("run", ["{run}", "00000000-0000-0000-0000-000000000000"])
@pytest.mark.parametrize("what", ["commits", "reports"])
def test_bound_key_when_a_run_is_not_of_its_execution_then_what_goes_by_the_run_alone_is_404(
    guarded: Guarded, what: str, run: str
) -> None:
    """A batch that ends nothing, and an outcome, are kept under the run's id, whatever the execution's."""
    of = {**RUN, "execution_id": "e2", "deployment_name": "other", "run_id": guarded.stocked.names.get(run, run)}
    events = [{"kind": "timer_started", "seq": 1, "fire_at": "2030-01-01T00:00:00Z"}]
    path, body = {
        "commits": ("commits", {"commits": [{**of, "batch": {"index": 1, "commit_id": "x", "events": events}}]}),
        "reports": (
            "activity-reports",
            {"reports": [{**of, "seq": 1, "scheduled_in": 1, "attempt": 1, "result": "forged"}]},
        ),
    }[what]
    before = guarded.rows()
    answer = guarded.api.call("POST", f"{WORKERS}/{path}", body, key="elsewhere")
    assert (answer.status, guarded.rows()) == (404, before), answer


@pytest.mark.parametrize("route", sorted(TOKEN_HOLDER), ids="-".join)
def test_bound_key_when_it_has_a_token_that_lies_about_its_deployment_then_403_and_nothing_changes(
    guarded: Guarded, route: Route
) -> None:
    """A token that names the key's deployment, and a run of another one, is good for nothing."""
    before = guarded.rows()
    lying = token_of(AttemptRef.model_validate(attempt(guarded.stocked, deployment_name="other")))
    answer = guarded.send(route, "elsewhere", **{lying: guarded.stocked.names[TOKEN]})
    assert (answer.status, guarded.rows()) == (403, before)


@pytest.mark.parametrize("key", ["client", "worker", "bound", "admin"])
@pytest.mark.parametrize("wrong", BAD_TOKENS)
@pytest.mark.parametrize("route", sorted(TOKEN_HOLDER), ids="-".join)
def test_token_when_it_is_not_good_then_nothing_ends_and_nothing_changes(
    guarded: Guarded, route: Route, wrong: str, key: str
) -> None:
    """Whoever has a key of the workspace still needs the token of the attempt."""
    before = guarded.rows()
    answer = guarded.send(route, key, **{BAD_TOKENS[wrong](guarded.stocked): guarded.stocked.names[TOKEN]})
    is_refused = answer.status in (403, 404, 422)
    assert is_refused or answer.body in ({"is_accepted": False}, {"is_wanted": False}), answer
    assert guarded.rows() == before


@pytest.mark.parametrize("name", ["prod@v1", "prod~session", "prod@v1~session", "prod-2"])
def test_bound_key_when_it_asks_for_a_build_or_a_session_of_its_deployment_then_it_may(guarded: Guarded, name: str) -> None:
    """Builds and sessions belong to the deployment."""
    request = {"deployment_name": name, "worker_id": "w", "queue": "activity", "wait_seconds": 0}
    assert guarded.api.call("POST", f"{WORKERS}/poll", request, key="bound").status == 200


@pytest.mark.parametrize("name", ["other", "other@prod", "other~prod", "prod-3", "prod.2", "Prod"])
def test_bound_key_when_it_asks_for_tasks_of_another_deployment_then_403_names_its_own(guarded: Guarded, name: str) -> None:
    """Whoever runs a worker with the wrong key learns which one it is for."""
    request = {"deployment_name": name, "worker_id": "w", "queue": "workflow", "wait_seconds": 0}
    answer = guarded.api.call("POST", f"{WORKERS}/poll", request, key="bound")
    assert (answer.status, answer.body["code"]) == (403, "FORBIDDEN")
    assert "'prod', 'prod-2'" in answer.body["detail"]


def test_task_when_a_bound_key_hands_it_back_for_another_deployment_then_403(guarded: Guarded) -> None:
    """What is handed back is sent again: that is no way into another deployment's queue."""
    task = {**RUN, "run_id": guarded.stocked.names["{run}"], "workspace": "home", "kind": "workflow_task"}
    returned = {"receipt": "r", "task": {**task, "fresh_at": "2026-01-01T00:00:00Z"}}
    request = {"deployment_name": "other", "queue": "workflow", "hand_back": [returned]}
    assert guarded.api.call("POST", f"{WORKERS}/leases", request, key="elsewhere").status == 403


def test_run_when_its_execution_has_gone_on_with_another_one_then_its_own_deployment_decides(api: Api) -> None:
    """An id may be used again by another deployment; what was there before stays that of its own."""
    guarded = Guarded(api)
    api.complete("e1", {"secret": True})
    api.start("e1", "part")
    load = {"execution_id": "e1", "run_id": guarded.stocked.names["{run}"]}
    statuses = {key: api.call("POST", f"{WORKERS}/load", load, key=key).status for key in ("bound", "elsewhere", "worker")}
    assert statuses == {"bound": 200, "elsewhere": 403, "worker": 200}


NAMING = sorted(route for route, body in EVERYTHING.items() if '"prod"' in json.dumps(body))
"""Routes whose bodies name a deployment."""
NO_NAMES = ("prod#x", "prod/x", "prod@", "prod~", "prod@v@v", "a b", "x" * 600)


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("route", NAMING, ids="-".join)
def test_deployment_when_its_name_is_out_of_form_then_422_and_nothing_changes(
    guarded: Guarded, route: Route, name: str
) -> None:
    """A name is checked wherever it comes in: it becomes part of keys and of queues' names."""
    before = guarded.rows()
    answer = guarded.send(route, "admin", **{f'"{name}"': '"prod"'})
    assert answer.status == 422, answer
    assert "deployment" in str(answer.body["detail"])
    assert guarded.rows() == before


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("kind", ["workflow_task", "activity_task"])
def test_task_when_it_is_handed_back_to_a_name_out_of_form_then_422(guarded: Guarded, kind: str, name: str) -> None:
    """Tasks that come back are checked like everything else."""
    numbers = {"seq": 1, "scheduled_in": 1, "attempt": 1} if kind == "activity_task" else {}
    task = {**RUN, "workspace": "home", "deployment_name": name, "kind": kind, "fresh_at": "2026-01-01T00:00:00Z", **numbers}
    request = {"deployment_name": "prod", "queue": "workflow", "hand_back": [{"receipt": "r", "task": task}]}
    answer = guarded.api.call("POST", f"{WORKERS}/leases", request, key="worker")
    assert (answer.status, answer.body["detail"][0]["loc"][:3]) == (422, ["body", "hand_back", 0])
