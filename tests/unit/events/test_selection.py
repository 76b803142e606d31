"""What a reader asks for, read from paths, queries and headers; and which events that lets pass."""

import dataclasses
import json
from typing import Any, Literal

import pytest

from levante_core.domain.streams.events import StreamEvent, StreamEventType, StreamUpdate
from levante_core.errors import InvalidInput
from levante_core.protocol.stream_messages import EventSource, EventStreamQuery
from levante_core.protocol.streams import EVENTS_STREAM, MOST_EVENTS, is_stream
from levante_events.selection import NoExecution, Selection, select, ticket_in

OF_E = "/v1/workflows/executions/e/stream"


def update(scope: Literal["workflow", "activity"] = "activity", **changes: Any) -> StreamUpdate:
    """Make an event of execution `child`, which `parent` has started, below `root`."""
    event = {
        "event_id": "r:1.0",
        "event_timestamp": 1,
        "root_workflow_exec_id": "root",
        "parent_workflow_exec_id": "parent",
        "workflow_exec_id": "child",
        "workflow_run_id": "r",
        "workflow_name": "w",
        "event_type": StreamEventType.ACTIVITY_TASK_STARTED,
        "attributes": {},
        **changes,
    }
    activity = {"activity_id": "r:1", "activity_name": "a"} if scope == "activity" else {}
    return StreamUpdate(stream=scope, scope=scope, event=StreamEvent(**event), **activity)


def problems(path: str, query: str, last_event_id: str | None = None) -> list[tuple[list[str | int], str]]:
    """Return place and type of each problem of a request that is refused."""
    with pytest.raises(InvalidInput) as caught:
        select(path, query, last_event_id)
    return [(problem["loc"], problem["type"]) for problem in caught.value.problems]


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (EVENTS_STREAM, True),
        (OF_E, True),
        ("/v1/workflows/executions/stream", False),
        ("/v1/workflows/executions//stream", False),
        ("/v1/workflows/executions/a/b/stream", False),
        ("/v1/workflows/executions/e/stream/", False),
        ("/v1/workflows/executions/e/logs/stream", True),
        ("/v1/workflows/deployments/d/logs/stream", True),
        ("/v1/workflows/executions/e/logs", False),
        ("/v1/workflows/events/list", False),
        ("/x/v1/workflows/events/stream", False),
    ],
)
def test_path_when_it_is_that_of_a_stream_then_it_is_known(path: str, *, expected: bool) -> None:
    """The host and the events program serve exactly these."""
    assert is_stream(path) is expected


# --- the stream of one execution --------------------------------------------------------------------------------------


def test_execution_when_nothing_else_is_said_then_all_of_its_stream_is_wanted() -> None:
    """All there was, and all that comes."""
    assert select(OF_E, "", None) == Selection("e", 1, EventSource.HYBRID, None)


@pytest.mark.parametrize("source", list(EventSource))
def test_execution_when_a_source_is_named_then_it_is_that(source: EventSource) -> None:
    """The three that the contract has."""
    assert select(OF_E, f"event_source={source}", None).source is source


@pytest.mark.parametrize(
    ("query", "header", "first"),
    [
        ("last_event_id=7", None, 8),
        ("last_event_id=0", None, 1),
        ("last_event_id=", None, 1),
        ("", "7", 8),
        ("last_event_id=7", "3", 4),
        ("last_event_id=7", "", 8),
        ("last_event_id=made-up", "3", 4),
        (f"last_event_id={MOST_EVENTS}", None, MOST_EVENTS + 1),
    ],
)
def test_execution_when_an_event_was_seen_then_the_next_one_is_first(query: str, header: str | None, first: int) -> None:
    """The header goes before the parameter; who says nothing has seen nothing."""
    assert select(OF_E, query, header).first == first


@pytest.mark.parametrize("last", ["x7", "-1", "+1", "1.5", "1e3", "٣", "0x1", "1" * 13, "7\n"])
@pytest.mark.parametrize("path", [OF_E, EVENTS_STREAM])
def test_last_event_id_when_it_is_none_of_ours_then_it_is_named(path: str, last: str) -> None:
    """To begin anew would tell everything twice, without a word."""
    query = "workflow_exec_id=e" if path == EVENTS_STREAM else ""
    assert problems(path, query, last) == [(["query", "last_event_id"], "value_error")]


