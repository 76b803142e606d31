"""Replaying a recorded history against today's code: the same commands at the same places, or a clear error."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from levante.errors import NonDeterminismError
from levante.replay.changes import unasked
from levante.replay.run import WorkflowRun
from levante_core.protocol import (
    COMMANDS,
    OUTCOMES,
    ActivityScheduled,
    ChildScheduled,
    CodeFailed,
    Command,
    ExecutionPaused,
    ExecutionResumed,
    FactTaken,
    HistoryBatch,
    HistoryEvent,
    HistoryGrewLarge,
    InconsistentHistory,
    Input,
    MessagesTaken,
    Outcome,
    PatchRecorded,
    SearchKeysChanged,
    messages_in,
)

FIRST_EVENT_ID = 2
"""Event 1 is the start of the execution, which is batch 0."""


TARGETS: Mapping[str, str] = {
    "activity_scheduled": "name",
    "activity_cancel_requested": "activity",
    "timer_canceled": "timer",
    "child_scheduled": "workflow_name",
    "child_cancel_requested": "child",
    "child_signaled": "child",
    "patch_recorded": "patch_id",
    "update_completed": "update",
    "update_failed": "update",
}
"""What commands of a kind are about: the field that must be the same on replay."""


def replay(run: WorkflowRun, batches: Iterable[HistoryBatch], facts: Mapping[str, Input]) -> list[Command]:
    """Bring a new run to where its history ends. Returns the commands that are not recorded yet.

    There are such commands only where nothing is recorded of what an input led to: at the start of a run, and where code
    failed over an input. Raises: NonDeterminismError, naming the first event that differs; WorkflowCodeFailed.
    """
    events = [event for batch in batches for event in batch.events]
    live_from = _first_unrecorded(events)
    run.patches.replays(frozenset(event.patch_id for event in events if isinstance(event, PatchRecorded)))
    run.patches.is_replaying = live_from > 0
    first = next((event for event in events if not isinstance(event, ExecutionPaused | ExecutionResumed)), None)
    asked = deque(run.begin(messages_in(facts, 0, first.until) if isinstance(first, MessagesTaken) else ()))
    mail_taken, is_unrecorded = 0, True
    event_id = FIRST_EVENT_ID - 1
    for position, event in enumerate(events):
        event_id += event.until - mail_taken if isinstance(event, MessagesTaken) else 1
        run.patches.is_replaying = position < live_from
        if isinstance(event, COMMANDS):
            _match(event_id, event, asked)
            is_unrecorded = False
        elif isinstance(event, CodeFailed):
            is_unrecorded = True
        elif isinstance(event, HistoryGrewLarge):
            run.has_large_history = True
        elif isinstance(event, (FactTaken, MessagesTaken, *OUTCOMES)):
            if asked and not is_unrecorded:
                raise _difference(event_id, _description(event), _wording(asked[0]))
            if event is not first or not isinstance(event, MessagesTaken):
                asked.extend(_handed_over(run, event, facts, mail_taken))
            mail_taken = event.until if isinstance(event, MessagesTaken) else mail_taken
    if asked and not is_unrecorded:
        raise _difference(event_id + 1, "nothing", _wording(asked[0]))
    run.patches.is_replaying = False
    return list(asked)


def _handed_over(
    run: WorkflowRun, event: FactTaken | MessagesTaken | Outcome, facts: Mapping[str, Input], mail_taken: int
) -> list[Command]:
    if isinstance(event, MessagesTaken):
        return run.receive(messages_in(facts, mail_taken, event.until))
    return run.apply(_outcome(event, facts))


def _first_unrecorded(events: Sequence[HistoryEvent]) -> int:
    """Return the position of the first input of which nothing is recorded but that code failed over it, or the end."""
    for position in range(len(events) - 1, -1, -1):
        if isinstance(events[position], COMMANDS):
            first = position + 1
            break
    else:
        first = 0
    failed = [position for position in range(first, len(events)) if isinstance(events[position], CodeFailed)]
    return failed[0] - 1 if failed else len(events)


def _outcome(event: FactTaken | Outcome, facts: Mapping[str, Input]) -> Outcome:
    outcome = facts.get(event.fact) if isinstance(event, FactTaken) else event
    if not isinstance(outcome, OUTCOMES):
        raise InconsistentHistory(f"history takes {event!r}, whose outcome is not recorded")
    return outcome


def _match(event_id: int, recorded: Command, asked: deque[Command]) -> None:
    if isinstance(recorded, SearchKeysChanged) or (isinstance(recorded, PatchRecorded) and unasked(recorded, asked)):
        return
    if not asked:
        raise _difference(event_id, _wording(recorded), "nothing")
    command = asked.popleft()
    if _identity(command) != _identity(recorded):
        raise _difference(event_id, _wording(recorded), _wording(command))


def _difference(event_id: int, recorded: str, asked: str) -> NonDeterminismError:
    return NonDeterminismError(
        f"the code does not match its history at event {event_id}: recorded is {recorded}, the code asked for {asked}. "
        "Run the code that wrote this history, or change it with workflow.patched(), so that executions already started "
        "keep their path",
        event_id=event_id,
        recorded=recorded,
        asked=asked,
    )


def _identity(command: Command) -> tuple[str, int, object]:
    """Return what must be equal: kind, position, and the name or target."""
    return (
        command.kind,
        getattr(command, "seq", 0),
        getattr(command, TARGETS[command.kind]) if command.kind in TARGETS else None,
    )


def _wording(command: Command) -> str:
    match command:
        case PatchRecorded():
            return f"{command.kind} {command.patch_id!r}"
        case SearchKeysChanged():
            return command.kind
        case ActivityScheduled():
            name = f" {command.name!r}"
        case ChildScheduled():
            name = f" {command.workflow_name!r}"
        case _:
            name = ""
    return f"{command.kind}{name} (command {command.seq})"


def _description(event: HistoryEvent) -> str:
    return f"{event.kind}, before which no command is recorded"
