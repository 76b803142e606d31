"""Replaying a history as the API gives it, to learn whether today's code can go on where it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from levante.definition.definitions import get_workflow_definition
from levante.errors import NonDeterminismError, text_of
from levante.replay.replayer import FIRST_EVENT_ID, replay
from levante.replay.run import WorkflowRun
from levante_core.protocol import HistoryBatch, Input, RunMessage, RunStart, message_key

CONTEXT_EVENTS = 4
"""Events shown before the one that differs."""
NOT_RECORDED = frozenset({"event_id", "recorded_at", "taken_until", "by_hand"})
"""What the API adds to events."""
RECORD_BY_HAND = frozenset({"execution_paused", "execution_resumed"})
"""Kinds of events that say themselves who did it."""

_RUN_MESSAGE: TypeAdapter[RunMessage] = TypeAdapter(RunMessage)


class RecordedHistory:
    """A history as `GET /v1/workflows/executions/{id}/history` gives it. Raises: ValueError when it is none."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        try:
            started, *self._events = document["events"]
            self.start = RunStart.model_validate({name: started[name] for name in RunStart.model_fields if name in started})
            self._ids = str(document["execution_id"]), str(document["run_id"])
            self._messages = dict(_messages_in(self._events))
            self._batch = HistoryBatch.model_validate({"index": 1, "commit_id": "", "events": list(_recorded(self._events))})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"this is no history of an execution: {_brief(error)}") from None

    def replay(self, workflow: type) -> None:
        """Run the code against the history.

        Raises: NonDeterminismError, with the difference; WorkflowCodeFailed; ValueError for another workflow.
        """
        definition = get_workflow_definition(workflow)
        if definition.name != self.start.workflow_name:
            raise ValueError(f"the history is of workflow {self.start.workflow_name!r}, not of {definition.name!r}")
        run = WorkflowRun(definition, *self._ids, self.start)
        try:
            replay(run, [self._batch] if self._events else [], self._messages)
        except NonDeterminismError as error:
            shown = f"the code of {self.start.workflow_name} does not match this history:\n{self._difference(error)}"
            raise NonDeterminismError(shown, event_id=error.event_id, recorded=error.recorded, asked=error.asked) from None
        finally:
            run.dispose()

    def _difference(self, error: NonDeterminismError) -> str:
        """Show the first difference below the events before it."""
        position = error.event_id - FIRST_EVENT_ID
        before = self._events[max(0, position - CONTEXT_EVENTS) : position]
        lines = [f"    {event['event_id']:>6}  {_about(event)}" for event in before]
        return "\n".join([*lines, f"  - {error.event_id:>6}  {error.recorded}", f"  + {'':>6}  {error.asked}"])


def replay_history(history: Mapping[str, Any] | str | Path, workflow: type) -> None:
    """Replay a recorded history against today's code of its workflow, to test a change.

    Args:
        history: What `levante executions history ID --json` prints, or the path of a file that holds that.

    Raises:
        NonDeterminismError: With the first difference.
        WorkflowCodeFailed: When the code raises an exception, which is its cause.
        ValueError: When this is not a history of the workflow.
    """
    document = history if isinstance(history, Mapping) else from_json(Path(history).read_bytes())
    RecordedHistory(document).replay(workflow)


def _recorded(events: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """Yield the events as they are recorded: messages that were taken together are one event."""
    for event in events:
        if "taken_until" not in event:
            yield _bare(event)
        elif event["number"] == event["taken_until"]:
            yield {"kind": "mail_taken", "until": event["number"]}


def _messages_in(events: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, Input]]:
    for event in events:
        if "taken_until" in event:
            message = _RUN_MESSAGE.validate_python(_bare(event))
            yield message_key(message.number), message


def _bare(event: Mapping[str, Any]) -> Mapping[str, Any]:
    beside = NOT_RECORDED - {"by_hand"} if event["kind"] in RECORD_BY_HAND else NOT_RECORDED
    return {name: value for name, value in event.items() if name not in beside}


def _about(event: Mapping[str, Any]) -> str:
    name = next((f" {event[field]!r}" for field in ("name", "workflow_name", "patch_id") if event.get(field)), "")
    return f"{event['kind']}{name}" + (f" (command {event['seq']})" if "seq" in event else "")


def _brief(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__}: {text_of(error)}"
