"""Whether a workflow has a handler, and whether an input fits it: what can be said before any worker is asked."""

from collections.abc import Sequence
from enum import StrEnum

from levante_core.domain.executions.failure import Failure
from levante_core.domain.frozen import Json, wire_time
from levante_core.domain.near_names import did_you_mean
from levante_core.domain.payloads import problem_with
from levante_core.errors import HandlerFailed, InvalidInput, LevanteError, NotFound
from levante_core.protocol.specs import HandlerSpec, WorkflowSpec
from levante_core.services.catalogue.register import CatalogueService
from levante_core.services.messages.input_validation import InputChecks
from levante_core.storage.runs import RunSummary

INPUT = ("body", "input")
INVALID_ARGUMENTS = "InvalidArguments"
"""Type of the failure of an input that a handler's own types refuse."""


class HandlerKind(StrEnum):
    """What callers may ask of a running workflow."""

    SIGNAL = "signal"
    QUERY = "query"
    UPDATE = "update"


class HandlerChecks:
    """Checks inputs against what the deployment of an execution registered."""

    def __init__(self, catalogue: CatalogueService, inputs: InputChecks) -> None:
        self._catalogue = catalogue
        self._inputs = inputs

    def check(self, execution: RunSummary, kind: HandlerKind, name: str, value: Json) -> None:
        """Raises: NotFound for a handler that is not there; InvalidInput for what does not fit. Cost: a query."""
        entry = self._catalogue.get(execution.key.workspace, execution.workflow_name)
        for registration in entry.registrations:
            if registration.deployment_name != execution.pool.deployment or registration.spec is None:
                continue
            handlers = _handlers(registration.spec, kind)
            handler = next((spec for spec in handlers if spec.name == name), None)
            if handler is None:
                known = ", ".join(spec.name for spec in handlers) or "none"
                near = did_you_mean(name, (spec.name for spec in handlers))
                raise NotFound(f"workflow {entry.workflow.name!r} has no {kind} {name!r}; it has: {known}{near}")
            _, problem = problem_with("the input", value)
            if problem:
                raise InvalidInput.at(INPUT, problem)
            version = f"{registration.registration_id}@{wire_time(registration.registered_at)}#{kind}:{name}"
            self._inputs.check(handler.input_schema, value, name=version, at=INPUT)
            return
        raise NotFound(f"deployment {str(execution.pool)!r} no longer serves {execution.workflow_name!r}")


def refused(what: str, failure: Failure) -> LevanteError:
    """Return how the caller learns that a handler refused an input, or failed."""
    if failure.type == INVALID_ARGUMENTS:
        return InvalidInput.at(INPUT, failure.message)
    return HandlerFailed(f"{what} failed: {failure.message}", failure.model_dump(mode="json", exclude={"stack"}))


def _handlers(spec: WorkflowSpec, kind: HandlerKind) -> Sequence[HandlerSpec]:
    return {HandlerKind.SIGNAL: spec.signals, HandlerKind.QUERY: spec.queries, HandlerKind.UPDATE: spec.updates}[kind]
