"""What callers name: a workflow by its class, its entrypoint or its name; a handler by its method or its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel

from levante.client.errors import InvalidInput, Problem
from levante.definition.definitions import WorkflowDefinition, find_workflow_of, get_workflow_definition
from levante.definition.handlers import HandlerDefinition, HandlerKind, handler_of
from levante.definition.mapping import HandlerInput
from levante.definition.outputs import HandlerOutput
from levante.definition.refusals import PayloadRefused
from levante.definition.schemas import own_type
from levante.errors import InvalidArguments, WorkflowsException
from levante.values.exact import is_json
from levante.values.forms import Form
from levante_core.protocol import Json

Out = TypeVar("Out")
Out_co = TypeVar("Out_co", covariant=True)

Input: TypeAlias = BaseModel | Mapping[str, Any] | None
"""The input of a workflow or a handler: a model, or a mapping with the keys that it takes."""


class HasRun(Protocol[Out_co]):
    """A workflow whose entrypoint is named `run`: type checkers know from its class what it returns."""

    def run(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Out_co]:
        """Be the entrypoint."""
        ...


WithRun: TypeAlias = type[HasRun[Out]]
Entrypoint: TypeAlias = Callable[..., Coroutine[Any, Any, Out]]
"""The entrypoint itself, such as `Checkout.pay`: type checkers know what it returns, whatever it is named."""
AnyWorkflow: TypeAlias = type | str | Callable[..., Any]
AnyHandler: TypeAlias = Callable[..., Any] | str


_MISFIT = re.compile(r"(?:parameter|field) '([^']+)'(?: as \w+)?(?:: (?:([\w.-]+): )?| )(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CallTarget:
    """What is called: a workflow or a handler. takes, returns: None where only its name is known."""

    name: str
    takes: HandlerInput | None = None
    returns: HandlerOutput | None = None

    def dump(self, given: object) -> Json:
        """Return the input as JSON, as a child workflow would get it. Raises: InvalidInput."""
        try:
            if self.takes is not None:
                return self.takes.sent(given)
            return _untyped(given)
        except InvalidArguments as error:
            raise InvalidInput(error.message, tuple(map(_problem, error.misfits or (error.message,))), error.code) from None
        except PayloadRefused as error:
            raise InvalidInput(error.message, (_problem(error.message),), error.code) from None

    def load(self, value: Json) -> Any:
        """Return a result as it was returned; as JSON where the type is not known."""
        return value if self.returns is None else self.returns.load(value)


def workflow_named(workflow: AnyWorkflow) -> tuple[CallTarget, WorkflowDefinition | None]:
    """Return what a workflow is called by, and its definition, if more than its name is given.

    Raises: WorkflowsException for what is no workflow.
    """
    if isinstance(workflow, str):
        return CallTarget(workflow), None
    definition = get_workflow_definition(workflow) if isinstance(workflow, type) else find_workflow_of(workflow)
    if definition is None:
        raise WorkflowsException(f"{workflow!r} is no entrypoint of one workflow: name the class of the workflow")
    return CallTarget(definition.name, definition.entrypoint.input, definition.entrypoint.output), definition


def handler_named(definition: WorkflowDefinition | None, kind: HandlerKind, handler: AnyHandler) -> CallTarget:
    """Return what a handler is called by. Raises: WorkflowsException for what is no handler of this kind."""
    if isinstance(handler, str):
        found = _handlers(definition, kind).get(handler)
        return _target(found) if found else CallTarget(handler)
    found_kind, own = handler_of(handler)
    if found_kind is not kind:
        raise WorkflowsException(f"{handler.__qualname__} is marked as {found_kind}, not as {kind}")
    return _target(_handlers(definition, kind).get(own.name, own))


def _untyped(given: object) -> Json:
    """Return an input of which nobody knows the types. Raises: InvalidArguments for what only a type could write."""
    if isinstance(given, BaseModel):
        return own_type(type(given), Form.INPUT).write(given, "input")
    if not is_json(given):
        raise InvalidArguments("the input holds values that are no JSON: give the class of the workflow, not its name")
    return given


def _problem(misfit: str) -> Problem:
    """Read where an input is wrong, from what is said of it."""
    found = _MISFIT.fullmatch(misfit)
    if found is None:
        return Problem("input", misfit)
    name, path, message = found.groups()
    return Problem(f"{name}.{path}" if path else name, message)


def _handlers(definition: WorkflowDefinition | None, kind: HandlerKind) -> Mapping[str, HandlerDefinition]:
    if definition is None:
        return {}
    return {
        HandlerKind.SIGNAL: definition.signals,
        HandlerKind.QUERY: definition.queries,
        HandlerKind.UPDATE: definition.updates,
    }.get(kind, {})


def _target(handler: HandlerDefinition) -> CallTarget:
    return CallTarget(handler.name, handler.input, handler.output)
