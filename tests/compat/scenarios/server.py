"""Where scenarios call, and the words they share."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

from mistralai.client import Mistral
from mistralai.client.errors import HTTPValidationError, SDKError

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

DEPLOYMENT = "compat"
SECOND_DEPLOYMENT = "compat.second"
GONE_DEPLOYMENT = "compat-gone"

POLL: Any = 0.02
"""Seconds between looks. The client declares whole seconds, and takes any."""
ATTEMPTS = 1500
NEVER_SECONDS = 3600.0
"""Longer than any test."""


@dataclass(frozen=True)
class Server:
    """A host with the workers that conftest.py starts."""

    url: str
    key: str
    client: Mistral = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "client", self.new_client())

    def new_client(self, *, key: str | None = None, url: str | None = None) -> Mistral:
        """Make another client."""
        return Mistral(api_key=key or self.key, server_url=url or self.url, timeout_ms=40_000)

    def start(self, workflow: str, input_: Any = None, **options: Any) -> str:
        """Start an execution. Returns its id."""
        execution: Any = self.client.workflows.execute_workflow(workflow_identifier=workflow, input=input_, **options)
        return str(execution.execution_id)

    def status(self, execution_id: str) -> Any:
        """Return the status of an execution."""
        return self.client.workflows.executions.get_workflow_execution(execution_id=execution_id).status

    def completed(self, execution_id: str) -> Any:
        """Wait until the execution has completed. Returns it."""
        return self.client.workflows.wait_for_workflow_completion(execution_id, POLL, ATTEMPTS)

    def failed(self, execution_id: str) -> str:
        """Wait until the execution has ended without a result. Returns what the client says of that."""
        return str(raised(RuntimeError, self.completed, execution_id))

    def terminate(self, execution_id: str) -> None:
        """End an execution that would go on for ever."""
        self.client.workflows.executions.terminate_workflow_execution(execution_id=execution_id)

    def in_a_loop(self, talk: Callable[[Mistral], Awaitable[T]]) -> T:
        """Call asynchronously, with a client of its own."""

        async def talking() -> T:
            async with self.new_client() as client:
                return await talk(client)

        return asyncio.run(talking())


def fresh(name: str) -> str:
    """Make an id that nothing has."""
    return f"{name}-{uuid4().hex}"


def refusal(status: int, code: str, error: SDKError) -> dict[str, Any]:
    """Check an error. Returns its body."""
    body: dict[str, Any] = json.loads(error.body)
    assert (error.status_code, body.get("code")) == (status, code), error
    assert isinstance(body["detail"], str), error
    assert body["detail"], error
    return body


def raised(kind: type[E], call: Callable[..., object], *args: Any, **kwargs: Any) -> E:
    """Make a call that must raise this. Returns the error."""
    try:
        answer = call(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}, but this was returned: {answer!r}"[:2000])


def refused(status: int, code: str, call: Callable[..., object], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Make a call that must be refused. Returns the body of the answer."""
    return refusal(status, code, raised(SDKError, call, *args, **kwargs))


def all_unauthenticated(calls: Iterable[tuple[Callable[..., object], dict[str, Any]]]) -> None:
    """Make calls whose key must be refused, at the same time: a host answers each refusal later than the one before."""
    with ThreadPoolExecutor(7) as threads:
        for asked in [threads.submit(refused, 401, "UNAUTHENTICATED", call, **arguments) for call, arguments in calls]:
            asked.result()


def invalid(call: Callable[..., object], *args: Any, **kwargs: Any) -> dict[tuple[str | int, ...], str]:
    """Make a call that must be found invalid. Returns the messages for each place."""
    error = raised(HTTPValidationError, call, *args, **kwargs)
    assert error.status_code == 422, error
    problems = error.data.detail or []
    assert problems, error
    assert all(problem.msg and problem.type for problem in problems), error
    messages: dict[tuple[str | int, ...], str] = {}
    for problem in problems:
        place = tuple(problem.loc)
        messages[place] = f"{messages[place]}; {problem.msg}" if place in messages else problem.msg
    return messages
