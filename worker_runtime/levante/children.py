"""Child workflows, as workflow code starts them and holds on to them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from levante.context import Child, ChildWorkflow, current_workflow
from levante.definition.cancellation import Cancellation, problem_with_cancellation, unless_abandoned
from levante.definition.definitions import WorkflowDefinition, get_workflow_definition
from levante.diagnostics.arguments import explained
from levante.diagnostics.calls import durable
from levante.errors import InvalidArguments, WorkflowsException
from levante_core.protocol import InvalidInput, ParentClosePolicy, did_you_mean


class ChildHandle:
    """A child that has started. Awaiting it returns its result, as often as you like.

    Awaiting it raises ChildWorkflowError if the child fails.
    """

    def __init__(self, definition: WorkflowDefinition, child: Child, cancellation: Cancellation) -> None:
        self._definition = definition
        self._child = child
        self._cancellation = cancellation

    @property
    def execution_id(self) -> str:
        """The id of the child's execution."""
        return str(self._child.scheduled.execution_id)

    def signal(self, name: str, params: BaseModel | Mapping[str, Any] | None = None) -> None:
        """Send the child a signal. It receives it once, after earlier ones, unless it has ended.

        Args:
            params: The arguments of its handler, a model or a mapping.

        Raises:
            WorkflowsException: When the child's workflow has no such signal.
            InvalidArguments: When they do not fit.
        """
        handler = self._definition.signals.get(name)
        if handler is None:
            known = ", ".join(sorted(self._definition.signals)) or "none"
            problem = f"workflow {self._definition.name!r} has no signal {name!r}, only: {known}"
            raise WorkflowsException(f"{problem}{did_you_mean(name, self._definition.signals)}")
        self._child.signal(name, handler.input.sent(params))

    def cancel(self) -> None:
        """Cancel the child; code that awaits it gets CancelledError. A repeat is harmless.

        With cancellation="wait", the code gets it when the child has ended, or its result if it completed all the same.
        """
        self._child.ended.cancel()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    async def _result(self) -> Any:
        return self._definition.load_result(await unless_abandoned(self._child.ended, self._cancellation))


@durable("execute_workflow()")
@explained("execute_workflow()")
async def execute_workflow(
    workflow: type,
    params: BaseModel | Mapping[str, Any] | None = None,
    *,
    execution_timeout: timedelta | None = None,
    execution_id: str | None = None,
    wait: bool = True,
    parent_close_policy: ParentClosePolicy | None = None,
    cancellation: Cancellation = "try",
) -> Any:
    """Run a workflow as a child of the calling workflow; outside workflows, in this process and without a server.

    Without a server, nothing is recorded, and signals, updates and queries cannot reach it.

    params: the child's input, a model or a mapping with the keys that its entrypoint takes. execution_timeout: None for what
    the child declares. execution_id: None derives one, the same on every replay. wait: True returns the child's result,
    False a ChildHandle once the child has started. parent_close_policy: what happens to the child if this run ends first; by
    default it is terminated, or with wait=False abandoned. cancellation: what happens to the child when the code that awaits
    it is cancelled. "try" cancels the child and raises CancelledError at once. "wait" cancels the child and waits for its
    end: CancelledError if it was cancelled, otherwise its result or error. "abandon" leaves the child running and raises
    CancelledError at once.
    Raises: ChildWorkflowError, or without a server RecordedError; InvalidArguments; WorkflowsException for wait=False
    outside a workflow.
    """
    context = current_workflow.get()
    definition = get_workflow_definition(workflow)
    value = definition.entrypoint.input.sent(params)
    if problem := problem_with_cancellation(cancellation):
        raise InvalidArguments(problem)
    _check_timeout(execution_timeout)
    if context is None:
        if not wait:
            raise WorkflowsException("execute_workflow(wait=False) works only in the code of a running workflow")
        from levante.inprocess.execution import run_locally  # noqa: PLC0415 - brings the parts of a worker, which workflows do without

        return await run_locally(definition, value, execution_timeout or definition.execution_timeout)
    asked = ChildWorkflow(
        workflow_name=definition.name,
        input=value,
        close_policy=parent_close_policy or (ParentClosePolicy.TERMINATE if wait else ParentClosePolicy.ABANDON),
        is_awaited=wait,
        execution_id=execution_id,
        timeout_seconds=execution_timeout.total_seconds() if execution_timeout else None,
        declared_seconds=0.0 if definition.is_technical else definition.execution_timeout.total_seconds(),
        waits_for_end=cancellation == "wait",
    )
    try:
        child = context.start_child(asked)
    except InvalidInput as error:
        raise InvalidArguments(str(error)) from None
    handle = ChildHandle(definition, child, cancellation)
    if not wait:
        await child.started
    return await handle if wait else handle


def _check_timeout(timeout: object) -> None:
    """Raises: InvalidArguments for what is no time that a child could take."""
    if timeout is not None and (not isinstance(timeout, timedelta) or timeout <= timedelta()):
        raise InvalidArguments(f"execution_timeout has to be a positive timedelta, not {timeout!r}")
