"""Endpoints of activity attempts that go on outside of workers: whoever has the token of one ends it.

Ours; Mistral's API has no such thing.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from aws_lambda_powertools.event_handler import Request
from pydantic import Field, StrictBool

from levante_api.access.concerns import of_task_token
from levante_api.http.endpoints import TOKEN_HOLDERS, Endpoint, workspace_of
from levante_core.domain.executions.failure import Failure
from levante_core.domain.frozen import Frozen, Json
from levante_core.domain.payloads import problem_with
from levante_core.errors import InvalidCapability, InvalidInput
from levante_core.services.access.capabilities import AttemptGrant
from levante_core.services.activities.reports import GrantedReport
from levante_core.services.engine import Engine

Token = Annotated[str, Field(min_length=1, max_length=4096)]


class CompletionBody(Frozen):
    """The result of an attempt."""

    task_token: Token
    """What `activity.info().task_token` was."""
    result: Json = None
    """What the activity would have returned; 2 MB at most."""


class FailureBody(Frozen):
    """Why an attempt has failed."""

    task_token: Token
    """What `activity.info().task_token` was."""
    message: Annotated[str, Field(min_length=1, max_length=10_000)]
    """For people."""
    type: Annotated[str, Field(min_length=1, max_length=256)] = "ApplicationError"
    """What the workflow sees as the type of the error."""
    non_retryable: StrictBool = False
    """Whether no other attempt follows, whatever the policy."""
    details: tuple[Json, ...] = ()
    """For the workflow."""


class HeartbeatBody(Frozen):
    """Say that an attempt is still at work."""

    task_token: Token
    """What `activity.info().task_token` was."""
    details: tuple[Json, ...] = ()
    """For the attempt after it, if there is one."""


class AttemptEndResponse(Frozen):
    """Whether the end of the attempt was accepted."""

    is_accepted: bool
    """False when nobody waits for the attempt any more; a repeat of what was accepted says so too."""


class AttemptHeartbeatResponse(Frozen):
    """Whether the attempt is wanted."""

    is_wanted: bool
    """False asks to end the work: nobody waits for it any more."""


@dataclass(frozen=True)
class ActivityEndpoints:
    """Ends attempts by their tokens."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        base = "/v1/workflows/activities"
        ended = partial(Endpoint, "POST", roles=TOKEN_HOLDERS, errors=(404,), concern=of_task_token)
        return [
            ended(f"{base}/complete", self.complete_activity),
            ended(f"{base}/fail", self.fail_activity),
            ended(f"{base}/heartbeat", self.heartbeat_activity),
        ]

    def complete_activity(self, request: Request, body: CompletionBody) -> AttemptEndResponse:
        """Record the result of an attempt."""
        _, problem = problem_with("the result", body.result)
        if problem:
            raise InvalidInput.at(("body", "result"), problem)
        return self._end(GrantedReport(self._attempt(request, body.task_token), body.result))

    def fail_activity(self, request: Request, body: FailureBody) -> AttemptEndResponse:
        """Record that an attempt has failed; what follows is up to the retry policy of the activity."""
        _, problem = problem_with("the details", body.details)
        if problem:
            raise InvalidInput.at(("body", "details"), problem)
        failure = Failure(type=body.type, message=body.message, non_retryable=body.non_retryable, details=list(body.details))
        return self._end(GrantedReport(self._attempt(request, body.task_token), failure=failure))

    def heartbeat_activity(self, request: Request, body: HeartbeatBody) -> AttemptHeartbeatResponse:
        """Take in that an attempt is at work, and tell whether it is wanted still."""
        grant = self._attempt(request, body.task_token)
        return AttemptHeartbeatResponse(is_wanted=self.engine.activities.heartbeat(grant, body.details))

    def _attempt(self, request: Request, token: str) -> AttemptGrant:
        try:
            return self.engine.capabilities.attempt(workspace_of(request), token)
        except InvalidCapability:
            problem = "this is no task token that is good here: give the whole of what activity.info().task_token was"
            raise InvalidInput.at(("body", "task_token"), problem, "invalid_token") from None

    def _end(self, report: GrantedReport) -> AttemptEndResponse:
        return AttemptEndResponse(is_accepted=self.engine.activities.end(report))
