"""A worker's settings: from arguments, else from the environment, else from `.env`, else their defaults."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, AliasGenerator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from levante.client.errors import ClientMisconfigured
from levante.client.settings import API_KEY, DEFAULT_SERVER_URL, check_vendor_key, is_loopback
from levante.encoding.settings import unreadable, variables
from levante.errors import ErrorCode, WorkflowsException
from levante_core.protocol import DeploymentName, InvalidInput, WorkerPool, build_id, deployment_name, worker_name
from levante_core.protocol.local_key import ENV_FILE, data_directory, default_deployment, read_local_key

_ENVIRONMENT: Mapping[str, tuple[str, ...]] = {
    "server_url": ("LEVANTE_SERVER_URL", "SERVER_URL"),
    "api_key": ("LEVANTE_API_KEY", "MISTRAL_API_KEY"),
    "deployment_name": ("DEPLOYMENT_NAME", "TEMPORAL_DEPLOYMENT_NAME"),
    "worker_name": ("WORKER_NAME",),
    "build_id": ("BUILD_ID", "TEMPORAL_WORKER_BUILD_ID"),
    "log_level": ("LOG_LEVEL",),
    "log_format": ("LOG_FORMAT",),
    "ship_logs": ("LEVANTE_SHIP_LOGS",),
    "max_concurrent_activities": ("MAX_CONCURRENT_ACTIVITIES",),
    "max_cached_workflows": ("MAX_CACHED_WORKFLOWS",),
    "drain_seconds": ("DRAIN_SECONDS",),
    "enforce_determinism": ("DEFAULT_ENFORCE_DETERMINISM",),
    "fail_on_errors": ("DANGEROUSLY_FORCE_FAIL_WORKFLOW_ON_ERROR",),
    "queue_access": ("LEVANTE_QUEUE_ACCESS",),
    "health_server_host": ("HEALTH_SERVER_HOST",),
    "health_server_port": ("HEALTH_SERVER_PORT",),
    "retry_max_attempts": ("RETRY_POLICY_MAX_ATTEMPTS",),
    "retry_backoff_coefficient": ("RETRY_POLICY_BACKOFF_COEFFICIENT",),
}
"""Names of the variables, ours before the vendor's."""
_FIELDS = {variable: field for field, variables in _ENVIRONMENT.items() for variable in variables}


class WorkerSettings(BaseModel):
    """What a worker is told when it starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server_url: Annotated[str, Field(pattern="^https?://")] = DEFAULT_SERVER_URL
    api_key: SecretStr
    deployment_name: str
    worker_name: str = Field(default_factory=lambda: f"{socket.gethostname()[:80]}-{os.getpid()}")
    build_id: str | None = None
    """What the code was built from; executions stay with the build that started them while it has workers."""
    log_level: Annotated[str, Field(pattern="^(?i:debug|info|warning|error|critical)$")] = "info"
    log_format: Literal["console", "json"] = "console"
    ship_logs: bool | None = None
    """Whether clients can read what is logged; None says so unless payloads are encrypted, as lines are not."""
    max_concurrent_activities: Annotated[int, Field(ge=1)] = 100
    max_cached_workflows: Annotated[int, Field(ge=0)] = 1000
    """0 replays every time."""
    drain_seconds: Annotated[float, Field(ge=0)] = 10.0
    """How long running activities may go on after SIGTERM."""
    enforce_determinism: bool = True
    """Whether workflows that leave it open are refused calls that differ on replay."""
    fail_on_errors: bool = False
    """Whether bugs in workflow code end executions as failed, so that no fixed code can go on with them."""
    queue_access: Literal["lent", "own", "api"] = "lent"
    """How tasks come. lent: from the queues themselves, where the API lends credentials for them. own: the same with the
    credentials of the worker's environment. api: through the API."""
    health_server_host: str = "localhost"
    health_server_port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Where `GET /health` is answered; None for nowhere."""
    retry_max_attempts: Annotated[int, Field(ge=1)] = 3
    retry_backoff_coefficient: Annotated[float, Field(ge=1)] = 2.0

    @property
    def serves(self) -> WorkerPool:
        """What the worker takes tasks of: its deployment, or with a build_id that build's executions of it."""
        return WorkerPool(DeploymentName(self.deployment_name), self.build_id)


