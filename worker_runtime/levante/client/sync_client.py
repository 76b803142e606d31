"""The client for programs that block."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

import httpx

from levante.client.models import ExecutionDescription, ExecutionEvent, Explanation
from levante.client.operations import EventFilter, Of, Operations
from levante.client.settings import read_connection
from levante.client.steps import REQUEST_SECONDS, RETRY_SECONDS
from levante.client.targets import (
    AnyHandler,
    AnyWorkflow,
    CallTarget,
    Entrypoint,
    Input,
    Out,
    WithRun,
    handler_named,
    workflow_named,
)
from levante.client.transport.sync_transport import SyncTransport
from levante.definition.definitions import WorkflowDefinition
from levante.definition.handlers import HandlerKind
from levante.encoding.settings import EncodingSettings

R = TypeVar("R")


class Client:
    """Starts executions, sends them messages and waits for their results. Any number of threads may use it.

    url, api_key: by default LEVANTE_SERVER_URL and LEVANTE_API_KEY, as the command line reads them (docs/client.md).
    encoding: how payloads are encoded; by default from the same variables as in workers. timeout: seconds for one request.
    retry_for: seconds for which a call is repeated while the server does not answer or is unavailable; no call takes effect
    twice. transport: replaces the network in tests.
    Close it, or use it in a `with` block. Methods raise: ClientError.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        encoding: EncodingSettings | None = None,
        timeout: float = REQUEST_SECONDS,
        retry_for: float = RETRY_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Raises: ClientMisconfigured, EncodingMisconfigured."""
        connection = read_connection(url, api_key)
        self._operations = Operations(connection, encoding, seconds=timeout, retry_seconds=retry_for)
        self._transport = SyncTransport(connection, transport)

    @overload
    def start(
        self, workflow: WithRun[Out], input: Input = None, *, execution_id: str | None = None, deployment: str | None = None
    ) -> Handle[Out]: ...
    @overload
    def start(
        self,
        workflow: Entrypoint[Out],
        input: Input = None,
        *,
        execution_id: str | None = None,
        deployment: str | None = None,
    ) -> Handle[Out]: ...
    @overload
    def start(
        self, workflow: type | str, input: Input = None, *, execution_id: str | None = None, deployment: str | None = None
    ) -> Handle[Any]: ...
    def start(
        self, workflow: AnyWorkflow, input: Input = None, *, execution_id: str | None = None, deployment: str | None = None
    ) -> Handle[Any]:
        """Start an execution of a workflow: its class, its entrypoint or its name.

        Args:
            workflow: As above. Type checkers know what an entrypoint returns, and a class whose entrypoint is named `run`.
            input: A model, or a mapping with the keys that the entrypoint takes. If the class is known, it is checked before
                any request.
            execution_id: Generated, if left out.
            deployment: The deployment, if several serve the workflow.

        Raises:
            InvalidInput: The input does not fit.
            AlreadyStarted: An open execution has this id.
            NotFound: No worker has registered the workflow.
            AmbiguousDeployment: Several deployments serve it.
        """
        called, definition = workflow_named(workflow)
        started = self._transport.run(self._operations.start(called, input, execution_id, deployment))
        return Handle(self, started, called, definition)

    @overload
    def execute(
        self,
        workflow: WithRun[Out],
        input: Input = None,
        *,
        execution_id: str | None = None,
        deployment: str | None = None,
        timeout: float | None = None,
    ) -> Out: ...
    @overload
    def execute(
        self,
        workflow: Entrypoint[Out],
        input: Input = None,
        *,
        execution_id: str | None = None,
        deployment: str | None = None,
        timeout: float | None = None,
    ) -> Out: ...
    @overload
    def execute(
        self,
        workflow: type | str,
        input: Input = None,
        *,
        execution_id: str | None = None,
        deployment: str | None = None,
        timeout: float | None = None,
    ) -> Any: ...
    def execute(
        self,
        workflow: AnyWorkflow,
        input: Input = None,
        *,
        execution_id: str | None = None,
        deployment: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Start an execution as `start` does, and return its result as the entrypoint returned it.

        Args:
            workflow: As for `start`, like input, execution_id and deployment.
            timeout: Seconds to wait; None for no limit. The execution goes on after a timeout.

        Raises:
            WorkflowExecutionFailed: It ended without a result.
            NotReady: It is still open.
        """
        called, _ = workflow_named(workflow)
        return self._transport.run(self._operations.execute(called, input, execution_id, deployment, timeout))

    @overload
    def handle(self, execution_id: str, workflow: WithRun[Out]) -> Handle[Out]: ...
    @overload
    def handle(self, execution_id: str, workflow: Entrypoint[Out]) -> Handle[Out]: ...
    @overload
    def handle(self, execution_id: str, workflow: type | str | None = None) -> Handle[Any]: ...
    def handle(self, execution_id: str, workflow: AnyWorkflow | None = None) -> Handle[Any]:
        """Return a handle of an existing execution, without a request."""
        called, definition = workflow_named("" if workflow is None else workflow)
        return Handle(self, execution_id, called, definition)

    def close(self) -> None:
        """Close connections. A repeat is harmless."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Handle(Generic[Out]):
    """One execution. Methods raise: ClientError."""

    def __init__(self, client: Client, execution_id: str, called: CallTarget, definition: WorkflowDefinition | None) -> None:
        self.execution_id = execution_id
        self._target = called
        self._definition = definition
        self._operations = client._operations  # noqa: SLF001 - made by the client
        self._transport = client._transport  # noqa: SLF001 - same

    def __repr__(self) -> str:
        return f"<Handle of execution {self.execution_id}>"

    def result(self, timeout: float | None = None) -> Out:
        """Wait for the end of the execution, and return its result.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            WorkflowExecutionFailed: It ended without a result.
            NotReady: It is still open.
        """
        result: Out = self._transport.run(self._operations.result(self._target, self.execution_id, timeout))
        return result

    def describe(self) -> ExecutionDescription:
        """Return the current state of the execution."""
        return self._transport.run(self._operations.describe(self.execution_id))

    def explain(self) -> Explanation:
        """Return what the execution waits for, who has to act, and what can be done by hand."""
        return self._transport.run(self._operations.explain(self.execution_id))

    def signal(self, signal: AnyHandler, input: Input = None, *, idempotency_key: str | None = None) -> None:
        """Send a signal, by its method or its name; it is durable on return.

        Args:
            signal: As above.
            input: A model, or a mapping with the keys that the handler takes.
            idempotency_key: A repeat with the same key changes nothing.

        Raises:
            InvalidInput: The input does not fit.
            ExecutionClosed: The execution has ended.
        """
        called = handler_named(self._definition, HandlerKind.SIGNAL, signal)
        self._transport.run(self._operations.signal(self.execution_id, called, input, idempotency_key))

    @overload
    def query(self, query: Callable[..., R], input: Input = None, *, timeout: float = REQUEST_SECONDS) -> R: ...
    @overload
    def query(self, query: str, input: Input = None, *, timeout: float = REQUEST_SECONDS) -> Any: ...
    def query(self, query: AnyHandler, input: Input = None, *, timeout: float = REQUEST_SECONDS) -> Any:
        """Send a query, by its method or its name, and return the answer.

        Args:
            query: As above.
            input: A model, or a mapping with the keys that the handler takes.
            timeout: Seconds to wait.

        Raises:
            InvalidInput: The input does not fit.
            HandlerFailed: The handler raised.
            ExecutionClosed: The execution has ended.
            NotReady: No worker answers.
        """
        called = handler_named(self._definition, HandlerKind.QUERY, query)
        return self._transport.run(self._operations.query(self.execution_id, called, input, timeout))

    @overload
    def update(
        self,
        update: Callable[..., Coroutine[Any, Any, R]],
        input: Input = None,
        *,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> R: ...
    @overload
    def update(
        self,
        update: Callable[..., R],
        input: Input = None,
        *,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> R: ...
    @overload
    def update(
        self, update: str, input: Input = None, *, timeout: float | None = None, idempotency_key: str | None = None
    ) -> Any: ...
    def update(
        self,
        update: AnyHandler,
        input: Input = None,
        *,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """Send an update, by its method or its name, and return the answer.

        Args:
            update: As above.
            input: A model, or a mapping with the keys that the handler takes.
            timeout: Seconds to wait; None for no limit.
            idempotency_key: A repeat with the same key changes nothing and returns the first answer.

        Raises:
            InvalidInput: The input does not fit.
            HandlerFailed: The handler raised.
            ExecutionClosed: The execution has ended.
            NotReady: There is no answer yet.
        """
        called = handler_named(self._definition, HandlerKind.UPDATE, update)
        return self._transport.run(self._operations.update(self.execution_id, called, input, idempotency_key, timeout))

    def cancel(self) -> None:
        """Cancel the execution; its code may clean up, or go on. A repeat is harmless.

        Raises:
            ExecutionClosed: The execution has ended.
        """
        self._transport.run(self._operations.end(self.execution_id, "cancel"))

    def terminate(self) -> None:
        """End the execution at once, without running its code.

        Raises:
            ExecutionClosed: The execution has ended.
        """
        self._transport.run(self._operations.end(self.execution_id, "terminate"))

    def stream(
        self, *, of: Of = "itself", types: Sequence[str] = (), after: int = 0, timeout: float | None = None
    ) -> Iterator[ExecutionEvent]:
        """Yield past and new events of the execution, until it has ended.

        After a broken connection, it reconnects and continues after the last event.

        Args:
            of: Whose events: its own, those of the children that it started, or of the whole tree below an execution without
                parent.
            types: Only events of these types.
            after: The `sequence` of the last event seen.
            timeout: Seconds to wait; None for no limit.
        """
        wanted = EventFilter(of, tuple(types), after)
        with closing(self._transport.emitted(self._operations.stream(self.execution_id, wanted, timeout))) as frames:
            for frame in frames:
                yield self._transport.run(self._operations.event(frame))
