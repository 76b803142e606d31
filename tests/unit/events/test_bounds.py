"""How much readers of streams and histories may have open, ask for, and hold in memory."""

import asyncio
import base64
from typing import Any

import pytest

from levante_core.domain.history.state import HistoryBatch
from levante_core.ports.item_store import Item
from levante_core.protocol.stream_messages import MOST_FILTERS
from levante_core.protocol.streams import EVENTS_STREAM
from levante_core.services.history.showing import BATCHES_AT_ONCE
from levante_core.storage.runs import batch_of
from levante_events import app as module
from levante_events.selection import MOST_PARAMETERS
from tests.unit.events.asking import HISTORY, on_a_loop, refusal
from tests.unit.events.events_program import EventsProgram
from tests.unit.events.test_app import start_frame


@on_a_loop
async def test_streams_of_a_key_when_there_are_too_many_then_429_until_one_ends(program: EventsProgram) -> None:
    """One key cannot take what the others need; other keys are not refused."""
    program.begin()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_STREAMS", 2)
        open_ones = [program.reader() for _ in range(2)]
        for reader in open_ones:
            await reader.until(start_frame)
        refused = program.reader()
        assert await refusal(refused) == (429, "TOO_MANY_STREAMS")
        assert refused.headers["retry-after"] == "5"
        other = program.reader(key="worker")
        await other.until(start_frame)
        await open_ones[0].leave()
        again = program.reader()
        await again.until(start_frame)
        for reader in (open_ones[1], other, again):
            await reader.leave()
    assert not program.app._reading, "nothing is counted that has ended"


@on_a_loop
async def test_refused_stream_when_it_never_began_then_it_is_not_counted(program: EventsProgram) -> None:
    """A caller who asks for what is not there keeps nothing."""
    for _ in range(3):
        assert await refusal(program.reader("/v1/workflows/executions/unknown/stream")) == (404, "WF_1100")
    assert not program.app._reading


@on_a_loop
async def test_history_when_its_reader_does_not_read_then_little_of_it_is_in_memory(program: EventsProgram) -> None:
    """What follows is read when there is room for it."""
    run, count = program.begin(), 60
    for index in range(1, count + 1):
        program.step(run, index, size=60_000)
    read: list[str] = []

    def counted(item: Item) -> HistoryBatch:
        read.append(item.key.sort)
        return batch_of(item)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("levante_core.services.history.showing.batch_of", counted)
        reader = program.reader(HISTORY)
        reader.parts = _Full(reader.pass_on)
        await reader.until(lambda _: bool(reader.parts))
        for _ in range(100):  # turns of the loop, in which a sender that does not wait would go on
            await asyncio.sleep(0)
        assert len(read) <= 2 * BATCHES_AT_ONCE
        reader.parts = list(reader.parts)
        reader.pass_on.set()
        await reader.end()
    assert (len(read), reader.is_complete) == (count, True)


class _Full(list[bytes]):
    """A socket that is full after the first part."""

    def __init__(self, pass_on: asyncio.Event) -> None:
        super().__init__()
        self._pass_on = pass_on

    def append(self, part: bytes) -> None:
        super().append(part)
        self._pass_on.clear()


@pytest.mark.parametrize(
    ("most", "query"),
    [
        (MOST_FILTERS, lambda count: "&".join(f"f{number}=x" for number in range(count))),
        (MOST_PARAMETERS - 1, lambda count: "&".join(["f=x"] * count)),
        (512, lambda count: f"activity_name={'x' * count}"),
        (100, lambda count: "&".join(["workflow_event_types=ACTIVITY_TASK_STARTED"] * count)),
    ],
)
@on_a_loop
async def test_filters_when_there_are_more_than_there_may_be_then_422(program: EventsProgram, most: int, query: Any) -> None:
    """Just below the limit the stream begins; just above, not."""
    program.begin()
    reader = program.reader(EVENTS_STREAM, f"workflow_exec_id=e&{query(most)}")
    await reader.until(lambda _: reader.status == 200)
    await reader.leave()
    assert await refusal(program.reader(EVENTS_STREAM, f"workflow_exec_id=e&{query(most + 1)}")) == (422, "WF_1001")


@pytest.mark.parametrize(
    "seen",
    [
        "[" * 3000,
        '{"": ["0001-01-01T00:00:00+14:00", 0]}',
        '{"w": ["\\ud800", 1]}',
        '{"w": ["' + "x" * 2000 + '", 1]}',
        '{"w": ["", 1]}',
    ],
)
@on_a_loop
async def test_log_when_the_place_is_odd_then_422(program: EventsProgram, seen: str) -> None:
    """Whoever makes one up hears of it: it is no error of the service."""
    program.begin()
    place = base64.urlsafe_b64encode(seen.encode()).decode()
    reader = program.reader("/v1/workflows/executions/e/logs/stream", headers={"last-event-id": place})
    assert await refusal(reader) == (422, "WF_1001")
