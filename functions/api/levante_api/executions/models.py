"""Executions and runs as clients send and see them. Every nullable key is always written: clients insist on it.

Source: the REST contract, §10 (docs/reference; read 2026-11-23).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictBool

from levante_api.dispatch.parked import ParkedItem, parked_item
from levante_core.domain.executions.blockers import Blocker
from levante_core.domain.executions.execution import Ending, Execution
from levante_core.domain.executions.failure import Failure
from levante_core.domain.frozen import Frozen, Json, Time
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import described
from levante_core.domain.payloads import is_encoded
from levante_core.errors import InvalidInput
from levante_core.storage.parked import Parked
from levante_core.storage.runs import RunSummary

Id = Annotated[str, Field(min_length=1, json_schema_extra=described("execution_id"))]
Deployment = Annotated[str, Field(min_length=1, json_schema_extra=described("deployment_name"))]


class WorkflowExecutionRequest(Frozen):
    """What to start."""

    execution_id: Id | None = None
    """1 to 256 letters, digits, `_` or `-`, of no open execution; made here, if left out."""
    input: dict[str, Json] | None = None
    """As the workflow's schema asks; 2 MB at most."""
    encoded_input: dict[str, Json] | None = None
    """Instead of `input`, one that only the workers can read."""
    wait_for_result: StrictBool = False
    """Whether to answer only when the execution has closed."""
    timeout_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """How long to wait for the result, 25 s if left out; 28 s on AWS at most, 300 s on one machine."""
    custom_tracing_attributes: dict[str, str] | None = None
    """Attributes for its spans."""
    force_new_trace: StrictBool = False
    """Whether to ignore the trace context."""
    traceparent: str | None = None
    """W3C trace context that it goes on; what is malformed is ignored."""
    extensions: dict[str, Json] | None = None
    """JSON that is kept, and never interpreted."""
    task_queue: Deployment | None = None
    """The older name of deployment_name."""
    deployment_name: Deployment | None = None
    """Which deployment is to run it, where several active ones serve the workflow."""


class ResetInvocationBody(Frozen):
    """From where to go on."""

    event_id: int
    """The last event of the history that is kept."""
    reason: Annotated[str, Field(max_length=1000)] | None = None
    """Why, for people."""
    exclude_signals: StrictBool = False
    """Whether to leave out the signals after that event, which are kept otherwise."""
    exclude_updates: StrictBool = False
    """Whether to leave out the updates after that event, which are kept otherwise."""


class WorkflowExecutionSyncResponse(Frozen):
    """The result of an execution that was waited for."""

    workflow_name: str
    """Name of the workflow."""
    execution_id: str
    """Id of the execution."""
    result: Json
    """What the workflow returned, as JSON."""


class WorkflowExecutionWithoutResultResponse(Frozen):
    """A run as listings show it."""

    workflow_name: str
    """Name of the workflow."""
    execution_id: str
    """Id of the execution."""
    root_execution_id: str
    """Id of the execution without parent that it is below; its own, if it has none."""
    status: ExecutionStatus | None
    """How it stands."""
    start_time: Time
    """When it started."""
    end_time: Time | None
    """When it ended; null while it is open."""
    workflow_id: str | None
    """Id of the workflow; null if it is not known."""
    deployment_name: str | None
    """Name of the deployment where it is advanced."""
    parent_execution_id: str | None
    """Id of the execution that started it; null if none did."""
    run_id: str | None
    """Id of the run."""
    user_id: str | None
    """Id of the API key that started it, its root or its schedule."""
    total_duration_ms: int | None
    """Milliseconds from start to end; null while it is open."""


class WorkflowExecutionResponse(WorkflowExecutionWithoutResultResponse):
    """An execution with its latest run."""

    result: Json
    """What the workflow returned; null unless it is COMPLETED."""
    input: Json
    """Input of its latest run; null unless asked for; not part of Mistral's API."""
    search_keys: dict[str, str] | None
    """Values by search key; null unless asked for."""
    failure: Failure | None
    """Why it failed, if it did; not part of Mistral's API."""
    build_id: str | None
    """Id of the build of the workers that it is pinned to; not part of Mistral's API."""
    parked: tuple[ParkedItem, ...] | None
    """What of it could not be handled and waits for another try, 20 items at most; null if there is nothing; not part of
    Mistral's API."""
    blockers: tuple[Blocker, ...] | None
    """What keeps it from going on, a second after its start at the earliest; null if there is nothing; not part of
    Mistral's API."""
    deadline_at: Time | None
    """When it is ended if it has not closed by then; not part of Mistral's API."""
    paused_at: Time | None
    """Since when it is paused, whose status is still RUNNING; null if it is not; not part of Mistral's API."""


class ListedExecution(WorkflowExecutionWithoutResultResponse):
    """A run as listings show it."""

    blockers: tuple[Blocker, ...] | None
    """What keeps it from going on; null unless asked for; not part of Mistral's API."""


