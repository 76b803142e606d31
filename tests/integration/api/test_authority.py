"""The authority matrix: every route, every kind of key, whatever the request says that it is about.

Its requests are those of `test_auth`, which a test there holds to the table of endpoints.
"""

import json
import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest

from levante_core.domain.names import Workspace
from levante_core.protocol.capabilities import Capability
from levante_local.http.admission import OPEN
from tests.integration.api.harness import AWAY, HOME, KEY_HOLDERS, Answer, Api, build, completed, outcomes
from tests.integration.api.test_auth import BATCH, EVERYTHING, PREVIEW, WORKERS, Stocked

Route: TypeAlias = tuple[str, str]
WHOAMI = ("GET", f"{WORKERS}/whoami")
TOKENS = ("{token}", "{run_token}", "{commit_token}")
BY_TOKEN = sorted(route for route, body in EVERYTHING.items() if any(token in str(body) for token in TOKENS))
"""Routes whose bodies have the token of a run or an attempt."""
NOBODY = (None, "unknown", "revoked")

Forge: TypeAlias = Callable[["Guarded", str], str]


def _shortened(_: "Guarded", token: str) -> str:
    return token[:-2]


def _widened(_: "Guarded", token: str) -> str:
    """Write other claims under the mac of a good token."""
    version, kind, claims, *rest = token.split(".")
    said = json.loads(urlsafe_b64decode(claims + "=="))
    said[1] = "e2"
    return ".".join([version, kind, urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("="), *rest])


def _of_another_key(guarded: "Guarded", token: str) -> str:
    """Sign the same with a key that is not the installation's."""
    taken_apart = Capability.parse(token)
    return str(Capability.signed(taken_apart.version, b"guessed", taken_apart.statements[0]))


def _of_another_workspace(guarded: "Guarded", token: str) -> str:
    return guarded.token_like(token, workspace=AWAY)


def _of_another_kind(guarded: "Guarded", _: str) -> str:
    return guarded.api.engine.capabilities.sign("cursor", ("home", "e1"))


FORGERIES: Mapping[str, Forge] = {
    "no token": lambda _, __: "no-token",
    "as it was before tokens were signed": lambda guarded, _: unsigned(guarded),
    "shortened": _shortened,
    "widened": _widened,
    "of another key": _of_another_key,
    "of another workspace": _of_another_workspace,
    "of another kind": _of_another_kind,
}
"""Makes tokens that are good for nothing, of good ones."""


def unsigned(guarded: "Guarded") -> str:
    """Write what a token once was: the names of an attempt."""
    names = {"execution_id": "e1", "run_id": guarded.stocked.names["{run}"], "deployment_name": "prod"}
    numbers = {"seq": 1, "scheduled_in": 1, "attempt": 1}
    return urlsafe_b64encode(json.dumps({**names, **numbers}).encode()).decode().rstrip("=")


def said_no(answer: Answer) -> bool:
    """Tell whether a call has been refused, or answered with that nothing has come of it."""
    if answer.status != 200:
        return answer.status in (403, 404, 422)
    match answer.body:
        case {"results": [{"outcome": "refused"}]} | {"results": [{"stale": True}]}:
            return True
        case {"results": [{"last_sequence": None}]} | {"is_accepted": False} | {"is_wanted": False}:
            return True
        case _:
            return False


