"""Following executions: their streams of events, as they happen or later."""

import asyncio
from collections.abc import Iterable
from typing import Any

from mistralai.client import Mistral
from mistralai.client.errors import HTTPValidationError, SDKError

from tests.compat.scenarios.server import NEVER_SECONDS, Server, fresh, refusal

STARTED, COMPLETED = "WORKFLOW_EXECUTION_STARTED", "WORKFLOW_EXECUTION_COMPLETED"
FAILED = "WORKFLOW_EXECUTION_FAILED"
ACTIVITY_STARTED, ACTIVITY_COMPLETED = "ACTIVITY_TASK_STARTED", "ACTIVITY_TASK_COMPLETED"
ALL_OF_GREET = [STARTED, ACTIVITY_STARTED, ACTIVITY_COMPLETED, COMPLETED]


def frames_of(stream: Any) -> list[Any]:
    """Read a stream until the server closes it. Returns its frames, those without data included."""
    with stream:
        return list(stream)


def payloads(frames: Iterable[Any]) -> list[Any]:
    """Return what frames carry."""
    return [frame.data for frame in frames if frame.data is not None]


def kinds(frames: Iterable[Any]) -> list[str]:
    """Return the types of the events that frames carry."""
    return [payload.data.event_type for payload in payloads(frames)]


def numbers(frames: Iterable[Any]) -> list[int]:
    """Return the sequence numbers of the events that frames carry."""
    return [payload.broker_sequence for payload in payloads(frames)]


def until(stream: Any, kind: str) -> list[Any]:
    """Read a stream up to the first event of a type. Returns the frames."""
    frames = []
    for frame in stream:
        frames.append(frame)
        if frame.data is not None and frame.data.data.event_type == kind:
            return frames
    raise AssertionError(f"the stream ended without {kind}: {kinds(frames)}")


def following(server: Server, execution_id: str, **options: Any) -> Any:
    """Open the stream of an execution."""
    return server.client.workflows.executions.stream(execution_id=execution_id, **options)


def greeted(server: Server) -> str:
    """Let an execution complete that has one activity. Returns its id."""
    return str(server.completed(server.start("greet", {"name": "Ada"})).execution_id)


# --- executions/{id}/stream -------------------------------------------------------------------------------------------


def test_stream_when_the_execution_has_completed_then_it_tells_all_and_ends(server: Server) -> None:
    """Every event once and in order, numbered from 1 on; the server closes after the last one."""
    execution_id = greeted(server)
    frames = frames_of(following(server, execution_id))
    assert (kinds(frames), numbers(frames)) == (ALL_OF_GREET, [1, 2, 3, 4])
    assert [frame.id for frame in frames if frame.data is not None] == ["1", "2", "3", "4"]
    assert any(frame.retry for frame in frames), "readers are told how long to wait before they come again"


def test_stream_when_read_then_its_events_say_what_they_are_of(server: Server) -> None:
    """The envelope, the common fields and the attributes: who, when, with what."""
    execution_id = greeted(server)
    run_id = server.client.workflows.executions.get_workflow_execution(execution_id=execution_id).run_id
    stream_events = payloads(frames_of(following(server, execution_id)))
    for payload in stream_events:
        context, event = payload.workflow_context, payload.data
        assert (context.workflow_name, context.workflow_exec_id) == ("greet", execution_id)
        assert (context.root_workflow_exec_id, context.parent_workflow_exec_id) == (execution_id, None)
        assert context.namespace
        assert (event.workflow_exec_id, event.workflow_run_id, event.workflow_name) == (execution_id, run_id, "greet")
        assert (event.root_workflow_exec_id, event.parent_workflow_exec_id) == (execution_id, None)
        assert abs(payload.timestamp.timestamp() - event.event_timestamp / 1e9) < 0.001
    started, scheduled, outcome, completed = (payload.data for payload in stream_events)
    assert (started.attributes.workflow_name, started.attributes.input.value) == ("greet", [{"name": "Ada"}])
    assert scheduled.attributes.activity_name == outcome.attributes.activity_name == "greeting"
    assert scheduled.attributes.task_id == outcome.attributes.task_id
    assert scheduled.attributes.input.value == [{"name": "Ada", "times": 1}]
    assert outcome.attributes.result.value == "hello Ada"
    assert completed.attributes.result.value == {"result": "hello Ada"}
    assert started.attributes.task_id == completed.attributes.task_id
    times = [event.event_timestamp for event in (started, scheduled, outcome, completed)]
    assert times == sorted(times)
    assert len({payload.data.event_id for payload in stream_events}) == 4


