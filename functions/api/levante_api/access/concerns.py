"""Which deployments a request of a worker is about: a key that is bound to some may send no other ones.

Each function reads one kind of body. Work on a run is about the deployment that its token names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from levante_api.streams.models import EventBody, EventsBody
from levante_core.domain.names import DeploymentName, ExecutionId, RunId
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol.activities import ActivityReportsRequest, CheckRequest, TaskEventsRequest
from levante_core.protocol.workers import CommitsRequest, LeasesRequest


class OfDeployment(Protocol):
    """What says which deployment it is about."""

    @property
    def deployment_name(self) -> DeploymentName:
        """Of whichever build and session."""
        ...


class OfPool(Protocol):
    """What says which workers of a deployment it is about."""

    @property
    def deployment_name(self) -> WorkerPool:
        """With a build or a session, or without."""
        ...


class WithToken(Protocol):
    """What has the token of a run or an attempt."""

    @property
    def token(self) -> str:
        """As it was given."""
        ...


class WithTaskToken(Protocol):
    """What has the token of an attempt."""

    @property
    def task_token(self) -> str:
        """What `activity.info().task_token` was."""
        ...


@dataclass(frozen=True, slots=True)
class Concern:
    """What a request is about. tokens: of runs and attempts, which name their deployment. runs: by execution and run."""

    deployments: tuple[DeploymentName, ...] = ()
    tokens: tuple[str, ...] = ()
    runs: tuple[tuple[ExecutionId, RunId], ...] = ()


ConcernOf: TypeAlias = Callable[[Any], Concern]
"""Finds what a body is about."""


def of_nothing(_: object) -> Concern:
    """Only the key itself."""
    return Concern()


def of_deployment(body: OfDeployment) -> Concern:
    """The deployment that is named."""
    return Concern((body.deployment_name,))


def of_pool(body: OfPool) -> Concern:
    """The deployment of the workers."""
    return Concern((body.deployment_name.deployment,))


def of_token(body: WithToken) -> Concern:
    """What the token is for."""
    return Concern(tokens=(body.token,))


def of_task_token(body: WithTaskToken) -> Concern:
    """The attempt that the token is for."""
    return Concern(tokens=(body.task_token,))


def of_leases(body: LeasesRequest) -> Concern:
    """The deployment, and those of the tasks that are handed back."""
    return Concern((body.deployment_name.deployment,), tuple(lease.token for lease in body.hand_back))


def of_commits(body: CommitsRequest) -> Concern:
    """Every run that a batch is for."""
    return Concern(tokens=tuple(commit.token for commit in body.commits))


def of_check(body: CheckRequest) -> Concern:
    """The attempt of the task."""
    return Concern(tokens=(body.task.token,))


def of_reports(body: ActivityReportsRequest) -> Concern:
    """All attempts."""
    return Concern(tokens=tuple(report.token for report in body.reports))


def of_publications(body: TaskEventsRequest) -> Concern:
    """The attempts of all activities that publish something."""
    return Concern(tokens=tuple(publication.token for publication in body.publications))


def of_event(body: EventBody) -> Concern:
    """The run that the event is of."""
    return of_events(EventsBody.model_construct(events=(body.event,)))


def of_events(body: EventsBody) -> Concern:
    """The runs that the events are of."""
    runs = ((ExecutionId(event.workflow_exec_id), RunId(event.workflow_run_id)) for event in body.events)
    return Concern(runs=tuple(dict.fromkeys(runs)))