class WorkflowExecutionListResponse(Frozen):
    """A page of runs."""

    executions: tuple[ListedExecution, ...]
    """The runs of this page."""
    next_page_token: str | None
    """Where the next page begins; null on the last one."""


class ShownEvent(Frozen):
    """An event of a history. Which fields it has depends on its kind."""

    model_config = ConfigDict(extra="allow")

    kind: str
    """What happened."""
    event_id: int
    """From 1 on, without a gap."""
    recorded_at: Time
    """When it was taken into the history."""


class TaskFailure(Frozen):
    """Why a run cannot be advanced at present."""

    attempt: int
    """How many times it was tried."""
    recorded_at: Time
    """When it was tried last."""
    failure: Failure
    """What went wrong the last time."""


class WorkflowHistoryResponse(Frozen):
    """The history of a run, or a page of it."""

    execution_id: str
    """Id of the execution."""
    run_id: str
    """Id of the run."""
    status: ExecutionStatus
    """How the run stands."""
    workflow_task_failure: TaskFailure | None
    """Why the run cannot be advanced at present; null if it can."""
    events: tuple[ShownEvent, ...]
    """Its events, in order."""
    next_after: int | None
    """The `after` of the next page; null if nothing is left by now."""


def execution_response(execution: Execution, *, with_search_keys: bool = False) -> WorkflowExecutionResponse:
    """Show an execution. A search key without a value is shown as an empty text, since clients insist on texts."""
    return status_response(execution, execution.ending, with_search_keys=with_search_keys)


def status_response(
    execution: Execution | RunSummary,
    ending: Ending | None,
    parked: Sequence[Parked] = (),
    blockers: Sequence[Blocker] = (),
    *,
    with_search_keys: bool = False,
    with_input: bool = False,
) -> WorkflowExecutionResponse:
    """Show an execution. with_input: shows the input, which a summary does not have. parked: what could not be handled."""
    run = execution.key
    ended_at = ending.ended_at if ending else None
    return WorkflowExecutionResponse(
        workflow_name=execution.workflow_name,
        execution_id=run.execution_id,
        root_execution_id=execution.root_execution_id,
        status=execution.status,
        start_time=execution.started_at,
        end_time=ended_at,
        workflow_id=execution.workflow_id,
        deployment_name=execution.pool.deployment,
        parent_execution_id=execution.parent_execution_id,
        run_id=run.run_id,
        user_id=execution.user_id,
        total_duration_ms=_milliseconds(execution.started_at, ended_at),
        result=ending.result if ending else None,
        input=execution.start.input if with_input and isinstance(execution, Execution) else None,
        search_keys={key: value or "" for key, value in execution.search_keys.items()} if with_search_keys else None,
        failure=ending.failure if ending else None,
        build_id=execution.pool.build_id,
        parked=tuple(map(parked_item, parked)) or None,
        blockers=tuple(blockers) or None,
        deadline_at=execution.deadline_at,
        paused_at=execution.paused_at if execution.is_open else None,
    )


def run_response(run: RunSummary, blockers: Sequence[Blocker] | None = None) -> ListedExecution:
    """Show a run of a listing. blockers: None where nobody has asked for them."""
    return ListedExecution(
        workflow_name=run.workflow_name,
        execution_id=run.key.execution_id,
        root_execution_id=run.root_execution_id,
        status=run.status,
        start_time=run.started_at,
        end_time=run.ended_at,
        workflow_id=run.workflow_id,
        deployment_name=run.pool.deployment,
        parent_execution_id=run.parent_execution_id,
        run_id=run.key.run_id,
        user_id=run.user_id,
        total_duration_ms=_milliseconds(run.started_at, run.ended_at),
        blockers=None if blockers is None else tuple(blockers),
    )


def given_input(plain: Json, encoded: Json) -> Json:
    """Return the one of both inputs that is given. Raises: InvalidInput."""
    if encoded is not None and plain is not None:
        raise InvalidInput.at(("body", "encoded_input"), "there is an input too: send one of them")
    if encoded is not None and not is_encoded(encoded):
        problem = "this is no encoded payload: it needs b64payload, and encoding_options"
        raise InvalidInput.at(("body", "encoded_input"), problem)
    return plain if encoded is None else encoded


def not_completed(execution: Execution) -> dict[str, Any]:
    """Say in the fields of an error why an execution that was waited for has no result."""
    failure = execution.ending.failure if execution.ending else None
    return {
        "status": execution.status.value,
        "failure": failure.model_dump(mode="json") if failure else None,
        "execution_id": execution.key.execution_id,
    }


def _milliseconds(started_at: datetime, ended_at: datetime | None) -> int | None:
    return None if ended_at is None else round((ended_at - started_at).total_seconds() * 1000)
