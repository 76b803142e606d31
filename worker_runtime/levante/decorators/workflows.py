"""The decorators of the namespace `workflow`: with parentheses or without, they keep the type of what they decorate."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar, overload

from levante.definition.definitions import TECHNICAL_NAMES, WorkflowDefinition, attach
from levante.definition.handlers import HandlerKind, UnfinishedPolicy, handlers_of, mark
from levante.definition.schemas import Owner
from levante.diagnostics.arguments import explained
from levante.errors import ErrorCode
from levante_core.protocol import MOST_KEYS, InvalidInput, ScheduleDefinition, workflow_name

_SEARCH_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

_Class = TypeVar("_Class", bound=type)
_Method = TypeVar("_Method", bound=Callable[..., Any])
_AsyncMethod = TypeVar("_AsyncMethod", bound=Callable[..., Coroutine[Any, Any, Any]])

_Unfinished = Literal["warn", "abandon"]


@overload
def define(cls: _Class, /) -> _Class: ...
@overload
def define(
    name: str | None = None,
    *,
    workflow_display_name: str | None = None,
    workflow_description: str | None = None,
    is_technical: bool = False,
    enforce_determinism: bool | None = None,
    execution_timeout: timedelta = timedelta(hours=1),
    on_behalf_of: bool = False,
    schedules: Sequence[ScheduleDefinition] = (),
    search_keys: Sequence[str] = (),
) -> Callable[[_Class], _Class]: ...
@explained("@workflow.define")
def define(  # noqa: PLR0913 - the vendor's options, and one of ours
    name: str | type | None = None,
    *,
    workflow_display_name: str | None = None,
    workflow_description: str | None = None,
    is_technical: bool = False,
    enforce_determinism: bool | None = None,
    execution_timeout: timedelta = timedelta(hours=1),
    on_behalf_of: bool = False,
    schedules: Sequence[ScheduleDefinition] = (),
    search_keys: Sequence[str] = (),
) -> Any:
    """Make a class a workflow. It has exactly one entrypoint; each run creates an instance without arguments.

    name: 1 to 128 letters, digits, '_' or '-', with what WORKFLOW_NAME_PREFIX puts before it; the class's own by default.
    execution_timeout: limit of the whole execution, including later runs.
    enforce_determinism: False allows calls that differ on replay; None uses the worker's setting.
    schedules: created and updated by workers with this code when they register.
    search_keys: at most 20 dotted paths into the input; their values become search keys of the execution, unencrypted.
    Raises: WorkflowsException for an invalid class or option.
    """

    def decorate(cls: _Class) -> _Class:
        own_name = name if isinstance(name, str) else getattr(cls, "__name__", repr(cls))
        prefix = "" if own_name in TECHNICAL_NAMES else os.environ.get("WORKFLOW_NAME_PREFIX", "")
        full_name = prefix + own_name
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

    return decorate if name is None or isinstance(name, str) else decorate(name)


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


@overload
def entrypoint(method: _AsyncMethod, /) -> _AsyncMethod: ...
@overload
def entrypoint() -> Callable[[_AsyncMethod], _AsyncMethod]: ...
@explained("@workflow.entrypoint")
def entrypoint(method: Any = None, /) -> Any:
    """Mark the method that is the workflow: `async def`, every parameter annotated."""
    return _marked(HandlerKind.ENTRYPOINT, method, None, None)


@overload
def signal(method: _Method, /) -> _Method: ...
@overload
def signal(
    name: str | None = None, description: str | None = None, *, unfinished_policy: _Unfinished = "warn"
) -> Callable[[_Method], _Method]: ...
@explained("@workflow.signal")
def signal(name: Any = None, description: str | None = None, *, unfinished_policy: _Unfinished = "warn") -> Any:
    """Mark a method that handles signals. It returns nothing.

    Args:
        name: The method's own by default.
        description: For people.
        unfinished_policy: "warn": a run that ends before an async handler has returned says so, in the worker's log and in
            its history; "abandon": the handler may be abandoned. See also `all_handlers_finished`.
    """
    return _marked(HandlerKind.SIGNAL, name, description, unfinished_policy)


@overload
def query(method: _Method, /) -> _Method: ...
@overload
def query(name: str | None = None, description: str | None = None) -> Callable[[_Method], _Method]: ...
@explained("@workflow.query")
def query(name: Any = None, description: str | None = None) -> Any:
    """Mark a method that answers queries: a plain `def` that returns a value and changes nothing."""
    return _marked(HandlerKind.QUERY, name, description)


@overload
def update(method: _Method, /) -> _Method: ...
@overload
def update(
    name: str | None = None, description: str | None = None, *, unfinished_policy: _Unfinished = "warn"
) -> Callable[[_Method], _Method]: ...
@explained("@workflow.update")
def update(name: Any = None, description: str | None = None, *, unfinished_policy: _Unfinished = "warn") -> Any:
    """Mark a method that handles updates. The caller waits for the value that it returns.

    Args:
        name: The method's own by default.
        description: For people.
        unfinished_policy: As `signal`.
    """
    return _marked(HandlerKind.UPDATE, name, description, unfinished_policy)


def _marked(kind: HandlerKind, given: Any, description: str | None, unfinished: str | None = None) -> Any:
    """Mark a method now, or return what does. given: the method where there are no parentheses, else its name or None."""
    name = given if isinstance(given, str) else None

    def decorate(method: Any) -> Any:
        mark(method, kind, name, description, unfinished_policy=unfinished or UnfinishedPolicy.WARN)
        return method

    return decorate if given is None or name is not None else decorate(given)
