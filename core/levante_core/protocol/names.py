"""Names as they come in over the wire. Their form is checked where a body is read, before they are part of any key."""

from collections.abc import Callable
from typing import Annotated, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from levante_core.domain import names
from levante_core.domain.names import DeploymentName, described
from levante_core.domain.worker_pool import WorkerPool, worker_pool
from levante_core.errors import InvalidInput

T = TypeVar("T")


def checked(check: Callable[[str], T], text: str) -> T:
    """Check a form while a model is validated. Raises: ValueError, as pydantic expects it."""
    try:
        return check(text)
    except InvalidInput as error:
        raise ValueError(str(error)) from None


def _pool(value: object) -> object:
    return checked(worker_pool, value) if isinstance(value, str) else value


def _deployment(text: str) -> DeploymentName:
    return checked(names.deployment_name, text)


def _worker(text: str) -> str:
    return checked(names.worker_name, text)


Deployment: TypeAlias = Annotated[
    DeploymentName, AfterValidator(_deployment), Field(json_schema_extra=described("deployment_name"))
]
"""The name of a deployment, of whichever build and session."""
Pool: TypeAlias = Annotated[WorkerPool, BeforeValidator(_pool), Field(json_schema_extra=described("worker_pool"))]
"""The workers that a task is for: those of a deployment, of one of its builds, or the one that has a session."""
WorkerName: TypeAlias = Annotated[str, AfterValidator(_worker), Field(json_schema_extra=described("worker_name"))]
"""The name of a worker process."""
