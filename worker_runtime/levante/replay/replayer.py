"""Replaying a recorded history against today's code: the same commands at the same places, or a clear error."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from levante.errors import NonDeterminismError
from levante.replay.run import WorkflowRun
from levante_core.protocol import (
    COMMANDS,
    OUTCOMES,
    ActivityScheduled,
    ChildScheduled,
    CodeFailed,
    Command,
    FactTaken,
    HistoryBatch,
    HistoryEvent,
    InconsistentHistory,
    Input,
    MailTaken,
    Outcome,
    mail_in,
)

FIRST_EVENT_ID = 2
"""Event 1 is the start of the execution, which is batch 0."""


TARGETS: Mapping[str, str] = {
    "activity_scheduled": "name",
    "activity_cancel_requested": "activity",
    "timer_canceled": "timer",
    "child_scheduled": "workflow_name",
    "child_cancel_requested": "child",
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
    mail_taken = events[0].until if events and isinstance(events[0], MailTaken) else 0
    asked = deque(run.begin(mail_in(facts, 0, mail_taken) if mail_taken else ()))
    is_unrecorded = True
    event_id = 1
    for event_id, event in enumerate(events, FIRST_EVENT_ID):
        if isinstance(event, COMMANDS):
            _match(event_id, event, asked)
            is_unrecorded = False
        elif isinstance(event, CodeFailed):
            is_unrecorded = True
        elif isinstance(event, (FactTaken, MailTaken, *OUTCOMES)) and event_id > FIRST_EVENT_ID - (not mail_taken):
            if asked and not is_unrecorded:
                raise _difference(event_id, _told(event), _wording(asked[0]))
            if isinstance(event, MailTaken):
                asked.extend(run.receive(mail_in(facts, mail_taken, event.until)))
                mail_taken = event.until
            else:
                asked.extend(run.apply(_outcome(event, facts)))
    if asked and not is_unrecorded:
        raise _difference(event_id + 1, "nothing", _wording(asked[0]))
    return list(asked)


def _outcome(event: FactTaken | Outcome, facts: Mapping[str, Input]) -> Outcome:
    told = facts.get(event.fact) if isinstance(event, FactTaken) else event
    if not isinstance(told, OUTCOMES):
        raise InconsistentHistory(f"history takes {event!r}, whose outcome is not recorded")
    return told


def _match(event_id: int, recorded: Command, asked: deque[Command]) -> None:
    if not asked:
        raise _difference(event_id, _wording(recorded), "nothing")
    command = asked.popleft()
    if _identity(command) != _identity(recorded):
        raise _difference(event_id, _wording(recorded), _wording(command))


def _difference(event_id: int, recorded: str, asked: str) -> NonDeterminismError:
    return NonDeterminismError(
        f"the code does not match its history at event {event_id}: recorded is {recorded}, the code asked for {asked}. "
        "Run the code that wrote this history, or make the change so that executions already started keep their path"
    )


def _identity(command: Command) -> tuple[str, int, object]:
    """Return what must be equal: kind, position, and the name or target."""
    return command.kind, command.seq, getattr(command, TARGETS[command.kind]) if command.kind in TARGETS else None


def _wording(command: Command) -> str:
    name = f" {command.name!r}" if isinstance(command, ActivityScheduled) else ""
    name = f" {command.workflow_name!r}" if isinstance(command, ChildScheduled) else name
    return f"{command.kind}{name} (command {command.seq})"


def _told(event: HistoryEvent) -> str:
    return f"{event.kind}, before which no command is recorded"