def test_stream_when_the_execution_goes_on_then_events_come_as_they_happen(server: Server) -> None:
    """The reader is there first; what happens later reaches it, and then the stream ends."""
    execution_id = server.start("counter", {"start": 3})
    with following(server, execution_id) as stream:
        assert kinds(until(stream, STARTED)) == [STARTED]
        server.client.workflows.executions.signal_workflow_execution(execution_id=execution_id, name="stop")
        frames = list(stream)
    assert (kinds(frames), numbers(frames)) == ([COMPLETED], [2])
    assert payloads(frames)[0].data.attributes.result.value == {"result": 3}


def test_stream_when_the_execution_is_terminated_then_it_just_ends(server: Server) -> None:
    """No type of event says so: the stream closes, and the status tells."""
    execution_id = server.start("nap", {"seconds": NEVER_SECONDS})
    with following(server, execution_id) as stream:
        until(stream, STARTED)
        server.terminate(execution_id)
        assert payloads(stream) == []
    assert server.status(execution_id) == "TERMINATED"
    assert kinds(frames_of(following(server, execution_id))) == [STARTED]


def test_stream_when_the_execution_times_out_then_it_just_ends(server: Server) -> None:
    """As for those that are terminated."""
    execution_id = server.start("hurry")
    assert kinds(frames_of(following(server, execution_id))) == [STARTED]
    assert server.status(execution_id) == "TIMED_OUT"


def test_stream_when_an_activity_fails_then_it_and_the_execution_say_why(server: Server) -> None:
    """A failure has a message; what else is recorded of it is nobody else's business."""
    execution_id = server.start("stumble", {"reason": "no stock"})
    frames = frames_of(following(server, execution_id))
    assert kinds(frames) == [STARTED, ACTIVITY_STARTED, "ACTIVITY_TASK_FAILED", FAILED]
    *_, activity, execution = (payload.data.attributes for payload in payloads(frames))
    assert (activity.activity_name, activity.attempt) == ("broken", 1)
    assert "no stock" in activity.failure.message
    assert "no stock" in execution.failure.message


def test_stream_when_the_execution_is_cancelled_then_it_says_so_and_ends(server: Server) -> None:
    """Cancellation has an event of its own."""
    execution_id = server.start("nap", {"seconds": NEVER_SECONDS})
    with following(server, execution_id) as stream:
        until(stream, STARTED)
        server.client.workflows.executions.cancel_workflow_execution(execution_id=execution_id)
        assert kinds(stream) == ["WORKFLOW_EXECUTION_CANCELED"]


def test_stream_when_a_result_is_large_then_it_is_published_whole(server: Server) -> None:
    """Results up to 2 MB are told, too."""
    size = 1_500_000
    execution_id = server.completed(server.start("large", {"size": size})).execution_id
    *_, completed = payloads(frames_of(following(server, execution_id)))
    assert completed.data.attributes.result.value == {"result": "x" * size}


def test_stream_when_text_is_of_any_alphabet_then_it_survives(server: Server) -> None:
    """Line separators and control characters do not break a frame."""
    text = 'Grüße, 世界 \U0001f30d \u2028 \u0085 "quoted" back\\slash\r\n\nid: 7\n\ndata: x\x00'
    execution_id = server.completed(server.start("echo", {"value": text})).execution_id
    frames = frames_of(following(server, execution_id))
    assert numbers(frames) == [1, 2]
    assert payloads(frames)[-1].data.attributes.result.value == {"result": text}


def test_stream_when_the_id_is_used_again_then_the_sequence_goes_on(server: Server) -> None:
    """Numbers are never used again: both executions are told, in order, under one id."""
    chosen = fresh("again")
    for name in ("Ada", "Grace"):
        server.completed(server.start("greet", {"name": name}, execution_id=chosen))
    frames = frames_of(following(server, chosen))
    assert (kinds(frames), numbers(frames)) == (2 * ALL_OF_GREET, [1, 2, 3, 4, 5, 6, 7, 8])
    runs = [payload.data.workflow_run_id for payload in payloads(frames)]
    assert len(set(runs)) == 2
    assert runs == [runs[0]] * 4 + [runs[4]] * 4


def test_stream_when_resumed_then_it_goes_on_after_the_last_event_seen(server: Server) -> None:
    """From anywhere: by the parameter and by the standard header, which goes before it."""
    execution_id = greeted(server)
    for last in range(6):
        expected = list(range(last + 1, 5))
        assert numbers(frames_of(following(server, execution_id, last_event_id=str(last)))) == expected
        header = {"Last-Event-ID": str(last)}
        assert numbers(frames_of(following(server, execution_id, last_event_id="4", http_headers=header))) == expected