def test_execution_when_the_query_is_not_understood_then_each_parameter_is_named() -> None:
    """Also one that the other stream has: what is ignored would show what was not asked for."""
    found = problems(OF_E, "event_source=NOWHERE&scope=workflow")
    assert found == [(["query", "event_source"], "enum"), (["query", "scope"], "extra_forbidden")]


@pytest.mark.parametrize(
    ("execution_id", "expected"), [("child", True), ("parent", True), ("root", True), ("grandparent", False)]
)
def test_execution_when_events_are_its_own_or_of_what_it_started_then_they_pass(
    execution_id: str, *, expected: bool
) -> None:
    """The stream that it reads is that of all below the root; of these, strangers do not pass."""
    assert Selection(execution_id, 1).admits(update()) is expected


def test_execution_when_an_event_has_no_parent_then_only_its_own_id_lets_it_pass() -> None:
    """The absence of a parent is nobody's id."""
    alone = update(parent_workflow_exec_id=None, root_workflow_exec_id="child")
    assert [Selection(one, 1).admits(alone) for one in ("child", "parent", "None", "")] == [True, False, False, False]


# --- selected events --------------------------------------------------------------------------------------------------

ALL = "scope=*&activity_name=*&activity_id=*&workflow_name=*&stream=*"


@pytest.mark.parametrize("name", ["workflow_exec_id", "root_workflow_exec_id", "parent_workflow_exec_id"])
def test_events_when_one_execution_is_named_then_it_is_whose_stream_is_read(name: str) -> None:
    """One of the three is enough, and `*` names none."""
    others = "&".join(f"{other}=*" for other in ("workflow_exec_id", "root_workflow_exec_id", "parent_workflow_exec_id"))
    assert select(EVENTS_STREAM, f"{others}&{name}=e", None).execution_id == "e"


def test_events_when_several_executions_are_named_then_the_narrowest_ends_the_stream() -> None:
    """Whose events alone are wanted, its end is the end."""
    query = "root_workflow_exec_id=r&parent_workflow_exec_id=p&workflow_exec_id=e"
    assert select(EVENTS_STREAM, query, None).execution_id == "e"


@pytest.mark.parametrize("query", ["", ALL, "workflow_exec_id=*", "workflow_name=w&scope=workflow", "ticket=t"])
def test_events_when_no_execution_is_named_then_there_is_nothing_to_read(query: str) -> None:
    """There is no stream of everything."""
    with pytest.raises(NoExecution):
        select(EVENTS_STREAM, query, None)


@pytest.mark.parametrize(
    ("query", "header", "first"),
    [("start_seq=0", None, 1), ("start_seq=1", None, 1), ("start_seq=7", None, 7), ("start_seq=7", "2", 3), ("", "2", 3)],
)
def test_events_when_a_place_is_named_then_that_is_first(query: str, header: str | None, first: int) -> None:
    """start_seq is inclusive; the header says what was seen last, and goes before it."""
    assert select(EVENTS_STREAM, f"workflow_exec_id=e&{query}", header).first == first


@pytest.mark.parametrize(
    ("query", "place", "kind"),
    [
        ("start_seq=-1", ["query", "start_seq"], "greater_than_equal"),
        (f"start_seq={MOST_EVENTS + 1}", ["query", "start_seq"], "less_than_equal"),
        ("start_seq=many", ["query", "start_seq"], "int_parsing"),
        ("scope=everything", ["query", "scope"], "literal_error"),
        ("workflow_event_types=SOMETHING", ["query", "workflow_event_types", 0], "enum"),
        ("event_source=NOWHERE", ["query", "event_source"], "enum"),
        ("metadata_filters=a", ["query", "metadata_filters"], "value_error"),
        ("metadata_filters=[1]", ["query", "metadata_filters"], "dict_type"),
    ],
)
def test_events_when_a_parameter_is_wrong_then_it_is_named(query: str, place: list[str | int], kind: str) -> None:
    """Instead of being taken for one that was not sent."""
    assert problems(EVENTS_STREAM, f"workflow_exec_id=e&{query}") == [(place, kind)]


@pytest.mark.parametrize("source", list(EventSource))
def test_events_when_a_source_is_named_then_it_is_that(source: EventSource) -> None:
    """What there is by now can be selected from, too, without waiting for the end."""
    assert select(EVENTS_STREAM, f"workflow_exec_id=e&event_source={source}", None).source is source


