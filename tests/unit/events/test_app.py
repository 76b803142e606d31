"""The events program: who gets in, what comes, and when it ends."""

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

import pytest

from levante_core.errors import Unavailable
from levante_core.ports.item_store import Update
from levante_core.protocol.streams import EVENTS_STREAM, ticket_purpose
from levante_core.services.access.api_keys import BELIEVED_FOR
from levante_core.services.access.tickets import VALID_FOR
from levante_core.services.streams.shared_tail import EVENTS_AT_ONCE
from levante_core.storage import keys
from levante_events.app import PART_BYTES, RETRY_SECONDS, StreamSettings
from levante_events.frames import KEEP_ALIVE, retry_frame
from tests.support.faults import Fate, Outage
from tests.support.place import SPACE, Place
from tests.unit.events.events_program import PATH, ROOT, EventsProgram
from tests.unit.events.reader import Reader

P = ParamSpec("P")

HISTORY = "/v1/workflows/executions/e/history"
STARTED, COMPLETED, ACTIVITY = "WORKFLOW_EXECUTION_STARTED", "WORKFLOW_EXECUTION_COMPLETED", "ACTIVITY_TASK_STARTED"


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


async def refusal(reader: Reader) -> tuple[int, str]:
    """Return status and code of an answer that refuses."""
    await reader.end()
    assert reader.is_complete
    assert reader.headers["content-type"] == "application/json"
    return reader.status, json.loads(reader.body)["code"]


def start_frame(reader: Reader) -> bool:
    return reader.types[:1] == [STARTED]


# --- who gets in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["client", "worker", "admin"])
@on_a_loop
async def test_key_when_it_is_good_then_every_role_may_read(program: EventsProgram, key: str) -> None:
    """Clients follow what they have started, workers what they run."""
    program.complete(program.begin(), 1)
    reader = program.reader(key=key)
    await reader.end()
    assert (reader.status, reader.types) == (200, [STARTED, COMPLETED])


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer  ", "Bearer made-up", "Basic made-up", "made-up", "Bearer ключ"]
)
@on_a_loop
async def test_key_when_it_is_none_of_ours_then_401(program: EventsProgram, authorization: str | None) -> None:
    """Nothing is told: not even whether the execution exists. The header says how to ask."""
    program.begin()
    given = {} if authorization is None else {"authorization": authorization.encode().decode("latin-1")}
    for path in (PATH, "/v1/workflows/executions/unknown/stream", EVENTS_STREAM):
        reader = program.reader(path, key=None, headers=given)
        assert await refusal(reader) == (401, "UNAUTHENTICATED")
        assert reader.headers["www-authenticate"] == "Bearer"


@on_a_loop
async def test_key_when_it_is_good_then_it_still_has_to_come_as_a_bearers(program: EventsProgram) -> None:
    """The scheme is part of the contract; how it is written is not (RFC 9110, section 11.1)."""
    program.complete(program.begin(), 1)
    for scheme in ("Basic", "Token", "Bearers"):
        reader = program.reader(key=None, headers={"authorization": f"{scheme} {program.secrets['client']}"})
        assert await refusal(reader) == (401, "UNAUTHENTICATED")
    reader = program.reader(key=None, headers={"authorization": f"bearer  {program.secrets['client']} "})
    await reader.end()
    assert reader.status == 200


@on_a_loop
async def test_key_when_it_is_of_another_workspace_then_404(program: EventsProgram) -> None:
    """Invariant 9: to another workspace the execution does not exist, whichever way it asks."""
    program.begin()
    assert await refusal(program.reader(key="stranger")) == (404, "WF_1100")
    for name in ("workflow_exec_id", "root_workflow_exec_id", "parent_workflow_exec_id"):
        assert await refusal(program.reader(EVENTS_STREAM, f"{name}=e", key="stranger")) == (404, "WF_1100")


@on_a_loop
async def test_ticket_when_it_is_good_then_it_opens_its_workspace_and_no_other(program: EventsProgram) -> None:
    """Who was sent here by the API has no key with it."""
    program.complete(program.begin(), 1)
    purpose = ticket_purpose(PATH, "last_event_id=1")
    mine, other = program.ticket("client", purpose), program.ticket("stranger", purpose)
    for _ in range(2):
        reader = program.reader(query=f"last_event_id=1&ticket={mine}", key=None)
        await reader.end()
        assert (reader.status, reader.types) == (200, [COMPLETED])
    assert await refusal(program.reader(query=f"last_event_id=1&ticket={other}", key=None)) == (404, "WF_1100")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (PATH, ""),
        (PATH, "last_event_id=2"),
        (PATH, "last_event_id=1&last_event_id=1"),
        (PATH.replace("/e/", "/other/"), "last_event_id=1"),
        (EVENTS_STREAM, "last_event_id=1"),
        (EVENTS_STREAM, "root_workflow_exec_id=e"),
        (HISTORY, "last_event_id=1"),
    ],
)
@on_a_loop
async def test_ticket_when_it_is_shown_at_another_address_then_401(program: EventsProgram, path: str, query: str) -> None:
    """An address ends up in logs and histories of browsers: what it has in it opens what it names, and nothing beside."""
    program.complete(program.begin(), 1)
    ticket = program.ticket("client", ticket_purpose(PATH, "last_event_id=1"))
    reader = program.reader(path, "&".join(filter(None, [query, f"ticket={ticket}"])), key=None)
    assert await refusal(reader) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("query", ["a=1&b=%2A", "b=*&a=1", "b=%2a&ticket=t&a=1"])