def test_stream_when_only_what_is_there_is_wanted_then_it_ends_at_once(server: Server) -> None:
    """event_source DATABASE: what has happened so far, without waiting for more."""
    execution_id = server.start("nap", {"seconds": NEVER_SECONDS})
    try:
        assert kinds(frames_of(following(server, execution_id, event_source="DATABASE"))) == [STARTED]
        frames = frames_of(following(server, execution_id, event_source="DATABASE", last_event_id="1"))
        assert kinds(frames) == []
        assert server.status(execution_id) == "RUNNING"
    finally:
        server.terminate(execution_id)


def test_stream_when_only_what_comes_is_wanted_then_what_was_is_not_told(server: Server) -> None:
    """event_source LIVE: from now on; HYBRID, as without it: all there was, then all that comes."""
    execution_id = server.start("counter")
    with following(server, execution_id, event_source="LIVE") as live:
        next(iter(live))  # it is open: what happens now is told
        server.client.workflows.executions.signal_workflow_execution(execution_id=execution_id, name="stop")
        assert kinds(live) == [COMPLETED]
    assert kinds(frames_of(following(server, execution_id, event_source="HYBRID"))) == [STARTED, COMPLETED]
    assert kinds(frames_of(following(server, execution_id, event_source="LIVE"))) == []


# --- the asynchronous twins -------------------------------------------------------------------------------------------


def test_async_streams_when_read_then_they_say_the_same(server: Server) -> None:
    """All three calls, and resuming."""
    execution_id = greeted(server)
    streamed = payloads(frames_of(following(server, execution_id)))

    async def read(opening: Any) -> list[Any]:
        async with await opening as stream:
            return [frame.data async for frame in stream if frame.data is not None]

    async def talk(client: Mistral) -> None:
        executions, events = client.workflows.executions, client.workflows.events
        assert await read(executions.stream_async(execution_id=execution_id)) == streamed
        assert await read(executions.stream_async(execution_id=execution_id, last_event_id="2")) == streamed[2:]
        assert await read(events.get_stream_events_async(workflow_exec_id=execution_id)) == streamed
        filters: dict[str, Any] = {"scope": "activity", "start_seq": 3}
        assert await read(events.get_stream_events_async(workflow_exec_id=execution_id, **filters)) == streamed[2:3]
        found = await events.get_workflow_events_async(workflow_exec_id=execution_id)
        assert found.events == [payload.data for payload in streamed]

    server.in_a_loop(talk)


def test_async_streams_when_many_follow_one_execution_then_each_is_told_everything(server: Server) -> None:
    """Readers share what is there, and none of them stands in another's way, or in that of other requests."""
    execution_id = server.start("counter")

    async def follow(client: Mistral, opened: asyncio.Queue[None]) -> list[int]:
        seen = []
        async with await client.workflows.executions.stream_async(execution_id=execution_id) as stream:
            async for frame in stream:
                if frame.data is not None:
                    seen.append(frame.data.broker_sequence)
                    opened.put_nowait(None)
        return seen

    async def talk(client: Mistral) -> list[list[int]]:
        opened: asyncio.Queue[None] = asyncio.Queue()
        following = [asyncio.create_task(follow(client, opened)) for _ in range(20)]
        for _ in following:
            await opened.get()
        await client.workflows.executions.signal_workflow_execution_async(execution_id=execution_id, name="stop")
        return await asyncio.gather(*following)

    assert server.in_a_loop(talk) == [[1, 2]] * 20


def test_async_streams_when_refused_then_the_errors_are_the_same(server: Server) -> None:
    """400 without an execution, 404 for an unknown one, 422 for what is not understood."""

    async def talk(client: Mistral) -> tuple[Any, ...]:
        executions, events = client.workflows.executions, client.workflows.events
        return await asyncio.gather(
            events.get_stream_events_async(),
            executions.stream_async(execution_id=fresh("unknown")),
            events.get_workflow_events_async(workflow_exec_id=fresh("unknown")),
            events.get_stream_events_async(workflow_exec_id="e", start_seq=-1),
            return_exceptions=True,
        )

    nothing_named, unknown, not_listed, misfit = server.in_a_loop(talk)
    assert isinstance(nothing_named, SDKError)
    refusal(400, "WF_1001", nothing_named)
    for error in (unknown, not_listed):
        assert isinstance(error, SDKError)
        refusal(404, "WF_1100", error)
    assert isinstance(misfit, HTTPValidationError)
    assert [problem.loc for problem in misfit.data.detail or []] == [["query", "start_seq"]]
