"""Who may read streams and histories: keys, tickets, and what becomes of a stream whose key is revoked."""

import asyncio

import pytest

from levante_core.errors import Unavailable
from levante_core.protocol.streams import EVENTS_STREAM, ticket_purpose
from levante_core.services.access.api_keys import BELIEVED_FOR
from levante_core.services.access.tickets import VALID_FOR
from levante_events.app import StreamSettings
from tests.support.place import Place
from tests.unit.events.asking import COMPLETED, HISTORY, STARTED, on_a_loop, refusal
from tests.unit.events.events_program import PATH, EventsProgram


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
