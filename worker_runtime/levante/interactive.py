"""Human in the loop: workflow code waits for an input that a person submits. Source: SDK contract §5 (read 2026-11-23)."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from levante import workflow
from levante.context import current_workflow
from levante.definition.handlers import PENDING_INPUTS, SUBMIT_INPUT, HandlerKind, mark
from levante.definition.schemas import Owner, ValueType, inlined, is_model, problems_of, schemas_of, with_definitions
from levante.diagnostics.calls import durable
from levante.errors import ErrorCode, WorkflowError
from levante.tasks import Task
from levante.values.forms import Form
from levante_core.protocol import Json, SearchKeysChanged

__all__ = ["InteractiveWorkflow", "PendingInput", "PendingInputs", "SubmittedInput"]

M = TypeVar("M", bound=BaseModel)
_Method = TypeVar("_Method", bound=Callable[..., Any])

TASK_TYPE: Final = "wait_for_input"
STATE_KEY: Final = "internal.execution.state"
WAITING: Final = "waiting_for_input"
"""The search key of executions that wait, and its value."""
_WAITS: Final = "_levante_waits"
"""The attribute that holds the open waits: made when it is needed, since a user's `__init__` need not call ours."""


class PendingInput(BaseModel):
    """What somebody is asked for. input_schema: JSON schema of the answer."""

    task_id: str
    input_schema: dict[str, Any]
    label: str | None


class PendingInputs(BaseModel):
    """All that a workflow waits for, in the order in which it asked."""

    pending_inputs: list[PendingInput]


class SubmittedInput(BaseModel):
    """An answer. task_id: of the pending input that it is for."""

    task_id: str
    input: Any


@dataclass(slots=True)
class _Answer(Generic[M]):
    value: M
    submitted: Json


@dataclass(slots=True)
class _Wait(Generic[M]):
    """One wait for an input. answer: None until a valid one is submitted."""

    pending: PendingInput
    type: ValueType
    answer: _Answer[M] | None = None


class _InputTask(Task[dict[str, Json]]):
    """The custom task of a wait: it completes with the input beside what it started with, and a cancelled one has failed."""

    def take(self, value: Json) -> None:
        """Add the input to what is published on completion."""
        self._published = {**(self.state or {}), "input": value}

    async def __aexit__(
        self, kind: builtins.type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TimeoutError):
            error = TimeoutError("nobody submitted the input in time")
        elif isinstance(error, asyncio.CancelledError):
            error = WorkflowError("the wait for the input was cancelled")
        await super().__aexit__(kind, error, trace)


def _ours(kind: HandlerKind, name: str, description: str) -> Callable[[_Method], _Method]:
    def decorate(method: _Method) -> _Method:
        mark(method, kind, name, description, is_ours=True)
        return method

    return decorate


class InteractiveWorkflow:
    """A workflow that can ask people for input: derive from it, and decorate the derived class as usual."""

    @durable("wait_for_input()")
    async def wait_for_input(
        self,
        model: type[M],
        label: str | None = None,
        timeout: timedelta | float | None = None,  # noqa: ASYNC109 - the name is part of the programming model
    ) -> M:
        """Wait until a person submits a valid input.

        A workflow can wait for several inputs at once.

        Args:
            model: The model of the input; clients see its JSON schema.
            label: For people.
            timeout: A timedelta or seconds. The wait is a custom task of type `wait_for_input`.

        Raises:
            TimeoutError: When the timeout has passed.
            WorkflowsException: Outside a workflow, or when the model has no JSON schema.
        """
        wait = _new_wait(model, label)
        asked = wait.pending
        async with _InputTask(TASK_TYPE, asked.model_dump(exclude={"task_id"}), asked.task_id) as input_task:
            waits = self._open_waits()
            waits[asked.task_id] = wait
            _show_state(waits)
            try:
                await workflow.wait_condition(lambda: wait.answer is not None, timeout)
            finally:
                waits.pop(asked.task_id, None)
                _show_state(waits)
            assert wait.answer is not None, "the condition holds"  # noqa: S101
            input_task.take(wait.answer.submitted)
        return wait.answer.value

    @_ours(HandlerKind.QUERY, PENDING_INPUTS, "What the workflow waits for")
    def _levante_pending_inputs(self) -> PendingInputs:
        return PendingInputs(pending_inputs=[wait.pending for wait in self._open_waits().values()])

    @_ours(HandlerKind.UPDATE, SUBMIT_INPUT, "Give the workflow what it waits for")
    def _levante_submit_input(self, submitted: SubmittedInput) -> dict[str, Any]:
        """Answer a wait, once. What is refused goes back to the caller, and the wait stays open."""
        wait = self._open_waits().get(submitted.task_id)
        if wait is None:
            problem = f"no input with task_id {submitted.task_id!r} is pending: query {PENDING_INPUTS} tells which are"
            raise WorkflowError(problem, non_retryable=True)
        try:
            value = wait.type.read(submitted.input)
        except ValidationError as error:
            problem = "; ".join(problems_of(error, "the input does not fit its schema"))
            raise WorkflowError(problem, non_retryable=True) from None
        wait.answer = _Answer(value, submitted.input)
        del self._open_waits()[submitted.task_id]
        return {}

    def _open_waits(self) -> dict[str, _Wait[Any]]:
        waits: dict[str, _Wait[Any]] = vars(self).setdefault(_WAITS, {})
        return waits


def _show_state(waits: Mapping[str, _Wait[Any]]) -> None:
    """Let executions be found that wait for input."""
    context = current_workflow.get()
    if context:
        waiting = SearchKeysChanged(values={STATE_KEY: WAITING})
        context.change_search_keys(waiting if waits else SearchKeysChanged(removed=(STATE_KEY,)))


def _new_wait(model: type[M], label: str | None) -> _Wait[M]:
    task_id = str(workflow.uuid4())
    owner = Owner("wait_for_input()", ErrorCode.INVALID_ARGUMENTS_ERROR)
    if not is_model(model):
        raise owner.definition_error(f"the model has to be the class of a pydantic model, not {model!r}")
    value_type = ValueType(owner, "the input", model, Form.INPUT)
    (schema,), definitions = schemas_of(owner, [value_type], "validation")
    input_schema = with_definitions(inlined(schema, definitions), definitions)
    return _Wait(PendingInput(task_id=task_id, input_schema=input_schema, label=label), value_type)
