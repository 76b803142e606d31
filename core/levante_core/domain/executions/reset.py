"""Where a history can be gone on from anew, and what is kept of it. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from levante_core.domain.history.events import CLOSINGS, ActivityScheduled, HistoryEvent, Input, MessagesTaken
from levante_core.domain.history.run_messages import RunMessage, SignalReceived, UpdateRequested, message_key
from levante_core.domain.history.state import HistoryBatch, RunState
from levante_core.domain.history.transitions import ActivityState


@dataclass(frozen=True, slots=True)
class Point:
    """The end of a batch. event_id: of its last event, as the API counts them; the start of the run is event 1."""

    event_id: int
    index: int


def points(batches: Iterable[HistoryBatch], facts: Mapping[str, Input]) -> Iterator[Point]:
    """Yield where a run could go on from anew: wherever nothing is left of it that another run could not take up.

    That is any end of a batch at which no child is open, for a child reports to the run that started it, and at which the
    run is not paused.
    """
    state, event_id = RunState(), 1
    yield Point(event_id, 0)
    for batch in batches:
        taken = state.mail_taken
        for event in batch.events:
            event_id += event.until - taken if isinstance(event, MessagesTaken) else 1
            taken = event.until if isinstance(event, MessagesTaken) else taken
        if isinstance(batch.events[-1], CLOSINGS):
            return
        state.append(batch, facts)
        if not state.children and not state.paused:
            yield Point(event_id, batch.index)


def kept(batches: Sequence[HistoryBatch], state: RunState) -> Iterator[HistoryBatch]:
    """Yield batches as another run takes them over. state: after them. What a worker ran in place goes to the queue."""
    owned = {seq for seq, activity in state.activities.items() if activity.state is ActivityState.OWNED}
    for batch in batches:
        yield batch.model_copy(update={"events": tuple(_disowned(event, owned) for event in batch.events)})


def _disowned(event: HistoryEvent, owned: set[int]) -> HistoryEvent:
    if isinstance(event, ActivityScheduled) and event.seq in owned:
        return event.model_copy(update={"owner": None})
    return event


def carried(
    facts: Mapping[str, Input], state: RunState, mail_count: int, *, signals: bool, updates: bool
) -> list[RunMessage]:
    """Return the messages that the new run gets beyond those taken, under new numbers. Requests to cancel are dropped."""
    later = [facts.get(message_key(number)) for number in range(state.mail_taken + 1, mail_count + 1)]
    wanted = [
        message
        for message in later
        if (isinstance(message, SignalReceived) and signals) or (isinstance(message, UpdateRequested) and updates)
    ]
    return [message.model_copy(update={"number": number}) for number, message in enumerate(wanted, state.mail_taken + 1)]
