"""No request reads more than a stated number of items, and a cursor is good for its own listing alone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from levante_core.domain.frozen import MOST_PARAMETER_CHARACTERS, Parameters, wire_time
from levante_core.domain.names import ExecutionId, RunId
from levante_core.ports.item_store import Page
from levante_core.services import paging
from levante_core.services.catalogue import register as catalogue
from levante_core.services.dispatch.parking import MOST_OF_AN_EXECUTION
from levante_core.storage.parked import Owner, ParkedKind
from levante_local.sqlite.store import SqliteItemStore
from tests.integration.api.harness import INPUT_SCHEMA, Answer, Api, outcomes

MOST = 40
"""What a request may read in these tests."""
ROWS = 130
NEXT = {"runs": "next_page_token", "schedules": "next_page_token"}
NOTHING_FITS = [
    ("runs", "search=nothing-of-the-kind", "executions"),
    ("runs", "search_key=nothing", "executions"),
    ("runs", "status=FAILED&order=asc", "executions"),
    ("runs", "workflow_tags=nothing", "executions"),
    ("", "search=nothing-of-the-kind", "workflows"),
    ("", "status=FAILED", "workflows"),
    ("", "deployment_status=inactive&deployment_name=nobody", "workflows"),
    ("registrations", "workflow_search=nothing-of-the-kind", "workflow_registrations"),
    ("registrations", "task_queue=nothing", "workflow_registrations"),
    ("deployments", "search=nothing-of-the-kind", "deployments"),
    ("deployments/prod/workers", "worker_status=inactive", "workers"),
    ("schedules", "search=nothing-of-the-kind", "schedules"),
    ("events/list", "root_workflow_exec_id=e0&workflow_run_id=nothing", "events"),
]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many items each query of the store has returned."""
    counts: list[int] = []
    monkeypatch.setattr(SqliteItemStore, "query", _counting(SqliteItemStore.query, counts))
    return counts


def _counting(ask: Callable[..., Page], counts: list[int]) -> Callable[..., Page]:
    def counted(*args: Any, **kwargs: Any) -> Page:
        page = ask(*args, **kwargs)
        counts.append(len(page.items))
        return page

    return counted


