"""Stream events over the API: lists of them, and the way to where they are streamed."""

import dataclasses
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from mistralai.client.models import ListWorkflowEventResponse

from levante_api.app import create_app
from levante_api.streams import events as events_module
from levante_core.domain.dispatch.plan import StartChild
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ChildScheduled, ParentClosePolicy
from levante_core.domain.names import ExecutionId, RunId
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import Unauthenticated
from levante_core.protocol.streams import ticket_purpose
from levante_core.services.access.tickets import VALID_FOR
from tests.integration.api.harness import HOME, SETTINGS, Answer, Api, completed, outcomes

LIST = "/v1/workflows/events/list"
STREAMS = ("/v1/workflows/events/stream", "/v1/workflows/executions/e/stream")
STEPS = 6
CHILD = ChildScheduled(
    seq=99,
    workflow_name="part",
    execution_id=ExecutionId("c"),
    input={"a": 1},
    close_policy=ParentClosePolicy.TERMINATE,
)


def scheduled(seq: int, size: int = 1) -> dict[str, Any]:
    """Write the event that asks for an activity."""
    return {"kind": "activity_scheduled", "seq": seq, "name": f"a{seq}", "input": "x" * size}


def commit(api: Api, execution_id: str, *events: dict[str, Any]) -> RunKey:
    """Record what the execution's waiting workflow task leads to. Returns its run."""
    (delivered,) = [one for one in api.poll() if one["task"]["execution_id"] == execution_id]
    assert outcomes(api.commit(delivered, *events)) == ["recorded"]
    return RunKey(HOME, ExecutionId(execution_id), RunId(delivered["task"]["run_id"]))


@pytest.fixture
def tree(api: Api) -> Api:
    """Execution `e` with STEPS activities and the child `c`, which has completed; and execution `alone`."""
    api.register("greet", "part")
    api.start("e")
    steps = (scheduled(seq) for seq in range(1, STEPS + 1))
    run = commit(api, "e", *steps, CHILD.model_dump(mode="json"))
    api.engine.effects.carry_out([StartChild(run, WorkerPool.parse("prod"), CHILD)])
    api.clock.advance(1)
    commit(api, "c", completed("done"))
    api.start("alone")
    return api


def listed(api: Api, query: Any, key: str = "client") -> Answer:
    return api.call("GET", LIST, query=query, key=key)


def stream_events(answer: Answer) -> list[tuple[str, str]]:
    """Return execution and type of each event."""
    assert answer.status == 200, answer
    return [(event["workflow_exec_id"], event["event_type"]) for event in answer.body["events"]]


STARTED, COMPLETED, ACTIVITY = "WORKFLOW_EXECUTION_STARTED", "WORKFLOW_EXECUTION_COMPLETED", "ACTIVITY_TASK_STARTED"
OWN = [("e", STARTED), *[("e", ACTIVITY)] * STEPS]
OF_CHILD = [("c", STARTED), ("c", COMPLETED)]


# --- lists ------------------------------------------------------------------------------------------------------------


def test_list_when_asked_by_root_then_it_has_all_below_it(tree: Api) -> None:
    """And nothing of other executions."""
    assert stream_events(listed(tree, {"root_workflow_exec_id": "e"})) == [*OWN, *OF_CHILD]
    assert stream_events(listed(tree, {"root_workflow_exec_id": "alone"})) == [("alone", STARTED)]


def test_list_when_asked_by_execution_then_it_has_that_ones_alone(tree: Api) -> None:
    """Of a parent without its children, and of a child without its parent."""
    assert stream_events(listed(tree, {"workflow_exec_id": "e"})) == OWN
    assert stream_events(listed(tree, {"workflow_exec_id": "c"})) == OF_CHILD


