"""Which deployments a request of a worker is about: a key that is bound to some may send no other ones.

Each function reads one kind of body. What names a run as well is about the deployment of that run, whatever else it says.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from levante_api.event_models import EventBody, EventsBody
from levante_core.domain.names import DeploymentName, ExecutionId, RunId
from levante_core.protocol.activities import ActivityReportsRequest, CheckRequest, DeferRequest, TaskEventsRequest
from levante_core.protocol.task_tokens import attempt_of
from levante_core.protocol.workers import CommitsRequest, LeasesRequest, QueryAnswersRequest, WorkflowTaskFailedRequest


class OfDeployment(Protocol):
    """What says which deployment it is about."""

    @property
    def deployment_name(self) -> str:
        """With a build or a session, or without."""
        ...


class OfRun(Protocol):
    """What says which run it is about."""

    @property
    def execution_id(self) -> ExecutionId:
        """Of the run."""
        ...

    @property
    def run_id(self) -> RunId:
        """Of the run."""
        ...


class OfTask(OfDeployment, OfRun, Protocol):
    """What says both."""


class WithToken(Protocol):
    """What has the token of an attempt."""

    @property
    def task_token(self) -> str:
        """What `activity.info().task_token` was."""
        ...


@dataclass(frozen=True, slots=True)
class Concern:
    """What a request is about. runs: by execution and run.

    must_exist: whether the service takes runs by their ids alone, so that what names a run that there is not is refused.
    """

    deployments: tuple[DeploymentName, ...] = ()
    runs: tuple[tuple[ExecutionId, RunId], ...] = ()
    must_exist: bool = False


ConcernOf: TypeAlias = Callable[[Any], Concern]
"""Finds what a body is about."""


def of_nothing(_: object) -> Concern:
    """Only the key itself."""
    return Concern()


def of_deployment(body: OfDeployment) -> Concern:
    """The deployment that is named."""
    return Concern((DeploymentName(body.deployment_name),))


def of_run(body: OfRun) -> Concern:
    """The run that is named."""
    return Concern(runs=_runs([body]))


def of_leases(body: LeasesRequest) -> Concern:
    """The deployment, and those of the tasks that are handed back."""
    return Concern((body.deployment_name, *(one.task.deployment_name for one in body.hand_back)))


def of_commits(body: CommitsRequest) -> Concern:
    """Every run that a batch is for."""
    return _of_tasks(body.commits, must_exist=True)


def of_task_failure(body: WorkflowTaskFailedRequest) -> Concern:
    """The run that cannot be advanced."""
    return _of_tasks([body], must_exist=True)


def of_check(body: CheckRequest) -> Concern:
    """The run of the task."""
    return _of_tasks([body.task])


def of_deferral(body: DeferRequest) -> Concern:
    """The run of the attempt."""
    return _of_tasks([body.attempt])


def of_reports(body: ActivityReportsRequest) -> Concern:
    """The runs of all attempts."""
    return _of_tasks(body.reports, must_exist=True)


def of_token(body: WithToken) -> Concern:
    """The run of the attempt that the token is for. Raises: InvalidInput."""
    return _of_tasks([attempt_of(body.task_token)])


def of_answers(body: QueryAnswersRequest) -> Concern:
    """The runs that were asked."""
    return Concern(runs=_runs(body.answers), must_exist=True)


def of_publications(body: TaskEventsRequest) -> Concern:
    """The runs of all activities that tell something."""
    return Concern(runs=_runs(body.publications))


def of_event(body: EventBody) -> Concern:
    """The run that the event is of."""
    return of_events(EventsBody.model_construct(events=(body.event,)))


def of_events(body: EventsBody) -> Concern:
    """The runs that the events are of."""
    runs = ((ExecutionId(one.workflow_exec_id), RunId(one.workflow_run_id)) for one in body.events)
    return Concern(runs=tuple(dict.fromkeys(runs)))


def _of_tasks(tasks: Iterable[OfTask], *, must_exist: bool = False) -> Concern:
    named = list(tasks)
    return Concern(tuple(DeploymentName(one.deployment_name) for one in named), _runs(named), must_exist)


def _runs(named: Iterable[OfRun]) -> tuple[tuple[ExecutionId, RunId], ...]:
    return tuple(dict.fromkeys((one.execution_id, one.run_id) for one in named))