@pytest.fixture
def stocked(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """More of everything than one request may read."""
    for start in range(0, ROWS, 65):
        api.register("greet", *(f"w{number}" for number in range(start, start + 65)))
    for number in range(ROWS):
        api.register("greet", worker=f"worker-{number:03d}")
        api.start(f"e{number}")
        api.clock.advance(0.001)
    for number in range(60):
        api.register("greet", deployment=f"d{number}")
        schedule = {"workflow_identifier": "greet", "schedule_id": f"s{number}", "deployment_name": "prod"}
        made = api.call("POST", "/v1/workflows/schedules", {**schedule, "schedule": {"input": {"a": 1}, "intervals": []}})
        assert made.status == 201, made
    monkeypatch.setattr(paging, "MOST_READ", MOST)
    monkeypatch.setattr("levante_core.services.executions.start.NEWEST_RUNS", MOST)
    return api


def listing(api: Api, path: str, query: str, rows: str) -> Iterator[tuple[list[Any], str | None]]:
    """Follow the cursors of a listing to its end."""
    name = NEXT.get(path, "next_cursor")
    parameter = name.removeprefix("next_") if name == "next_cursor" else name
    token: str | None = None
    while True:
        asked = f"{query}&{parameter}={token}" if token else query
        answer = api.call("GET", f"/v1/workflows/{path}".rstrip("/"), query=asked)
        assert answer.status == 200, answer
        token = answer.body[name]
        yield answer.body[rows], token
        if token is None:
            return


@pytest.mark.slow
def test_listing_when_nothing_passes_its_filters_then_each_request_reads_a_bounded_number(
    stocked: Api, read: list[int]
) -> None:
    """A filter that fits nothing would else read all that there is, in one request."""
    for path, query, rows in NOTHING_FITS:
        before = 0
        for page, token in listing(stocked, path, query, rows):
            used, before = sum(read) - before, sum(read)
            most = 3 * MOST + ROWS if "deployments" in path or "inactive" in query else 3 * MOST
            assert used <= most, (path, query, used)
            assert page == []
            assert token is None or token.isascii()
        read.clear()


@pytest.mark.slow
def test_listing_when_its_pages_are_cut_then_together_they_have_every_row_once(stocked: Api) -> None:
    """A short page loses nothing."""
    for path, query, rows, key, count in (
        ("runs", "page_size=7&order=asc", "executions", "execution_id", ROWS),
        ("runs", "page_size=1000&search=greet", "executions", "execution_id", ROWS),
        ("", "limit=33&search=w", "workflows", "name", ROWS),
        ("registrations", "limit=1000&workflow_name=greet", "workflow_registrations", "deployment_name", 61),
        ("deployments", "active_only=false", "deployments", "name", 61),
        ("deployments/prod/workers", "limit=9", "workers", "name", ROWS + 1),
        ("schedules", "page_size=7", "schedules", "schedule_id", 60),
    ):
        found = [row[key] for page, _ in listing(stocked, path, query, rows) for row in page]
        assert len(found) == len(set(found)) == count, (path, query)


@pytest.mark.slow
def test_cursor_when_sent_to_anything_but_its_own_listing_then_422_names_it(stocked: Api) -> None:
    """It is bound to workspace, listing and filters, and nobody can make one up."""
    listings = [
        ("runs", "page_size=2", "executions"),
        ("runs", "page_size=2&order=asc", "executions"),
        ("", "limit=2", "workflows"),
        ("registrations", "limit=2", "workflow_registrations"),
        ("deployments", "limit=2&active_only=false", "deployments"),
        ("deployments/prod/workers", "limit=2", "workers"),
        ("schedules", "page_size=2", "schedules"),
    ]
    tokens = [next(listing(stocked, *one))[1] for one in listings]
    assert None not in tokens
    for (path, query, _), token in ((one, token) for one in listings for token in [*tokens, "made-up", f"{tokens[0]}x"]):
        name = NEXT.get(path, "cursor")
        for key in ("admin", "stranger"):
            answer = stocked.call("GET", f"/v1/workflows/{path}".rstrip("/"), query=f"{query}&{name}={token}", key=key)
            is_own = key == "admin" and token == tokens[listings.index((path, query, _))]
            if key == "stranger" and answer.status == 404:
                continue
            assert answer.status == (200 if is_own else 422), (path, key, answer)
            assert is_own or answer.body["detail"][0]["loc"] == ["query", name]


@pytest.mark.slow
def test_redrive_when_other_workspaces_have_runs_then_next_does_not_name_them(
    stocked: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its index holds the runs of all workspaces; a position in it names none of them, and leads over all of them once."""
    monkeypatch.setattr("levante_core.services.dispatch.redrive.REDRIVE_PAGE", 7)
    positions: list[str] = []
    after, count = None, 0
    while count == 0 or after is not None:
        page = stocked.engine.redrive.redrive_page(stocked.home, after)
        count, after = count + page.runs, page.next
        positions += [after] if after else []
    assert count == ROWS
    runs = stocked.call("GET", "/v1/workflows/runs", query="page_size=1000&search=e").body["executions"]
    assert not any(run["run_id"] in position for run in runs for position in positions)


def test_redrive_when_many_runs_have_one_deadline_then_each_is_looked_at_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A position within one moment tells apart what came before it."""
    monkeypatch.setattr("levante_core.services.dispatch.redrive.REDRIVE_PAGE", 3)
    api.register("greet")
    for number in range(20):
        api.start(f"e{number}")
    after, count = None, 0
    while count == 0 or after is not None:
        page = api.engine.redrive.redrive_page(api.home, after)
        count, after = count + page.runs, page.next
    assert count == 20


def test_parameters_when_they_are_long_then_422_names_them(api: Api) -> None:
    """Just below the limit is answered; just above is not."""
    for query, status in (
        (f"search={'x' * 200}", 200),
        (f"search={'x' * 201}", 422),
        (f"root_execution_id={'x' * MOST_PARAMETER_CHARACTERS}", 200),
        (f"root_execution_id={'x' * (MOST_PARAMETER_CHARACTERS + 1)}", 422),
        ("&".join(f"workflow_tags=t{number}" for number in range(100)), 200),
        ("&".join(f"workflow_tags=t{number}" for number in range(101)), 422),
        (f"next_page_token={'x' * 4097}", 422),
    ):
        answer = api.call("GET", "/v1/workflows/runs", query=query)
        assert answer.status == status, (query[:40], answer)
        if status == 422:
            assert answer.body["detail"][0]["loc"][:2] == ["query", query.partition("=")[0]]


def test_parameters_when_a_query_has_them_then_every_list_has_a_limit() -> None:
    """Texts are bounded by their base class, lists each by itself."""
    unbounded = [
        f"{query.__name__}.{name}"
        for query in _below(Parameters)
        for name, field in query.model_fields.items()
        if str(field.annotation).startswith("tuple[") and not any(hasattr(one, "max_length") for one in field.metadata)
    ]
    assert unbounded == []


def _below(model: type[Parameters]) -> Iterator[type[Parameters]]:
    for one in model.__subclasses__():
        yield one
        yield from _below(one)


def test_registration_when_a_workspace_has_its_most_then_only_known_ones_may_register(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that restart are never refused."""
    monkeypatch.setattr(catalogue, "MOST_DEPLOYMENTS", 2)
    monkeypatch.setattr(catalogue, "MOST_REGISTRATIONS", 3)
    api.register("greet")
    api.register("greet", "part", deployment="second")
    api.register("greet", "part", deployment="second")
    definition = {"name": "more", "task_queue": "q", "input_schema": {}}
    for deployment, names, place in (("third", ["greet"], "deployment_name"), ("prod", ["greet", "more"], "definitions")):
        body = {"definitions": [{**definition, "name": one} for one in names], "deployment_name": deployment}
        answer = api.call("POST", "/v1/workflows/register", {**body, "worker_name": "w"}, key="worker")
        assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", place])


@pytest.mark.parametrize("name", ["unknown", "prod@unknown", "prod~unknown"])
def test_poll_when_nobody_has_registered_that_then_404_and_no_queue_is_made(api: Api, name: str) -> None:
    """Any number of queues could be made else."""
    api.register("greet")
    queues = api.queues.names() if hasattr(api.queues, "names") else list(api.queues._queues)
    body = {"deployment_name": name, "worker_id": "w", "queue": "workflow", "wait_seconds": 0}
    assert api.call("POST", "/v1/workflows/workers/poll", body, key="worker").status == 404
    assert list(api.queues._queues) == queues


@pytest.mark.parametrize(
    "after", ["F#", "L#0", "L#00000000", "L#" + 400 * "9", "L#\u0661", "FQ#", "M#x", "W", "", "L#99999999", "\u0000", "F#x"]
)
def test_load_when_after_is_no_end_of_a_part_then_422_names_it(api: Api, after: str) -> None:
    """Workers send back what they were given, and nothing else."""
    api.register("greet")
    run_id = api.start("e")["run_id"]
    token = api.run_token({"workspace": api.home, "execution_id": "e", "run_id": run_id, "deployment_name": "prod"})
    answer = api.call("POST", "/v1/workflows/workers/load", {"token": token, "after": after}, key="worker")
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", "after"])


def test_key_when_the_workspace_has_its_most_then_422(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Revoked keys count, too, until they expire."""
    have = len(api.engine.api_keys.list(api.home))
    monkeypatch.setattr("levante_core.services.access.api_keys.MOST_KEYS", have + 1)
    made = api.call("POST", "/v1/keys", {"name": "last", "role": "client"})
    assert made.status == 200
    assert api.call("DELETE", f"/v1/keys/{made.body['key_id']}").status == 204
    answer = api.call("POST", "/v1/keys", {"name": "one more", "role": "client"})
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", "name"])


def test_schedule_when_the_workspace_has_its_most_then_422(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that goes makes room."""
    monkeypatch.setattr("levante_core.services.schedules.schedules.MOST_SCHEDULES", 2)
    api.register("greet")

    def create(schedule_id: str) -> int:
        body = {"workflow_identifier": "greet", "schedule_id": schedule_id, "schedule": {"input": {"a": 1}}}
        return api.call("POST", "/v1/workflows/schedules", body).status

    assert [create("a"), create("b"), create("c")] == [201, 201, 422]
    assert api.call("DELETE", "/v1/workflows/schedules/a").status == 204
    assert create("c") == 201


@pytest.mark.parametrize(
    ("schedules", "status", "reason"),
    [
        ([{"schedule_id": "c"}, {"schedule_id": "d"}], 422, "the workspace has 1 schedules, and 2 more are too many"),
        ([{"schedule_id": "by-hand"}], 409, "schedule 'by-hand' exists"),
        ([{"schedule_id": "c", "input": {"a": "no number"}}], 422, "the value is not of type"),
    ],
)
def test_registration_when_a_schedule_that_it_declares_is_refused_then_nothing_is_registered(
    api: Api, monkeypatch: pytest.MonkeyPatch, schedules: list[dict[str, Any]], status: int, reason: str
) -> None:
    """It is the whole that is refused; without what was refused, it goes."""
    monkeypatch.setattr("levante_core.services.schedules.schedules.MOST_SCHEDULES", 2)
    api.register("greet")
    by_hand = {"workflow_identifier": "greet", "schedule_id": "by-hand", "schedule": {"input": {"a": 1}}}
    assert api.call("POST", "/v1/workflows/schedules", by_hand).status == 201

    def listed() -> list[Any]:
        return [api.call("GET", f"/v1/workflows{listing}").body for listing in ("", "/deployments", "/schedules")]

    before = listed()

    def register(*declared: dict[str, Any]) -> Answer:
        definition: dict[str, Any] = {"name": "new", "task_queue": "other", "input_schema": INPUT_SCHEMA}
        definition["schedules"] = [{"input": {"a": 1}, "intervals": [{"every": "PT1H"}], **one} for one in declared]
        body = {"definitions": [definition], "deployment_name": "other", "worker_name": "w"}
        return api.call("POST", "/v1/workflows/register", body, key="worker")

    answer = register(*schedules)
    assert (answer.status, reason in str(answer.body)) == (status, True), answer.body
    assert listed() == before
    assert register({"schedule_id": "c"}).status == 200
    assert register({"schedule_id": "e"}).status == 200, "one that goes makes room"
    assert [one["schedule_id"] for one in listed()[2]["schedules"]] == ["by-hand", "e"]


@pytest.mark.slow
def test_metrics_when_there_are_more_runs_than_are_read_then_they_say_so(stocked: Api) -> None:
    """A count that is not whole is called "at least"."""
    shown = stocked.call("GET", "/v1/workflows/greet/metrics").body
    assert (shown["execution_count"]["value"], shown["is_partial"]) == (MOST, True)
    assert stocked.call("GET", "/v1/workflows/w1/metrics").body["is_partial"] is False


def test_path_when_an_id_in_it_is_longer_than_any_then_404(api: Api) -> None:
    """Stores take keys of a certain length."""
    for length in (512, 513, 5000):
        answer = api.call("GET", f"/v1/workflows/executions/{'x' * length}")
        assert (answer.status, answer.body["code"]) == (404, "WF_1100")


@pytest.mark.parametrize("more", [0, 1])
def test_status_when_an_execution_has_parked_much_then_it_shows_a_bounded_number(api: Api, more: int) -> None:
    """The listing of what is parked has the rest."""
    api.register("greet")
    owner = Owner(api.home, ExecutionId("e1"), RunId(api.start("e1")["run_id"]))
    for number in range(MOST_OF_AN_EXECUTION + more):
        api.engine.parking.park(ParkedKind.TIMER, owner, f"no message {number}", ValueError("it is broken"))
    shown = api.call("GET", "/v1/workflows/executions/e1").body["parked"]
    assert len(shown) == MOST_OF_AN_EXECUTION
    assert len(api.call("GET", "/v1/parked").body["parked"]) == MOST_OF_AN_EXECUTION + more


def test_logs_when_a_page_would_take_too_many_batches_then_it_is_short_and_its_cursor_goes_on(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that fits only the last line finds it all the same, a bounded number of batches at a time."""
    monkeypatch.setattr("levante_core.services.observability.logs.MOST_BATCHES", 10)
    monkeypatch.setattr("levante_core.services.observability.logs.BATCHES_AT_ONCE", 2)
    api.register("greet")
    for number in range(30):
        api.clock.advance(1)
        wrote = {"at": wire_time(api.clock.now()), "level": "INFO", "logger": "x", "message": str(number)}
        batch = {"deployment_name": "prod", "worker_name": "w1", "batch_id": f"{number:032x}"}
        wrote["workflow_name"] = "last" if number == 29 else "greet"
        sent = api.call("POST", "/v1/workflows/workers/logs", {**batch, "lines": [wrote]}, key="worker")
        assert sent.status < 300
    found: list[str] = []
    pages, cursor = 0, None
    while pages == 0 or cursor:
        query = {"workflow_name": "last", "order": "asc", **({"cursor": cursor} if cursor else {})}
        page = api.call("GET", "/v1/workflows/deployments/prod/logs", query=query).body
        found += [line["body"] for line in page["results"]]
        pages, cursor = pages + 1, page["next_cursor"]
    assert found == ["29"]
    assert pages > 2


@pytest.mark.parametrize("more", [0, 1])
def test_deployment_when_it_has_more_workers_than_are_read_then_the_first_are_shown(
    api: Api, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    """The list of its workers has all, in pages."""
    monkeypatch.setattr("levante_core.services.executions.lookup.MOST_WORKERS", 5)
    names = [f"w{number}" for number in range(5 + more)]
    for name in names:
        api.register("greet", worker=name)
    shown = api.call("GET", "/v1/workflows/deployments/prod").body
    assert [one["name"] for one in shown["workers"]] == names[:5]
    assert [one["name"] for one in api.call("GET", "/v1/workflows/deployments/prod/workers").body["workers"]] == names


@pytest.mark.parametrize(("spans", "source"), [(4, "history"), (3, "history"), (2, "the first 2 spans of the history")])
def test_trace_when_there_are_more_spans_than_are_shown_then_it_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch, spans: int, source: str
) -> None:
    """What is left out is the end."""
    monkeypatch.setattr("levante_api.observability.traces.MOST", spans)
    api.register("greet")
    api.start("e1")
    (task,) = api.poll()
    scheduled = {"kind": "activity_scheduled", "seq": 1, "name": "a", "input": None}
    assert outcomes(api.commit(task, scheduled)) == ["recorded"]
    trace = api.call("GET", "/v1/workflows/executions/e1/trace/otel").body
    (batch,) = trace["otel_trace_data"]["batches"]
    assert (len(batch["scopeSpans"][0]["spans"]), trace["data_source"]) == (min(spans, 3), source)


@pytest.mark.parametrize(("read", "status"), [(7, 200), (6, 422)])
def test_deployments_when_too_many_would_have_to_be_sorted_then_422_names_the_order(
    api: Api, monkeypatch: pytest.MonkeyPatch, read: int, status: int
) -> None:
    """Workers count, and each deployment twice. In the order of their names there is no such limit."""
    monkeypatch.setattr(paging, "MOST_READ", read)
    monkeypatch.setattr("levante_api.catalogue.deployments.MOST_READ", read)
    for number in range(3):
        api.register("greet", deployment=f"d{number}")
    answer = api.call("GET", "/v1/workflows/deployments", query="order_by=created_at")
    assert answer.status == status
    assert status == 200 or answer.body["detail"][0]["loc"] == ["query", "order_by"]
    assert api.call("GET", "/v1/workflows/deployments").status == 200


def test_builds_when_a_deployment_has_more_than_are_read_then_the_first_are_shown(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name; those that nobody uses are forgotten after a while."""
    for most, shown in ((4, "dcba"), (3, "cba")):
        monkeypatch.setattr("levante_core.services.catalogue.builds.MOST_BUILDS", most)
        for build in "abcd":
            body = {
                "definitions": [{"name": "greet", "task_queue": "prod", "input_schema": {}}],
                "deployment_name": "prod", "worker_name": f"w-{build}", "build_id": build,
            }  # fmt: skip
            assert api.call("POST", "/v1/workflows/register", body, key="worker").status == 200
            api.clock.advance(1)
        builds = api.call("GET", "/v1/workflows/deployments/prod/builds").body["builds"]
        assert "".join(one["build_id"] for one in builds) == shown
