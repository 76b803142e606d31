"""Endpoints of repairs by hand: of an execution's latest run, its activities, timers and children."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from aws_lambda_powertools.event_handler import Request, Response
from pydantic import Field

from levante_api.http.endpoints import CLIENTS, Endpoint, key_of, no_content
from levante_core.domain.frozen import Frozen, Json
from levante_core.domain.limits import MOST_PLACES
from levante_core.errors import NotFound
from levante_core.services.engine import Engine
from levante_core.services.executions.interventions import FAILED_BY_HAND, Command

Reason = Annotated[str, Field(max_length=1000)]


class ByHandBody(Frozen):
    """Why something is done by hand."""

    reason: Reason | None = None
    """Why, for people."""


class CompletionByHandBody(ByHandBody):
    """A result that is given by hand."""

    result: Json
    """What is to be its result, as JSON, in the form in which the API shows results of its kind."""


class FailureByHandBody(ByHandBody):
    """A failure that is given by hand."""

    message: Annotated[str, Field(min_length=1, max_length=10_000)]
    """What went wrong, for people."""
    type: Annotated[str, Field(min_length=1, max_length=256)] = FAILED_BY_HAND
    """Type of the failure, as workflow code can tell it from others."""


@dataclass(frozen=True)
class InterventionEndpoints:
    """Repairs executions by hand."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        execution = "/v1/workflows/executions/<execution_id>"
        repair = partial(Endpoint, "POST", roles=CLIENTS, status=204, errors=(404, 409), audits=("type", "reason"))
        return [
            repair(f"{execution}/pause", self.pause_workflow_execution),
            repair(f"{execution}/resume", self.resume_workflow_execution),
            repair(f"{execution}/activities/<seq>/retry", self.retry_activity),
            repair(f"{execution}/activities/<seq>/complete", self.complete_activity_by_hand),
            repair(f"{execution}/activities/<seq>/fail", self.fail_activity_by_hand),
            repair(f"{execution}/timers/<seq>/skip", self.skip_timer),
            repair(f"{execution}/children/<seq>/complete", self.complete_child),
            repair(f"{execution}/children/<seq>/fail", self.fail_child),
        ]

    def pause_workflow_execution(self, request: Request, execution_id: str, body: ByHandBody) -> Response[None]:
        """Record no step of an execution until it is resumed. Timers, messages and its time limit count on meanwhile."""
        key = key_of(request)
        self.engine.pausing.pause(key.workspace, execution_id, key, body.reason)
        return no_content()

    def resume_workflow_execution(self, request: Request, execution_id: str, body: ByHandBody) -> Response[None]:
        """Let a paused execution go on, with all that has come in meanwhile."""
        key = key_of(request)
        self.engine.pausing.resume(key.workspace, execution_id, key, body.reason)
        return no_content()

    def retry_activity(self, request: Request, execution_id: str, seq: str, body: ByHandBody) -> Response[None]:
        """Let the next attempt of an activity that has failed begin now."""
        return self._carry_out(self.engine.interventions.retry_activity, request, execution_id, seq, body)

    def complete_activity_by_hand(
        self, request: Request, execution_id: str, seq: str, body: CompletionByHandBody
    ) -> Response[None]:
        """Give an activity a result. A running attempt stops at its next heartbeat; its outcome changes nothing."""
        complete = partial(self.engine.interventions.complete_activity, result=body.result)
        return self._carry_out(complete, request, execution_id, seq, body)

    def fail_activity_by_hand(
        self, request: Request, execution_id: str, seq: str, body: FailureByHandBody
    ) -> Response[None]:
        """Let an activity fail for good. A running attempt stops at its next heartbeat; its outcome changes nothing."""
        fail = partial(self.engine.interventions.fail_activity, message=body.message, kind=body.type)
        return self._carry_out(fail, request, execution_id, seq, body)

    def skip_timer(self, request: Request, execution_id: str, seq: str, body: ByHandBody) -> Response[None]:
        """Let a timer fire now: a sleep is over, a timeout has passed."""
        return self._carry_out(self.engine.interventions.skip_timer, request, execution_id, seq, body)

    def complete_child(self, request: Request, execution_id: str, seq: str, body: CompletionByHandBody) -> Response[None]:
        """Give the parent a result of a child, which itself goes on if it is open."""
        complete = partial(self.engine.interventions.complete_child, result=body.result)
        return self._carry_out(complete, request, execution_id, seq, body)

    def fail_child(self, request: Request, execution_id: str, seq: str, body: FailureByHandBody) -> Response[None]:
        """Let the parent see that a child has failed; the child itself goes on if it is open."""
        fail = partial(self.engine.interventions.fail_child, message=body.message, kind=body.type)
        return self._carry_out(fail, request, execution_id, seq, body)

    def _carry_out(
        self, repair: Callable[[Command], None], request: Request, execution_id: str, seq: str, body: ByHandBody
    ) -> Response[None]:
        key = key_of(request)
        repair(Command(key.workspace, execution_id, _number(seq), key, body.reason))
        return no_content()


def _number(text: str) -> int:
    """Read the number of a command. Raises: NotFound for what none can be."""
    if text.isascii() and text.isdigit() and len(text) <= len(str(MOST_PLACES)):
        return int(text)
    raise NotFound(f"no command has the number {text!r}: take `seq` of what the execution waits for")