def test_ticket_when_the_parameters_are_written_anew_then_it_is_for_the_same(query: str) -> None:
    """Clients and proxies order and encode them as they like."""
    assert ticket_purpose("/a%20b", query) == ticket_purpose("/a b", "a=1&b=*")


@pytest.mark.parametrize("why", ["nobody made it", "it has expired", "it is for something else"])
@on_a_loop
async def test_ticket_when_it_is_no_good_then_401(program: EventsProgram, why: str) -> None:
    """A good key beside it does not mend that: the caller shall follow the redirect anew."""
    program.begin()
    purpose = "something else" if why == "it is for something else" else ticket_purpose(PATH, "")
    ticket = program.ticket("client", purpose)
    if why == "it has expired":
        program.place.clock.advance(VALID_FOR.total_seconds() + 1)
    if why == "nobody made it":
        ticket += "x"
    for key in (None, "client"):
        assert await refusal(program.reader(query=f"ticket={ticket}", key=key)) == (401, "UNAUTHENTICATED")


# --- keys that are revoked ---------------------------------------------------------------------------------------------

CHECKING = StreamSettings(key_check_seconds=0.01)
EXECUTION_LOG = "/v1/workflows/executions/e/logs/stream"


@pytest.mark.parametrize("path", [PATH, f"{EVENTS_STREAM}?workflow_exec_id=e", EXECUTION_LOG])
@pytest.mark.parametrize("by", ["key", "ticket"])
@on_a_loop
async def test_stream_when_its_key_is_revoked_then_it_ends_and_says_why(place: Place, path: str, by: str) -> None:
    """Whoever may read nothing any more does not go on because it had begun. So it is with a ticket of that key."""
    program = EventsProgram(place, CHECKING)
    program.begin()
    path, _, query = path.partition("?")
    ticket = f"ticket={program.ticket('client', ticket_purpose(path, query))}"
    other = program.reader(path, query, key="worker")
    reader = (
        program.reader(path, query, key="client") if by == "key" else program.reader(path, f"{query}&{ticket}", key=None)
    )
    await reader.until(lambda one: bool(one.parts))
    program.revoke("client")
    program.place.clock.advance(BELIEVED_FOR.total_seconds() + 1)
    await reader.end()
    assert (reader.status, reader.is_complete) == (200, True)
    assert b"event: error" in reader.body
    assert b"was revoked" in reader.body
    assert not other.is_complete
    await other.leave()
    assert await refusal(program.reader(query=ticket, key=None)) == (401, "UNAUTHENTICATED")


@on_a_loop
async def test_stream_when_its_key_is_revoked_and_nobody_reads_then_it_ends_all_the_same(place: Place) -> None:
    """A reader that takes nothing is not waited for."""
    program = EventsProgram(place, CHECKING)
    program.begin()
    reader = program.reader()
    await reader.until(lambda one: bool(one.parts))
    reader.pass_on.clear()
    program.revoke("client")
    program.place.clock.advance(BELIEVED_FOR.total_seconds() + 1)
    await reader.end()
    assert not reader.is_complete


@on_a_loop
async def test_stream_when_nobody_can_say_whether_its_key_is_good_then_it_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is down for a moment ends no streams."""
    program = EventsProgram(place, CHECKING)
    run = program.begin()
    asked = 0

    def renewed(_: str) -> None:
        nonlocal asked
        asked += 1
        raise Unavailable("the store is down")

    reader = program.reader()
    await reader.until(lambda one: bool(one.parts))
    monkeypatch.setattr(program.keys, "renewed", renewed)
    async with asyncio.timeout(20):
        while asked < 3:
            await asyncio.sleep(0)
    program.complete(run, 1)
    await reader.end()
    assert reader.types[-1] == COMPLETED


# --- histories --------------------------------------------------------------------------------------------------------


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


# --- what is refused --------------------------------------------------------------------------------------------------


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


# --- what comes -------------------------------------------------------------------------------------------------------


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


# --- when it ends -----------------------------------------------------------------------------------------------------


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
