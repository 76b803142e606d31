"""The namespace `workflow`: decorators that define workflows, and what workflow code may ask for.

    @workflow.define(name="order")
    class Order:
        @workflow.entrypoint
        async def run(self, item: str) -> str: ...

What is wrong with a definition is raised as WorkflowsException when its module is imported.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, Literal, NoReturn, TypeVar
from uuid import UUID

from pydantic import BaseModel

from levante.children import execute_workflow
from levante.context import WorkflowContext, current_workflow
from levante.definition.definitions import TECHNICAL_NAMES, WorkflowDefinition, attach
from levante.definition.handlers import HandlerKind, UnfinishedPolicy, handlers_of, mark
from levante.definition.schemas import Owner
from levante.definition.search_keys import addition, removal
from levante.determinism.guard import skipped
from levante.errors import ErrorCode, WorkflowsException
from levante_core.protocol import MOST_KEYS, InvalidInput, ScheduleDefinition, workflow_name

__all__ = [
    "add_search_keys",
    "all_handlers_finished",
    "continue_as_new",
    "define",
    "delete_search_keys",
    "deprecate_patch",
    "entrypoint",
    "execute_workflow",
    "now",
    "patched",
    "query",
    "random",
    "should_continue_as_new",
    "signal",
    "sleep",
    "unsafe",
    "update",
    "uuid4",
    "wait_condition",
]

_SEARCH_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

_Class = TypeVar("_Class", bound=type)
_Method = TypeVar("_Method", bound=Callable[..., Any])
_AsyncMethod = TypeVar("_AsyncMethod", bound=Callable[..., Coroutine[Any, Any, Any]])


# --- definition -------------------------------------------------------------------------------------------------------


def define(  # noqa: PLR0913 - the vendor's options, and one of ours
    name: str,
    *,
    workflow_display_name: str | None = None,
    workflow_description: str | None = None,
    is_technical: bool = False,
    enforce_determinism: bool | None = None,
    execution_timeout: timedelta = timedelta(hours=1),
    on_behalf_of: bool = False,
    schedules: Sequence[ScheduleDefinition] = (),
    search_keys: Sequence[str] = (),
) -> Callable[[_Class], _Class]:
    """Make a class a workflow; it has exactly one entrypoint, and an instance is made without arguments for each run.

    name: 1 to 128 letters, digits, '_' or '-', with what WORKFLOW_NAME_PREFIX puts before it.
    execution_timeout: wall clock of the whole execution, later runs included.
    enforce_determinism: False lets calls through that differ on replay; None leaves it to the worker.
    schedules: what workers with this code make when they register, and keep as it is here.
    search_keys: at most 20 dotted paths into the input; what is there becomes search keys of the execution, unencrypted.
    Raises: WorkflowsException when the class or an option cannot work.
    """
    full_name = name if name in TECHNICAL_NAMES else os.environ.get("WORKFLOW_NAME_PREFIX", "") + name

    def decorate(cls: _Class) -> _Class:
        owner = Owner(f"workflow {full_name!r}", ErrorCode.WORKFLOW_DEFINITION_ERROR)
        _check_name(owner, full_name, cls)
        _check_timeout(owner, execution_timeout)
        _check_search_keys(owner, search_keys)
        if on_behalf_of:
            raise owner.definition_error("on_behalf_of needs the identities of the vendor's cloud: leave it out")
        _check_class(owner, cls)
        handlers = handlers_of(cls, full_name)
        entrypoints = list(handlers[HandlerKind.ENTRYPOINT].values())
        if len(entrypoints) != 1:
            found = ", ".join(handler.method for handler in entrypoints) or "none"
            raise owner.definition_error(f"needs exactly one method with @workflow.entrypoint; found: {found}")
        definition = WorkflowDefinition(
            name=full_name,
            display_name=workflow_display_name,
            description=workflow_description,
            execution_timeout=execution_timeout,
            enforce_determinism=enforce_determinism,
            is_technical=is_technical,
            search_keys=tuple(search_keys),
            schedules=tuple(schedules or ()),
            cls=cls,
            entrypoint=entrypoints[0],
            signals=handlers[HandlerKind.SIGNAL],
            queries=handlers[HandlerKind.QUERY],
            updates=handlers[HandlerKind.UPDATE],
        )
        attach(definition)
        return cls

    return decorate


def _check_name(owner: Owner, name: str, cls: object) -> None:
    if name in TECHNICAL_NAMES and getattr(cls, "__module__", None) != TECHNICAL_NAMES[name]:
        raise owner.definition_error("this name is reserved")
    try:
        workflow_name(name)
    except InvalidInput as error:
        raise owner.definition_error(str(error)) from None


def _check_timeout(owner: Owner, timeout: object) -> None:
    if not isinstance(timeout, timedelta) or timeout <= timedelta():
        raise owner.definition_error(f"execution_timeout has to be a positive timedelta, not {timeout!r}")


def _check_search_keys(owner: Owner, keys: Sequence[str]) -> None:
    if isinstance(keys, str) or len(set(keys)) < len(keys) or not all(_SEARCH_KEY.fullmatch(key) for key in keys):
        raise owner.definition_error(f"search_keys has to list different paths, such as 'customer.id', not {keys!r}")
    if len(keys) > MOST_KEYS:
        raise owner.definition_error(f"search_keys has {len(keys)} paths, {MOST_KEYS} at most are possible")


def _check_class(owner: Owner, cls: type) -> None:
    if not isinstance(cls, type):
        raise owner.definition_error(f"only a class can be a workflow, not {cls!r}")
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        raise owner.definition_error(f"{cls.__qualname__}() has to work without arguments: {error}") from None


def entrypoint(method: _AsyncMethod) -> _AsyncMethod:
    """Mark the method that is the workflow: `async def`, every parameter annotated."""
    mark(method, HandlerKind.ENTRYPOINT, None, None)
    return method


def signal(
    name: str | None = None, description: str | None = None, *, unfinished_policy: Literal["warn", "abandon"] = "warn"
) -> Callable[[_Method], _Method]:
    """Mark a method that takes signals: it returns nothing.

    Args:
        name: The method's own by default.
        unfinished_policy: "warn" lets a run that ends before an async handler has returned say so, in the worker's log and
            in its history; "abandon" is for handlers that may be left so. See also `all_handlers_finished`.
    """
    return _marking(HandlerKind.SIGNAL, name, description, unfinished_policy)


def query(name: str | None = None, description: str | None = None) -> Callable[[_Method], _Method]:
    """Mark a method that answers queries: a plain `def` that changes nothing and returns something."""
    return _marking(HandlerKind.QUERY, name, description)


def update(
    name: str | None = None, description: str | None = None, *, unfinished_policy: Literal["warn", "abandon"] = "warn"
) -> Callable[[_Method], _Method]:
    """Mark a method that takes updates and returns something, for which the caller waits.

    Args:
        unfinished_policy: As `signal`.
    """
    return _marking(HandlerKind.UPDATE, name, description, unfinished_policy)


def _marking(
    kind: HandlerKind, name: str | None, description: str | None, unfinished: str = UnfinishedPolicy.WARN
) -> Callable[[_Method], _Method]:
    def decorate(method: _Method) -> _Method:
        mark(method, kind, name, description, unfinished_policy=unfinished)
        return method

    return decorate


# --- in workflow code -------------------------------------------------------------------------------------------------


def now() -> datetime:
    """Return the recorded time, aware UTC: the same on every replay.

    Raises:
        WorkflowsException: Outside a workflow.
    """
    return _context("now").now()


def uuid4() -> UUID:
    """Return a UUID that is the same on every replay.

    Raises:
        WorkflowsException: Outside a workflow.
    """
    return _context("uuid4").uuid4()


def random() -> Random:
    """Return the run's random numbers, the same on every replay: `workflow.random().random()`, `.choice(...)`.

    Raises:
        WorkflowsException: Outside a workflow.
    """
    return _context("random").random


async def sleep(duration: timedelta | float, summary: str | None = None) -> None:  # noqa: ARG001 - for readers of the code
    """Wait durably for a timedelta or seconds, as `asyncio.sleep` does in a workflow.

    Args:
        summary: For people; not recorded.

    Raises:
        WorkflowsException: Outside a workflow.
    """
    _context("sleep")
    await asyncio.sleep(_seconds(duration))


def continue_as_new(params: BaseModel | Mapping[str, Any] | None = None) -> NoReturn:
    """End this run, and go on as a new one of the same execution, with an empty history.

    Never returns.

    Args:
        params: The input of the new run, a model or a mapping whose keys are those that the entrypoint takes. What was sent
            to the execution and not taken yet is the new run's.

    Raises:
        InvalidArguments: For an input that the entrypoint does not take.
        PayloadRefused: For one that would not arrive as it is.
        WorkflowsException: Outside a workflow.
    """
    _context("continue_as_new").continue_as_new(params)


def should_continue_as_new() -> bool:
    """Tell whether the history has become long: 10,000 events, of 51,200 that are possible.

    Raises:
        WorkflowsException: Outside a workflow.
    """
    return _context("should_continue_as_new").should_continue_as_new()


def add_search_keys(search_keys: Mapping[str, str | None]) -> None:
    """Let the execution be found by more keys, or by other values of those it has.

    Args:
        search_keys: At most 20 in all, of 256 characters, without ':' and not ending with '='; values of 8,192 characters,
            longer ones are cut; 64 KiB together. None: the key without a value. They are never encrypted.

    Raises:
        WorkflowsException: For keys that cannot be, and outside a workflow.
    """
    _context("add_search_keys").change_search_keys(addition(search_keys))


def delete_search_keys(keys: Iterable[str]) -> None:
    """Let the execution no longer be found by some keys; those that it does not have are passed over.

    Raises:
        WorkflowsException: For keys that cannot be, and outside a workflow.
    """
    _context("delete_search_keys").change_search_keys(removal(keys))


async def wait_condition(
    predicate: Callable[[], bool],
    timeout: timedelta | float | None = None,  # noqa: ASYNC109 - the name is part of the programming model
    timeout_summary: str | None = None,  # noqa: ARG001 - for readers of the code
) -> None:
    """Wait until the predicate holds; it is looked at again after everything that happens to the workflow.

    Args:
        timeout: A timedelta or seconds.
        timeout_summary: For people; not recorded.

    Raises:
        TimeoutError: When the time is over.
        WorkflowsException: Outside a workflow.
    """
    await _context("wait_condition").wait_condition(predicate, None if timeout is None else _seconds(timeout))


def all_handlers_finished() -> bool:
    """Tell whether no handler of a signal or an update is at work, but for the one that asks.

        await workflow.wait_condition(workflow.all_handlers_finished)

    before the end of a workflow lets handlers return that wait for something.

    Raises:
        WorkflowsException: Outside a workflow.
    """
    return _context("all_handlers_finished").all_handlers_finished()


def patched(patch_id: str) -> bool:
    """Tell whether to take the new side of a change of this code; the same answer for as long as the run lives.

        if workflow.patched("ask-twice"):
            await ask(question)

    True in runs that come to this line for the first time, and in those that took the new side; False in runs that were past
    it before the change was made. Once no such run is open, call `deprecate_patch` with the id in place of this.

    Raises:
        WorkflowsException: Outside a workflow.
    """
    return _context("patched").patched(patch_id)


def deprecate_patch(patch_id: str) -> None:
    """Say that only the new side of a change is left; once no run from before this line is open, remove the line.

    Raises:
        WorkflowsException: Outside a workflow.
    """
    _context("deprecate_patch").deprecate_patch(patch_id)


class _Unsafe:
    """Ways around what keeps workflow code deterministic."""

    @contextmanager
    def imports_passed_through(self) -> Iterator[None]:
        """Do nothing: imports of workflow modules are ordinary imports, and code that asks for that runs unchanged."""
        yield

    @contextmanager
    def skip_determinism_enforcement(self) -> Iterator[None]:
        """Let calls through that the guard would refuse, in the block and in tasks that it starts.

        Their results must not reach what the workflow does: replay would notice that, or worse, not. A repeat nests.
        """
        with skipped():
            yield


unsafe: Final = _Unsafe()


def _context(asked: str) -> WorkflowContext:
    context = current_workflow.get()
    if context is None:
        raise WorkflowsException(f"workflow.{asked}() works only in the code of a running workflow")
    return context


def _seconds(duration: timedelta | float) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else duration
