"""Selected events of executions: streams of them, and lists."""

from collections.abc import Callable
from typing import Any

from mistralai.client import Mistral

from tests.compat.scenarios.server import NEVER_SECONDS, Server, all_unauthenticated, fresh, invalid, refused
from tests.compat.scenarios.streams import (
    ACTIVITY_COMPLETED,
    ACTIVITY_STARTED,
    ALL_OF_GREET,
    COMPLETED,
    FAILED,
    STARTED,
    following,
    frames_of,
    greeted,
    kinds,
    numbers,
    payloads,
)


def selecting(server: Server, **filters: Any) -> Any:
    """Open the stream of selected events."""
    return server.client.workflows.events.get_stream_events(**filters)


def listed(server: Server, **options: Any) -> Any:
    """Return a list of events."""
    return server.client.workflows.events.get_workflow_events(**options)


# --- events/stream ----------------------------------------------------------------------------------------------------


def test_event_stream_when_filtered_then_only_what_is_wanted_comes_with_its_number(server: Server) -> None:
    """Each filter lets pass what has this value, `*` anything; numbers are those of the whole stream."""
    execution_id = greeted(server)
    (task_id,) = {
        payload.data.attributes.task_id
        for payload in payloads(frames_of(following(server, execution_id)))
        if payload.data.event_type == ACTIVITY_STARTED
    }
    cases: tuple[tuple[dict[str, Any], list[int]], ...] = (
        ({}, [1, 2, 3, 4]),
        ({"scope": "workflow"}, [1, 4]),
        ({"scope": "activity"}, [2, 3]),
        ({"scope": "*"}, [1, 2, 3, 4]),
        ({"activity_name": "greeting"}, [2, 3]),
        ({"activity_name": "broken"}, []),
        ({"activity_id": task_id}, [2, 3]),
        ({"activity_id": "another"}, []),
        ({"workflow_name": "greet"}, [1, 2, 3, 4]),
        ({"workflow_name": "order"}, []),
        ({"root_workflow_exec_id": execution_id}, [1, 2, 3, 4]),
        ({"root_workflow_exec_id": "another"}, []),
        ({"parent_workflow_exec_id": "another"}, []),
        ({"stream": "workflow"}, [1, 4]),
        ({"stream": "activity"}, [2, 3]),
        ({"stream": "token"}, []),
        ({"workflow_event_types": [STARTED, ACTIVITY_COMPLETED]}, [1, 3]),
        ({"workflow_event_types": [FAILED]}, []),
        ({"start_seq": 3}, [3, 4]),
        ({"start_seq": 3, "scope": "workflow", "workflow_name": "greet"}, [4]),
    )
    for filters, expected in cases:
        frames = frames_of(selecting(server, workflow_exec_id=execution_id, **filters))
        assert numbers(frames) == expected, filters


def test_event_stream_when_selected_by_root_then_it_is_that_executions_stream(server: Server) -> None:
    """One id of the three is enough; an execution that nothing started is the parent of none of its own events."""
    execution_id = greeted(server)
    by_root = frames_of(selecting(server, root_workflow_exec_id=execution_id))
    assert payloads(by_root) == payloads(frames_of(following(server, execution_id)))
    assert kinds(frames_of(selecting(server, parent_workflow_exec_id=execution_id))) == []


def test_event_stream_when_resumed_then_it_goes_on_where_the_reader_was(server: Server) -> None:
    """start_seq is the first number wanted; the header names the last one seen, and goes before it."""
    execution_id = greeted(server)
    for place in range(7):
        stream = selecting(server, workflow_exec_id=execution_id, start_seq=place)
        assert numbers(frames_of(stream)) == list(range(max(place, 1), 5)), place
        stream = selecting(server, workflow_exec_id=execution_id, start_seq=4, last_event_id=str(place))
        assert numbers(frames_of(stream)) == list(range(place + 1, 5)), place


def test_event_stream_when_read_in_pieces_then_nothing_is_missing_and_nothing_comes_twice(server: Server) -> None:
    """A reader that disconnects after every event and comes again with the next number sees all of them once."""
    execution_id = server.start("greet", {"name": "Ada"})
    seen: list[Any] = []
    while not seen or seen[-1].data.event_type != COMPLETED:
        place = seen[-1].broker_sequence + 1 if seen else 0
        with selecting(server, workflow_exec_id=execution_id, start_seq=place) as stream:
            seen.append(next(frame.data for frame in stream if frame.data is not None))
    assert [payload.broker_sequence for payload in seen] == [1, 2, 3, 4]
    assert [payload.data.event_type for payload in seen] == ALL_OF_GREET


def test_event_stream_when_no_execution_is_named_then_400(server: Server) -> None:
    """There is no stream of everything: at least one of three ids has to be more than `*`."""
    for filters in ({}, {"workflow_name": "greet", "scope": "workflow"}, {"workflow_exec_id": "*"}):
        body = refused(400, "WF_1001", selecting, server, **filters)
        assert "workflow_exec_id" in body["detail"]