def test_list_when_asked_by_run_then_it_has_that_runs_alone(tree: Api) -> None:
    """An execution id may be used again, and then has several runs."""
    tree.start("again")
    tree.complete("again", 1)
    tree.clock.advance(1)
    tree.start("again")
    tree.complete("again", 2)
    both = listed(tree, {"workflow_exec_id": "again"}).body["events"]
    first, second = both[0]["workflow_run_id"], both[-1]["workflow_run_id"]
    assert [event["workflow_run_id"] for event in both] == [first, first, second, second]
    assert listed(tree, {"workflow_run_id": first}).body["events"] == both[:2]
    assert listed(tree, {"workflow_run_id": second}).body["events"] == both[2:]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"root_workflow_exec_id": "e", "workflow_exec_id": "c"}, OF_CHILD),
        ({"root_workflow_exec_id": "e", "workflow_exec_id": "alone"}, []),
        ({"root_workflow_exec_id": "c"}, []),
        ({"root_workflow_exec_id": "e", "workflow_run_id": "another"}, []),
    ],
)
def test_list_when_several_ids_are_named_then_all_have_to_fit(
    tree: Api, query: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    """A child is the root of nothing."""
    assert stream_events(listed(tree, query)) == expected


def test_list_when_read_then_the_official_clients_model_takes_it_with_every_key(tree: Api) -> None:
    """Nullable keys are there as null, as the older client requires."""
    answer = listed(tree, {"root_workflow_exec_id": "e"})
    ListWorkflowEventResponse.model_validate(answer.body)
    assert set(answer.body) == {"events", "next_cursor"}
    assert {frozenset(event) for event in answer.body["events"]} == {
        frozenset({
            "event_id", "event_timestamp", "root_workflow_exec_id", "parent_workflow_exec_id", "workflow_exec_id",
            "workflow_run_id", "workflow_name", "continued_run_id", "first_execution_run_id", "chain_run_id", "schedule_id",
            "event_type", "attributes",
        })
    }  # fmt: skip
    parents = {(event["workflow_exec_id"], event["parent_workflow_exec_id"]) for event in answer.body["events"]}
    assert parents == {("e", None), ("c", "e")}


@pytest.mark.parametrize("limit", [1, 2, 4, 8, 9, 10])
@pytest.mark.parametrize("execution", ["e", "c", None])
def test_list_when_paged_then_pages_are_full_and_nothing_is_missing(tree: Api, limit: int, execution: str | None) -> None:
    """Also where much is left out between; the last page says that it is the last."""
    named = {"root_workflow_exec_id": "e", **({"workflow_exec_id": execution} if execution else {})}
    whole = listed(tree, named).body
    pages: list[list[Any]] = []
    cursor = None
    while not pages or cursor:
        page = listed(tree, {**named, "limit": limit, **({"cursor": cursor} if cursor else {})}).body
        pages.append(page["events"])
        cursor = page["next_cursor"]
    assert [event for page in pages for event in page] == whole["events"]
    assert whole["next_cursor"] is None
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert 0 < len(pages[-1]) <= limit


def test_list_when_events_are_large_then_pages_end_before_they_exceed_an_answer(
    tree: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Lambda function answers with up to 6 MB; a single event that is larger than a page still comes, alone."""
    monkeypatch.setattr(events_module, "PAGE_BYTES", 100_000)
    tree.start("large")
    commit(tree, "large", *(scheduled(seq, 70_000) for seq in range(1, 4)), scheduled(4, 1))
    pages: list[list[Any]] = []
    cursor = None
    while not pages or cursor:
        page = listed(tree, {"workflow_exec_id": "large", **({"cursor": cursor} if cursor else {})}).body
        pages.append([event["event_id"] for event in page["events"]])
        cursor = page["next_cursor"]
    ids = [one for page in pages for one in page]
    assert len(ids) == len(set(ids)) == 5
    assert len(pages) >= 2
    assert all(len(page) <= 3 for page in pages)


def test_list_when_more_has_happened_then_a_cursor_leads_to_it(tree: Api) -> None:
    """Places in the stream do not move: a cursor is good for ever."""
    before = listed(tree, {"root_workflow_exec_id": "alone", "limit": 1})
    assert before.body["next_cursor"] is None
    tree.complete("alone")
    cursor = listed(tree, {"root_workflow_exec_id": "alone", "limit": 1}).body["next_cursor"]
    for _ in range(2):
        assert stream_events(listed(tree, {"root_workflow_exec_id": "alone", "cursor": cursor})) == [("alone", COMPLETED)]


@pytest.mark.parametrize(
    ("query", "name"),
    [("", "workflow_exec_id"), ("limit=10", "workflow_exec_id"),
     ("workflow_exec_id=e&limit=0", "limit"), ("workflow_exec_id=e&limit=1001", "limit"),
     ("workflow_exec_id=e&limit=many", "limit"), ("workflow_exec_id=e&cursor=made-up", "cursor"),
     ("workflow_exec_id=e&cursor=-1", "cursor")],
)  # fmt: skip
def test_list_when_a_parameter_is_wrong_then_422_names_it(tree: Api, query: str, name: str) -> None:
    """An id has to be named, a limit is 1 to 1000, a cursor is one of ours."""
    answer = listed(tree, query)
    assert answer.status == 422
    assert [problem["loc"][:2] for problem in answer.body["detail"]] == [["query", name]]


@pytest.mark.parametrize("name", ["root_workflow_exec_id", "workflow_exec_id", "workflow_run_id"])
def test_list_when_nothing_has_the_id_in_this_workspace_then_404(tree: Api, name: str) -> None:
    """Invariant 9: another workspace's executions and runs do not exist."""
    run = listed(tree, {"workflow_exec_id": "c"}).body["events"][0]["workflow_run_id"]
    known = run if name == "workflow_run_id" else "c" if name == "workflow_exec_id" else "e"
    assert listed(tree, {name: known}).status == 200
    for answer in (listed(tree, {name: "unknown"}), listed(tree, {name: known}, key="stranger")):
        assert (answer.status, answer.body["code"]) == (404, "WF_1100")


# --- the way to streams -----------------------------------------------------------------------------------------------


def location(answer: Answer) -> tuple[str, dict[str, list[str]]]:
    """Return address and query of a redirect."""
    assert answer.status == 307, answer
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert headers["cache-control"] == "no-store"
    parts = urlsplit(headers["location"])
    return f"{parts.scheme}://{parts.netloc}{parts.path}", parse_qs(parts.query, keep_blank_values=True)


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("key", ["admin", "client", "worker"])
def test_stream_when_it_is_elsewhere_then_the_caller_is_sent_there_with_a_ticket(tree: Api, path: str, key: str) -> None:
    """HTTP clients do not send their key to another host; the ticket says whose stream may be read there, for a minute."""
    address, query = location(tree.call("GET", path, key=key))
    assert address == f"https://streams.example{path}"
    (ticket,) = query.pop("ticket")
    assert query == {}
    digest = tree.engine.tickets.redeem(ticket, ticket_purpose(path, ""))
    assert tree.engine.api_keys.renewed(digest).workspace == HOME
    tree.clock.advance(VALID_FOR.total_seconds() + 1)
    with pytest.raises(Unauthenticated):
        tree.engine.tickets.redeem(ticket, ticket_purpose(path, ""))


def test_stream_when_the_caller_is_sent_on_then_its_parameters_come_along(tree: Api) -> None:
    """As they were written, repeated and encoded ones too."""
    types = ["CUSTOM_TASK_STARTED", "CUSTOM_TASK_FAILED"]
    repeated = "&".join(f"workflow_event_types={one}" for one in types)
    given = f"workflow_exec_id=e&activity_name=a%26b%20c&{repeated}&stream=%2A"
    answer = tree.call("GET", STREAMS[0], query=given)
    _, query = location(answer)
    (ticket,) = query.pop("ticket")
    digest = tree.engine.tickets.redeem(ticket, ticket_purpose(STREAMS[0], f"{given}&ticket={ticket}"))
    assert tree.engine.api_keys.renewed(digest).workspace == HOME
    assert query == {
        "workflow_exec_id": ["e"], "activity_name": ["a&b c"], "workflow_event_types": types, "stream": ["*"]
    }  # fmt: skip
    assert f"?{given}&ticket=" in {name.lower(): value for name, value in answer.headers.items()}["location"]


def test_stream_when_each_caller_is_sent_on_then_with_a_ticket_of_its_own(tree: Api) -> None:
    """And another workspace's ticket leads to that workspace."""
    mine, again = (location(tree.call("GET", STREAMS[0]))[1]["ticket"] for _ in range(2))
    (other,) = location(tree.call("GET", STREAMS[0], key="stranger"))[1]["ticket"]
    assert mine != again
    digest = tree.engine.tickets.redeem(other, ticket_purpose(STREAMS[0], ""))
    assert tree.engine.api_keys.renewed(digest).workspace == "away"


def test_stream_when_the_execution_is_unknown_then_404_and_nobody_is_sent_anywhere(tree: Api) -> None:
    """Invariant 9: to a stranger the execution does not exist."""
    for path, key in (("/v1/workflows/executions/unknown/stream", "client"), (STREAMS[1], "stranger")):
        answer = tree.call("GET", path, key=key)
        assert (answer.status, answer.body["code"]) == (404, "WF_1100")
        assert "location" not in {name.lower() for name in answer.headers}


@pytest.mark.parametrize("path", STREAMS)
def test_stream_when_this_program_does_not_know_where_it_is_then_there_is_nothing(tree: Api, path: str) -> None:
    """On one machine the host streams itself, and never asks the API."""
    tree.handler = create_app(tree.engine, dataclasses.replace(SETTINGS, streams_at=None))
    answer = tree.call("GET", path)
    assert (answer.status, answer.body["code"]) == (404, "NOT_FOUND")