class _WorkerEnvironment(WorkerSettings, BaseSettings):
    """The same, read from variables too; empty ones count as unset."""

    model_config = SettingsConfigDict(
        alias_generator=AliasGenerator(validation_alias=lambda field: AliasChoices(*_ENVIRONMENT[field])),
        populate_by_name=True,
        case_sensitive=True,
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
    )


def read_settings(given: Mapping[str, Any], program: str | None = None) -> WorkerSettings:
    """Build the settings.

    given: those that the caller set, None for the others. program: what is served, which names a deployment on the machine
    of the host; the script that runs, if it is not said.
    Raises: WorkflowsException, which names the variable and never holds its value.
    """
    try:
        chosen = {name: value for name, value in given.items() if value is not None}
        settings = _WorkerEnvironment(**{**_found_here(chosen, program), **chosen})
        if not settings.deployment_name:
            raise _missing("deployment_name")
        if not settings.api_key.get_secret_value():
            raise _missing("api_key")
        _check_key(settings, given)
        deployment_name(settings.deployment_name)
        worker_name(settings.worker_name)
        if settings.build_id:
            build_id(settings.build_id)
    except ValidationError as error:
        raise _explained(error) from None
    except (InvalidInput, ClientMisconfigured) as error:
        raise _wrong(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(unreadable(error)) from None
    return settings


def _found_here(given: Mapping[str, Any], program: str | None) -> dict[str, Any]:
    """Return our key, wherever it is set, and what need not be said on the machine of the host.

    There, its own key is known, and the program names the deployment.
    """
    found: dict[str, Any] = {}
    known = {**variables(), **given}
    if not known.get("api_key") and (ours := known.get(API_KEY)):
        found["api_key"] = ours  # from `.env`, even where MISTRAL_API_KEY is in the environment
    url = next((str(known[name]) for name in ("server_url", *_ENVIRONMENT["server_url"]) if known.get(name)), None)
    if not is_loopback(urlsplit(url or DEFAULT_SERVER_URL).hostname or ""):
        return found
    if not any(known.get(name) for name in ("api_key", API_KEY)) and (key := read_local_key(data_directory(known))):
        found["api_key"] = key
    if not any(known.get(name) for name in ("deployment_name", *_ENVIRONMENT["deployment_name"])):
        script = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
        if program or (script.suffix == ".py" and script.stem != "__main__"):
            found["deployment_name"] = default_deployment(program or script.name)
    return found


def _check_key(settings: WorkerSettings, given: Mapping[str, Any]) -> None:
    """Raises: ClientMisconfigured where the key is the vendor's, and the server too."""
    if not given.get("api_key") and not variables().get(API_KEY):
        check_vendor_key(settings.server_url)


def _explained(error: ValidationError) -> WorkflowsException:
    """Say what is wrong first of all: what is missing, else in the order of the fields."""
    problems = [(str(problem["loc"][0]), problem) for problem in error.errors(include_input=False)]
    by_field = [(_FIELDS.get(place, place), problem) for place, problem in problems]
    missing = {name for name, problem in by_field if problem["type"] == "missing"}
    for name in ("deployment_name", "api_key"):
        if name in missing:
            return _missing(name)
    name, first = by_field[0]
    return _wrong(f"{' or '.join(_ENVIRONMENT.get(name, (name,)))}: {first['msg']}")


def _missing(name: str) -> WorkflowsException:
    return _wrong(f"{name} is missing: set {' or '.join(_ENVIRONMENT[name])}")


def _wrong(message: str) -> WorkflowsException:
    return WorkflowsException(message, status=422, code=ErrorCode.WORKER_RUNTIME_CONFIG_ERROR)