def test_event_stream_when_a_parameter_is_wrong_then_422_names_it(server: Server) -> None:
    """What is not understood is refused before anything is streamed."""
    execution_id = greeted(server)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"start_seq": -1}, "start_seq"),
        ({"start_seq": 10**12}, "start_seq"),
        ({"last_event_id": "x7"}, "last_event_id"),
    )
    for filters, name in cases:
        places = list(invalid(selecting, server, workflow_exec_id=execution_id, **filters))
        assert [place[:2] for place in places] == [("query", name)], filters
    for last in ("x7", "-1", "1.5", "٣"):
        assert list(invalid(following, server, execution_id, last_event_id=last)) == [("query", "last_event_id")], last


def test_event_stream_when_filtered_by_metadata_then_what_has_it_passes(server: Server) -> None:
    """The client sends the members of the object as parameters of their own."""
    execution_id = greeted(server)
    stream_events = payloads(frames_of(selecting(server, workflow_exec_id=execution_id)))
    name = next(one.metadata["activity_name"] for one in stream_events if one.metadata["scope"] == "activity")
    for metadata in ({"scope": "workflow"}, {"activity_name": name}, {"team": "a"}):
        found = payloads(frames_of(selecting(server, workflow_exec_id=execution_id, metadata_filters=metadata)))
        assert found == [one for one in stream_events if metadata.items() <= one.metadata.items()], metadata


# --- events/list ------------------------------------------------------------------------------------------------------


def test_events_when_listed_then_they_are_those_of_the_stream(server: Server) -> None:
    """By root, by execution or by run: the same events in the same order, and no cursor when that is all."""
    execution_id = greeted(server)
    run_id = server.client.workflows.executions.get_workflow_execution(execution_id=execution_id).run_id
    streamed = [payload.data for payload in payloads(frames_of(following(server, execution_id)))]
    for named in (
        {"root_workflow_exec_id": execution_id},
        {"workflow_exec_id": execution_id},
        {"workflow_run_id": run_id},
        {"root_workflow_exec_id": execution_id, "workflow_exec_id": execution_id, "workflow_run_id": run_id},
    ):
        found = listed(server, **named)
        assert found.next_cursor is None
        assert found.events == streamed, named


def test_events_when_paged_then_cursors_lead_from_one_to_the_next(server: Server) -> None:
    """Pages are full until the last one; together they are the list."""
    execution_id = greeted(server)
    for limit, expected in ((1, [1, 1, 1, 1]), (2, [2, 2]), (3, [3, 1]), (4, [4]), (1000, [4])):
        pages = [listed(server, workflow_exec_id=execution_id, limit=limit)]
        while pages[-1].next_cursor:
            pages.append(listed(server, workflow_exec_id=execution_id, limit=limit, cursor=pages[-1].next_cursor))
        assert [len(page.events) for page in pages] == expected
        assert [event.event_type for page in pages for event in page.events] == ALL_OF_GREET


def test_events_when_listed_while_it_runs_then_they_are_those_there_are(server: Server) -> None:
    """A list does not wait."""
    execution_id = server.start("nap", {"seconds": NEVER_SECONDS})
    try:
        assert [event.event_type for event in listed(server, workflow_exec_id=execution_id).events] == [STARTED]
    finally:
        server.terminate(execution_id)


def test_events_when_the_list_is_asked_for_in_vain_then_422_names_the_parameter(server: Server) -> None:
    """An id has to be named, a limit is 1 to 1000, a cursor is one of ours."""
    execution_id = greeted(server)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "workflow_exec_id"),
        ({"workflow_exec_id": execution_id, "limit": 0}, "limit"),
        ({"workflow_exec_id": execution_id, "limit": 1001}, "limit"),
        ({"workflow_exec_id": execution_id, "cursor": "made-up"}, "cursor"),
    )
    for options, name in cases:
        assert [place[:2] for place in invalid(listed, server, **options)] == [("query", name)], options


# --- all of them ------------------------------------------------------------------------------------------------------


def every_call(client: Mistral, execution_id: str) -> tuple[tuple[Callable[..., Any], dict[str, Any]], ...]:
    """Return each way to ask for the events of an execution."""
    executions, events = client.workflows.executions, client.workflows.events
    return (
        (executions.stream, {"execution_id": execution_id}),
        (events.get_stream_events, {"workflow_exec_id": execution_id}),
        (events.get_stream_events, {"root_workflow_exec_id": execution_id}),
        (events.get_stream_events, {"parent_workflow_exec_id": execution_id}),
        (events.get_workflow_events, {"workflow_exec_id": execution_id}),
        (events.get_workflow_events, {"root_workflow_exec_id": execution_id}),
        (events.get_workflow_events, {"workflow_run_id": execution_id}),
    )


def test_events_when_the_execution_is_unknown_then_404(server: Server) -> None:
    """Nothing has this id: WF_1100, and no empty stream that would hide a typing error."""
    unknown = fresh("unknown")
    for call, arguments in every_call(server.client, unknown):
        assert unknown in refused(404, "WF_1100", call, **arguments)["detail"]


def test_events_when_the_key_is_wrong_then_401(server: Server) -> None:
    """Without a good key nothing is told: not even whether an execution exists."""
    known = server.start("nothing")
    with server.new_client(key="wrong") as client:
        all_unauthenticated((*every_call(client, known), *every_call(client, fresh("unknown"))))
