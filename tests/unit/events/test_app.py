"""What the events program answers: histories, refusals, and streams from beginning to end."""

import asyncio
import json
from typing import Any

import pytest

from levante_core.ports.item_store import Update
from levante_core.protocol.streams import EVENTS_STREAM, ticket_purpose
from levante_core.services.streams.shared_tail import EVENTS_AT_ONCE
from levante_core.storage import keys
from levante_events.app import PART_BYTES, RETRY_SECONDS, StreamSettings
from levante_events.frames import KEEP_ALIVE, retry_frame
from tests.support.faults import Fate, Outage
from tests.support.place import SPACE, Place
from tests.unit.events.asking import ACTIVITY, COMPLETED, HISTORY, STARTED, on_a_loop, refusal
from tests.unit.events.events_program import PATH, ROOT, EventsProgram
from tests.unit.events.reader import Reader


def start_frame(reader: Reader) -> bool:
    return reader.types[:1] == [STARTED]


@pytest.mark.parametrize("sizes", [[], [1], [10, 60_000, 70_000, 1]])
@on_a_loop
async def test_history_when_asked_for_with_a_ticket_then_it_is_what_the_api_would_say(
    program: EventsProgram, sizes: list[int]
) -> None:
    """In parts, so that a large one is never all there as text."""
    run = program.begin()
    for index, size in enumerate(sizes, 1):
        program.step(run, index, size=size)
    ticket = program.ticket("client", ticket_purpose(HISTORY, "decode_payloads=true"))
    reader = program.reader(HISTORY, f"decode_payloads=true&ticket={ticket}", key=None)
    await reader.end()
    assert (reader.status, reader.headers["content-type"], reader.is_complete) == (200, "application/json", True)
    assert json.loads(reader.body) == program.place.engine.histories.show(SPACE, ROOT).whole()
    assert max(map(len, reader.parts)) < 2 * PART_BYTES + 1000


@on_a_loop
async def test_history_when_it_is_not_the_callers_then_it_is_refused(program: EventsProgram) -> None:
    """As streams are."""
    program.begin()
    assert await refusal(program.reader(HISTORY, key=None)) == (401, "UNAUTHENTICATED")
    assert await refusal(program.reader(HISTORY, key="stranger")) == (404, "WF_1100")


@on_a_loop
async def test_history_when_it_cannot_be_read_then_the_answer_says_which_part(program: EventsProgram) -> None:
    """Whoever is stuck sees why, and not a connection that is cut."""
    run = program.begin()
    program.step(run, 1)
    program.place.store.write(Update(keys.batch(run, 1), set_documents={"batch": "{"}))
    reader = program.reader(HISTORY)
    assert await refusal(reader) == (500, "WF_1105")
    assert "document 'batch' of item" in json.loads(reader.body)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/v1/workflows/executions/unknown/stream", "", (404, "WF_1100")),
        ("GET", EVENTS_STREAM, "workflow_exec_id=unknown", (404, "WF_1100")),
        ("GET", EVENTS_STREAM, "", (400, "WF_1001")),
        ("GET", EVENTS_STREAM, "workflow_name=w", (400, "WF_1001")),
        ("GET", PATH, "last_event_id=x", (422, "WF_1001")),
        ("GET", EVENTS_STREAM, "workflow_exec_id=e&start_seq=-1", (422, "WF_1001")),
        ("GET", "/v1/workflows/events/list", "workflow_exec_id=e", (404, "WF_1100")),
        ("GET", "/", "", (404, "WF_1100")),
        ("POST", PATH, "", (404, "WF_1100")),
        ("HEAD", PATH, "", (404, "WF_1100")),
    ],
)
@on_a_loop
async def test_request_when_there_is_no_such_stream_then_it_is_refused_before_it_begins(
    program: EventsProgram, method: str, path: str, query: str, expected: tuple[int, str]
) -> None:
    """Status and code of the contract. 422 has a list of places; all else a sentence."""
    program.begin()
    reader = program.reader(path, query, method=method)
    assert await refusal(reader) == expected
    assert isinstance(json.loads(reader.body)["detail"], list if expected[0] == 422 else str)


@on_a_loop
async def test_scope_when_it_is_no_request_then_nothing_is_answered(program: EventsProgram) -> None:
    """Servers ask for a lifespan, or for a websocket; there is neither."""
    answers: list[Any] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        answers.append(message)

    for kind in ("lifespan", "websocket"):
        await program.app({"type": kind}, receive, send)
    assert answers == []