def test_events_when_a_parameter_is_wrong_then_it_is_not_quoted() -> None:
    """What was sent may be a secret in the wrong place; answers and logs do not repeat it."""
    with pytest.raises(InvalidInput) as caught:
        select(EVENTS_STREAM, "workflow_exec_id=e&scope=hush-hush", None)
    assert "hush-hush" not in str(caught.value.problems)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", True),
        (ALL, True),
        ("scope=activity", True),
        ("scope=workflow", False),
        ("activity_name=a", True),
        ("activity_name=b", False),
        ("activity_id=r:1", True),
        ("activity_id=r:2", False),
        ("workflow_name=w", True),
        ("workflow_name=v", False),
        ("root_workflow_exec_id=root", True),
        ("root_workflow_exec_id=child", False),
        ("parent_workflow_exec_id=parent", True),
        ("parent_workflow_exec_id=root", False),
        ("stream=activity", True),
        ("stream=token", False),
        ("workflow_event_types=ACTIVITY_TASK_STARTED", True),
        ("workflow_event_types=ACTIVITY_TASK_FAILED", False),
        ("workflow_event_types=ACTIVITY_TASK_FAILED&workflow_event_types=ACTIVITY_TASK_STARTED", True),
        ("scope=activity&activity_name=a&stream=activity&workflow_name=w", True),
        ("scope=activity&activity_name=a&stream=activity&workflow_name=v", False),
        ("start_seq=99", True),
        ("metadata_filters={}", True),
        ('metadata_filters={"activity_id":"r:1"}', True),
        ('metadata_filters={"activity_id":["r:2","r:1"],"scope":"activity"}', True),
        ('metadata_filters={"activity_id":"r:2"}', False),
        ('metadata_filters={"team":"a"}', False),
        ('metadata_filters={"activity_id":"r:1"}&team=a', False),
        ("team=a", False),
        ("team=", False),
        ("team=*", False),
        ("scope=*&scope=workflow", False),
        ("scope=workflow&scope=*", False),
        ("activity_id=r:1&activity_id=*", True),
    ],
)
def test_events_when_filtered_then_all_filters_have_to_let_them_pass(query: str, *, expected: bool) -> None:
    """Filters are combined; repeated types mean any of them; where to begin is no filter."""
    assert select(EVENTS_STREAM, f"workflow_exec_id=child&{query}", None).admits(update()) is expected


def test_events_when_metadata_is_wanted_then_it_is_what_frames_show() -> None:
    """Bare parameters that are no filters of ours are members of `metadata_filters`, as clients send them."""
    for event in (update(), update("workflow")):
        for name, value in event.metadata.items():
            asked = f"workflow_exec_id=child&metadata_filters={json.dumps({name: value})}"
            assert select(EVENTS_STREAM, asked, None).admits(event)
    assert select(EVENTS_STREAM, "workflow_exec_id=child&a=1&a=2", None).filters == EventStreamQuery(
        workflow_exec_id="child", metadata_filters={"a": ("1", "2")}
    )


def test_events_when_an_activity_is_wanted_then_no_workflow_event_passes() -> None:
    """They have no activity, and no name that one could guess."""
    selections = [select(EVENTS_STREAM, f"workflow_exec_id=child&activity_name={name}", None) for name in ("a", "None", "")]
    assert [selection.admits(update("workflow")) for selection in selections] == [False, False, False]


def test_events_when_only_one_execution_is_wanted_then_its_children_do_not_pass() -> None:
    """Unlike the stream of an execution."""
    own = select(EVENTS_STREAM, "workflow_exec_id=parent", None)
    assert not own.admits(update())
    assert dataclasses.replace(own, filters=None).admits(update())


# --- tickets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"), [("ticket=abc", "abc"), ("a=b&ticket=a%2Bb", "a+b"), ("", None), ("ticket=", None), ("a=b", None)]
)
def test_ticket_when_it_comes_along_then_it_is_found_and_is_no_filter(query: str, expected: str | None) -> None:
    """It is for the door, not for the selection."""
    assert ticket_in(query) == expected
    assert select(OF_E, "ticket=abc", None) == select(OF_E, "", None)