class Guarded:
    """An installation that tells whether anything in it has changed."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.stocked = Stocked(api)
        api.register("part", deployment="other")
        self.run_elsewhere = api.start("e2", "part")["run_id"]
        self.operations = self.stocked.operations()

    def token_like(
        self, token: str, *, workspace: Workspace = HOME, run_id: str | None = None, deployment: str = "prod"
    ) -> str:
        """Make a token of the same kind as this one, which says something else."""
        (statement,) = Capability.parse(token).statements
        _, execution_id, run, _, *numbers = statement.read()
        claims = (workspace, execution_id, run_id or run, deployment, *numbers)
        return self.api.engine.capabilities.sign(statement.kind, claims)

    def send_forged(self, route: Route, key: str | None, forge: Forge) -> Answer:
        """Send what the matrix has for a route, with another token."""
        sent = self.stocked.event(route, key)
        for good in (self.stocked.names[token] for token in TOKENS):
            sent["body"] = sent["body"].replace(good, forge(self, good))
        return self.api.send(sent)

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
        holder, operation = KEY_HOLDERS[key], self.operations[route]
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
    assert viewed == {*PREVIEW, *(route for route in EVERYTHING if route[0] == "GET" and route[1] != "/v1/keys")}


@pytest.mark.parametrize("key", [*NOBODY, *KEY_HOLDERS])
def test_calls_when_refused_then_the_answer_says_so_and_nothing_has_changed(guarded: Guarded, key: str | None) -> None:
    """The matrix: a refusal is 401 without a good key, 403 for what the key is not for, and comes before any write."""
    before = guarded.rows()
    for route in (route for route in EVERYTHING if not guarded.is_allowed(route, key)):
        answer = guarded.send(route, key)
        assert answer.status == (401 if key in NOBODY else 403), (route, answer)
        assert guarded.rows() == before, route


@pytest.mark.slow
@pytest.mark.parametrize(
    "key", [key for key, holder in KEY_HOLDERS.items() if holder.workspace == "home" and key != "revoked"]
)
def test_calls_when_the_key_is_for_them_then_they_are_not_refused(api: Api, key: str) -> None:
    """Nothing that a key is for is refused to it."""
    guarded = Guarded(api)
    for route in EVERYTHING:
        if guarded.is_allowed(route, key):
            assert guarded.send(route, key).status not in (401, 403, 405, 422, 500), route


@pytest.mark.slow
@pytest.mark.parametrize("key", [key for key, holder in KEY_HOLDERS.items() if holder.workspace == "away"])
def test_calls_when_the_key_is_of_another_workspace_then_nothing_of_this_one_changes(api: Api, key: str) -> None:
    """Names and ids of one workspace mean nothing in another, whatever the role and the deployments of a key."""
    guarded = Guarded(api)
    before = guarded.stocked.looked_at()
    for route in EVERYTHING:
        assert guarded.send(route, key).status < 500, route
    assert guarded.stocked.looked_at() == before


@pytest.mark.parametrize("route", BY_TOKEN, ids="-".join)
def test_bound_key_when_its_token_is_for_another_deployment_then_403_and_nothing_changes(
    guarded: Guarded, route: Route
) -> None:
    """Whatever a body says besides, its token says which deployment it is about."""
    before = guarded.rows()
    answer = guarded.send(route, "elsewhere", other="prod")
    assert (answer.status, answer.body["code"]) == (403, "FORBIDDEN"), answer
    assert guarded.rows() == before


@pytest.mark.broad
@pytest.mark.parametrize("key", ["worker", "bound", "admin", "strange-worker", "stranger"])
@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("route", BY_TOKEN, ids="-".join)
def test_token_when_it_is_not_good_then_nothing_comes_of_it_and_nothing_changes(
    guarded: Guarded, route: Route, forgery: str, key: str
) -> None:
    """Invariant 13: whoever has a key still needs what was given with the task."""
    if forgery == "of another workspace" and KEY_HOLDERS[key].workspace == AWAY:
        forgery = "widened"  # the installation alone could sign a token for theirs
    before = guarded.rows()
    answer = guarded.send_forged(route, key, FORGERIES[forgery])
    assert said_no(answer), answer
    assert guarded.rows() == before


@pytest.mark.broad
@pytest.mark.parametrize("key", ["strange-worker", "strange-bound", "stranger"])
@pytest.mark.parametrize("route", BY_TOKEN, ids="-".join)
def test_token_when_a_key_of_another_workspace_has_it_then_nothing_comes_of_it(
    guarded: Guarded, route: Route, key: str
) -> None:
    """A token that has got out opens nothing from elsewhere."""
    before = guarded.rows()
    assert said_no(guarded.send(route, key))
    assert guarded.rows() == before


@pytest.mark.parametrize("index", [2, 7, 99_999_999])
def test_commit_when_its_batch_is_not_the_next_one_then_it_is_refused_and_nothing_changes(
    guarded: Guarded, index: int
) -> None:
    """No gaps and no far indices: there is no token for such a batch."""
    commit = {"token": guarded.stocked.names["{commit_token}"], "batch": {**BATCH, "index": index}}
    before = guarded.rows()
    answer = guarded.api.call("POST", f"{WORKERS}/commits", {"commits": [commit]}, key="worker")
    assert (outcomes(answer), answer.body["results"][0]["token"]) == (["refused"], None)
    assert guarded.rows() == before


def test_commit_when_only_loading_was_granted_then_it_is_refused(guarded: Guarded) -> None:
    """The task of a run that has begun lets load it: what is recorded decides what may follow."""
    commit = {"token": guarded.stocked.names["{run_token}"], "batch": BATCH}
    before = guarded.rows()
    answer = guarded.api.call("POST", f"{WORKERS}/commits", {"commits": [commit]}, key="worker")
    assert (outcomes(answer), guarded.rows()) == (["refused"], before)


def test_commit_when_the_run_has_ended_then_what_was_granted_before_is_good_no_more(api: Api) -> None:
    """Nothing follows the end, whoever ended the run, and however old a token is."""
    api.register("greet")
    for execution_id in ("finished", "terminated"):
        api.start(execution_id)
    tasks = {one["task"]["execution_id"]: one for one in api.poll()}
    assert outcomes(api.commit(tasks["finished"], completed(None))) == ["recorded"]
    assert api.call("POST", "/v1/workflows/executions/terminated/terminate").status == 204
    for delivered in tasks.values():
        for index in (1, 2):
            commit = {"token": api.run_token(delivered["task"], index), "batch": {**BATCH, "index": index}}
            granted = {**commit, "token": delivered["task"]["token"]}
            for sent in (granted, commit) if index == 1 else (granted,):
                answer = api.call("POST", f"{WORKERS}/commits", {"commits": [sent]}, key="worker")
                assert outcomes(answer) in (["conflict"], ["refused"])
        load = api.call("POST", f"{WORKERS}/load", {"token": delivered["task"]["token"]}, key="worker").body
        assert load["token"] is None


def test_receipt_when_it_is_made_up_or_of_another_queue_then_it_ends_no_lease(api: Api) -> None:
    """A lease is kept, ended and handed back by who was given the task."""
    api.register("greet", deployment="prod")
    api.register("greet", deployment="other")
    api.start("e1", deployment_name="prod")
    (delivered,) = api.poll()
    raw = api.engine.capabilities.received(delivered["receipt"]).receipt
    for deployment, receipt in (("other", delivered["receipt"]), ("prod", raw), ("prod", delivered["receipt"][:-2])):
        for use in ("extend", "done"):
            leases = {"deployment_name": deployment, "queue": "workflow", use: [receipt]}
            lost = api.call("POST", f"{WORKERS}/leases", leases, key="worker").body["lost"]
            assert lost == ([receipt] if use == "extend" else [])
    leases = {"deployment_name": "prod", "queue": "workflow", "extend": [delivered["receipt"]]}
    assert api.call("POST", f"{WORKERS}/leases", leases, key="worker").body == {"lost": []}


@pytest.mark.parametrize("name", ["prod@v1", "prod~session", "prod@v1~session", "prod-2"])
def test_bound_key_when_it_asks_for_a_build_or_a_session_of_its_deployment_then_it_may(guarded: Guarded, name: str) -> None:
    """Builds and sessions belong to the deployment: the request gets so far that their absence is told."""
    request = {"deployment_name": name, "worker_id": "w", "queue": "activity", "wait_seconds": 0}
    answer = guarded.api.call("POST", f"{WORKERS}/poll", request, key="bound")
    assert (answer.status, answer.body["code"]) == (404, "WF_1100")


@pytest.mark.parametrize("name", ["other", "other@prod", "other~prod", "prod-3", "prod.2", "Prod"])
def test_bound_key_when_it_asks_for_tasks_of_another_deployment_then_403_names_its_own(guarded: Guarded, name: str) -> None:
    """Whoever runs a worker with the wrong key learns which one it is for."""
    request = {"deployment_name": name, "worker_id": "w", "queue": "workflow", "wait_seconds": 0}
    answer = guarded.api.call("POST", f"{WORKERS}/poll", request, key="bound")
    assert (answer.status, answer.body["code"]) == (403, "FORBIDDEN")
    assert "'prod', 'prod-2'" in answer.body["detail"]


def test_task_when_a_bound_key_hands_it_back_for_another_deployment_then_403(guarded: Guarded) -> None:
    """What is handed back is sent again: that is no way into another deployment's queue."""
    returned = {"receipt": "r", "token": guarded.stocked.names["{run_token}"]}
    request = {"deployment_name": "other", "queue": "workflow", "hand_back": [returned]}
    assert guarded.api.call("POST", f"{WORKERS}/leases", request, key="elsewhere").status == 403


NAMING = sorted(
    route
    for route, body in EVERYTHING.items()
    if '"prod"' in json.dumps(body) and route != ("POST", f"{WORKERS}/activity-checks")
)
"""Routes whose bodies name a deployment; a task that is checked has it in its token."""
NO_NAMES = ("prod#x", "prod/x", "prod@", "prod~", "prod@v@v", "a b", "x" * 600)


@pytest.mark.broad
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