@on_a_loop
async def test_stream_when_the_execution_has_ended_then_it_is_told_and_closed(program: EventsProgram) -> None:
    """First how long to wait before coming again, then the events; nothing keeps or compresses them on the way."""
    run = program.begin()
    program.step(run, 1, 2)
    program.complete(run, 2)
    reader = program.reader()
    await reader.end()
    assert (reader.status, reader.is_complete) == (200, True)
    assert reader.headers == {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}
    assert reader.parts[0] == retry_frame(RETRY_SECONDS)
    assert reader.types == [STARTED, ACTIVITY, ACTIVITY, COMPLETED]
    assert reader.sequences == [1, 2, 3, 4]
    assert [part for part in reader.body.decode().split("\n") if part.startswith("id: ")] == [
        f"id: {n}" for n in range(1, 5)
    ]


@pytest.mark.slow
@on_a_loop
async def test_stream_when_something_is_recorded_then_it_comes_at_once(program: EventsProgram) -> None:
    """The reader waits; each write wakes it; the end ends it."""
    run = program.begin()
    reader = program.reader()
    await reader.until(start_frame)
    for index in range(1, 6):
        program.step(run, index)
        await reader.until(lambda reader, last=index + 1: reader.sequences[-1:] == [last])  # type: ignore[misc]
        assert not reader.is_complete
    program.complete(run, 6)
    await reader.end()
    assert reader.sequences == list(range(1, 8))


@on_a_loop
async def test_stream_when_nothing_happens_then_the_reader_hears_that_it_is_alive(place: Place) -> None:
    """Clients and proxies give up on silence; comments are no events."""
    program = EventsProgram(place, StreamSettings(keep_alive_seconds=0.01))
    program.begin()
    reader = program.reader()
    await reader.until(lambda reader: reader.parts.count(KEEP_ALIVE) >= 3)
    assert reader.sequences == [1]
    await reader.leave()


@on_a_loop
async def test_stream_when_nothing_passes_the_filters_then_the_reader_still_hears_of_it_and_of_the_end(
    program: EventsProgram,
) -> None:
    """What others are told is a sign of life for this one; its end is the execution's."""
    run = program.begin()
    reader = program.reader(EVENTS_STREAM, "workflow_exec_id=e&workflow_event_types=WORKFLOW_EXECUTION_FAILED")
    await reader.until(lambda reader: KEEP_ALIVE in reader.parts)
    program.complete(run, 1)
    await reader.end()
    assert (reader.sequences, reader.is_complete) == ([], True)


@pytest.mark.parametrize(
    ("query", "header", "first"), [("last_event_id=2", "", 3), ("", "2", 3), ("last_event_id=3", "1", 2)]
)
@on_a_loop
async def test_stream_when_resumed_then_it_goes_on_after_what_was_seen(
    program: EventsProgram, query: str, header: str, first: int
) -> None:
    """By parameter and by header, which goes before it."""
    run = program.begin()
    program.step(run, 1, 2)
    program.complete(run, 2)
    reader = program.reader(query=query, headers={"last-event-id": header} if header else {})
    await reader.end()
    assert reader.sequences == list(range(first, 5))


@on_a_loop
async def test_stream_when_only_what_is_there_is_wanted_then_it_does_not_wait(program: EventsProgram) -> None:
    """event_source DATABASE: more than is given at a time, too, and though another reader publishes at the moment."""
    run = program.begin()
    program.step(run, 1, EVENTS_AT_ONCE + 1)
    alone = program.reader(query="event_source=DATABASE")
    await alone.end()
    waiting = program.reader(query=f"last_event_id={EVENTS_AT_ONCE}")
    await waiting.until(lambda reader: reader.sequences == [EVENTS_AT_ONCE + 1, EVENTS_AT_ONCE + 2])
    beside = program.reader(query="event_source=DATABASE")
    await beside.end()
    selecting = program.reader(
        EVENTS_STREAM, "workflow_exec_id=e&workflow_event_types=ACTIVITY_TASK_FAILED&event_source=DATABASE"
    )
    await selecting.end()
    assert selecting.sequences == []
    assert alone.sequences == beside.sequences == list(range(1, EVENTS_AT_ONCE + 3))
    await waiting.leave()


@on_a_loop
async def test_stream_when_only_what_comes_is_wanted_then_it_begins_now(program: EventsProgram) -> None:
    """event_source LIVE: what was recorded before is not told, whether or not somebody had read it."""
    run = program.begin()
    program.step(run, 1)
    reader = program.reader(query="event_source=LIVE")
    await reader.until(lambda reader: reader.parts != [])
    program.complete(run, 2)
    await reader.end()
    assert (reader.sequences, reader.types) == ([3], [COMPLETED])


@on_a_loop
async def test_stream_when_only_what_comes_is_wanted_and_the_reader_was_cut_off_then_it_misses_nothing(
    program: EventsProgram,
) -> None:
    """event_source LIVE, resumed: what came while the reader was away is no past to it."""
    run = program.begin()
    program.step(run, 1, 3)
    program.complete(run, 2)
    for again in (
        program.reader(query="event_source=LIVE&last_event_id=2"),
        program.reader(query="event_source=LIVE", headers={"last-event-id": "2"}),
    ):
        await again.end()
        assert again.sequences == [3, 4, 5]


@on_a_loop
async def test_reader_when_it_leaves_then_nothing_of_it_is_left(program: EventsProgram) -> None:
    """No task, no watch, no lead; whoever comes next publishes."""
    run = program.begin()
    reader = program.reader()
    await reader.until(start_frame)
    await reader.leave()
    assert (program.tails._led, program.watch._watchers) == (set(), {})
    assert asyncio.all_tasks() == {asyncio.current_task()}
    program.step(run, 1)
    assert program.streams.next(SPACE, ROOT) == 2, "nobody publishes for nobody"
    program.complete(run, 2)
    following = program.reader(query="last_event_id=1")
    await following.end()
    assert following.sequences == [2, 3]


@on_a_loop
async def test_reader_when_it_is_slow_then_it_holds_nobody_up_and_little_in_memory(program: EventsProgram) -> None:
    """Its own stream stands still until it takes what was sent; then it gets all that it missed."""
    run = program.begin()
    slow, quick = program.reader(), program.reader()
    await slow.until(start_frame)
    slow.pass_on.clear()
    for index in range(1, 6):
        program.step(run, index, EVENTS_AT_ONCE // 2)
    program.complete(run, 6)
    await quick.end()
    expected = list(range(1, 5 * (EVENTS_AT_ONCE // 2) + 3))
    assert (quick.sequences, slow.sequences) == (expected, [1])
    slow.pass_on.set()
    await slow.end()
    assert slow.sequences == expected
    assert max(part.count(b"data: ") for part in slow.parts) <= EVENTS_AT_ONCE


@on_a_loop
async def test_stream_when_its_time_is_over_then_it_is_closed_and_may_be_resumed(place: Place) -> None:
    """A function runs for so long only: the reader comes again, with the number of the last event."""
    program = EventsProgram(place, StreamSettings(longest_seconds=0.05))
    run = program.begin()
    reader = program.reader()
    await reader.end()
    assert (reader.sequences, reader.is_complete) == ([1], True)
    assert (program.tails._led, program.watch._watchers) == (set(), {})
    program.complete(run, 1)
    again = program.reader(query="last_event_id=1")
    await again.end()
    assert again.types == [COMPLETED]


@pytest.mark.parametrize(
    ("fate", "reason", "words"),
    [(Fate.REFUSED, "stream_error", "try again"), (Fate.CRASHED, "internal_error", "An error occurred")],
)
@on_a_loop
async def test_stream_when_it_fails_in_the_middle_then_the_reader_hears_why(
    place: Place, caplog: pytest.LogCaptureFixture, fate: Fate, reason: str, words: str
) -> None:
    """A 200 cannot be taken back: an error frame says that there is more, and the details stay in the log."""
    outage = Outage(("events.write",), fate, is_on=False)
    program = EventsProgram(place, faults=outage)
    run = program.begin()
    reader = program.reader()
    await reader.until(start_frame)
    outage.is_on = True
    program.complete(run, 1)
    await reader.end()
    assert outage.met == 1
    assert reader.is_complete
    *_, last = reader.body.decode().removesuffix("\n\n").split("\n\n")
    kind, data = last.split("\n")
    assert kind == "event: error"
    assert json.loads(data.removeprefix("data: ")).keys() == {"error", "reason"}
    assert json.loads(data.removeprefix("data: "))["reason"] == reason
    assert words in data
    assert "on purpose" not in data
    assert ("on purpose" in caplog.text) is (fate is Fate.CRASHED)
    outage.is_on = False
    again = program.reader(query="last_event_id=1")
    await again.end()
    assert (again.types, again.sequences) == ([COMPLETED], [2])


@pytest.mark.parametrize(("fate", "expected"), [(Fate.REFUSED, (503, "UNAVAILABLE")), (Fate.CRASHED, (500, "WF_1000"))])
@on_a_loop
async def test_stream_when_it_fails_before_it_begins_then_the_status_says_so(
    place: Place, caplog: pytest.LogCaptureFixture, fate: Fate, expected: tuple[int, str]
) -> None:
    """Nothing has been sent yet, so this is answered like any other request that fails."""
    outage = Outage(("events.read",), fate, is_on=False)
    program = EventsProgram(place, faults=outage)
    program.begin()
    outage.is_on = True
    reader = program.reader()
    assert await refusal(reader) == expected
    assert b"on purpose" not in reader.body
    assert ("on purpose" in caplog.text) is (fate is Fate.CRASHED)
