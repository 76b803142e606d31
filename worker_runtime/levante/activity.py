"""The `@activity` decorator: a function whose calls in a workflow are durable."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from datetime import timedelta
from types import FunctionType
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from pydantic import ValidationError

from levante import attempts
from levante.context import current_session, current_workflow, runs_locally
from levante.definition.cancellation import Cancellation, problem_with_cancellation, unless_abandoned
from levante.definition.definitions import ACTIVITY, ActivityDefinition
from levante.definition.mapping import activity_input
from levante.definition.outputs import ActivityOutput
from levante.definition.schemas import Owner, problems_of, resolved_hints
from levante.diagnostics.arguments import explained
from levante.diagnostics.calls import durable
from levante.errors import ErrorCode, WorkflowsException, overdue_activity
from levante_core.protocol import ActivityOptions, RateLimit, RetryPolicy

__all__ = ["activity"]

P = ParamSpec("P")
R = TypeVar("R")

RESERVED_PREFIX = "__internal__"
OURS = "levante."
"""Modules whose activities have such names."""
LONGEST_ATTEMPT = timedelta(hours=11, minutes=30)
"""SQS gives a task to somebody else 12 hours after its receipt, however often its lease was extended, and the attempt would
count as lost. The half hour is for what comes before and after the attempt: waiting for a free slot, and the report.

Source: SQS developer guide, Visibility timeout (read 2026-11-23).
"""


class ActivityDecorator(Protocol):
    """Keeps the parameters of a function. The result is awaitable, that of a plain function too."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]: ...


class Activity:
    """`@activity`, with options or without, and what an activity can learn of its attempt."""

    info = staticmethod(attempts.info)
    complete_later = staticmethod(attempts.complete_later)
    heartbeat_details = staticmethod(attempts.heartbeat_details)

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self,
        *,
        name: str | None = None,
        start_to_close_timeout: timedelta = timedelta(minutes=5),
        schedule_to_close_timeout: timedelta | None = None,
        heartbeat_timeout: timedelta | None = None,
        rate_limit: RateLimit | None = None,
        sticky_to_worker: bool = False,
        cancellation: Cancellation = "try",
        retry_policy_max_attempts: int | None = None,
        retry_policy_backoff_coefficient: float | None = None,
    ) -> ActivityDecorator: ...
    def __call__(self, *functions: Callable[..., Any], **options: Any) -> Any:
        """Make a function of a module an activity: calls in workflows are recorded, retried, and once done never run again.

        Anywhere else a call just runs the function, without retries: an async one as it is, a plain one in a thread, which
        is why its result has to be awaited too. Arguments and result are checked against the annotations on their way from
        and to a workflow.

        name: the function's own by default. schedule_to_close_timeout: of all attempts together, waiting included; the
        other timeouts are those of one attempt, which may take LONGEST_ATTEMPT at most. heartbeat_timeout: how long an
        attempt may go without `activity_heartbeat()`. rate_limit: how many attempts may begin in a time, over all workers
        of the deployment. sticky_to_worker: calls are allowed within `run_sticky_worker_session` only, and go to its worker.
        cancellation: what becomes of the activity when the code that awaits it is cancelled: with "try" it is asked to end,
        and CancelledError is raised at once; with "wait" it is asked to end, and the code waits until it has, for
        CancelledError if it was cancelled, or else its result or error; with "abandon" it goes on, as long as its execution
        does, and CancelledError is raised at once. An activity learns by its heartbeats that it is asked to end.
        Attempts count the first one; where it is None, the retry policy is up to the worker's settings.
        Raises: WorkflowsException when the function cannot be an activity.
        """
        decorator = _decorator(**options)
        return decorator(*functions) if functions else decorator


activity = Activity()


@explained("@activity")
def _decorator(  # noqa: PLR0913 - the vendor's options, and one of ours
    *,
    name: str | None = None,
    start_to_close_timeout: timedelta = timedelta(minutes=5),
    schedule_to_close_timeout: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    rate_limit: RateLimit | None = None,
    sticky_to_worker: bool = False,
    cancellation: Cancellation = "try",
    retry_policy_max_attempts: int | None = None,
    retry_policy_backoff_coefficient: float | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Coroutine[Any, Any, Any]]]:
    """Return what `Activity.__call__` decorates with."""
    retry = {"max_attempts": retry_policy_max_attempts, "backoff_coefficient": retry_policy_backoff_coefficient}

    def decorate(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        own_name = getattr(function, "__name__", repr(function)) if name is None else name
        owner = Owner(f"activity {own_name!r}", ErrorCode.ACTIVITY_DEFINITION_ERROR)
        _check(owner, own_name, function)
        try:
            options = ActivityOptions(
                start_to_close_seconds=start_to_close_timeout.total_seconds(),
                schedule_to_close_seconds=_seconds(schedule_to_close_timeout),
                heartbeat_seconds=_seconds(heartbeat_timeout),
                rate_limit=rate_limit,
                retry=RetryPolicy.model_validate({field: value for field, value in retry.items() if value is not None}),
            )
        except ValidationError as error:
            raise owner.definition_error("; ".join(problems_of(error, "its options are wrong"))) from None
        except AttributeError:
            raise owner.definition_error("a timeout has to be a timedelta") from None
        _check_duration(owner, start_to_close_timeout)
        if problem := problem_with_cancellation(cancellation):
            raise owner.definition_error(problem)
        return _durable(
            ActivityDefinition(
                name=own_name,
                function=function,
                is_async=inspect.iscoroutinefunction(function),
                options=options,
                input=activity_input(owner, function),
                output=ActivityOutput(owner, resolved_hints(owner, function, {}).get("return", Any)),
                is_sticky=sticky_to_worker,
                cancellation=cancellation,
            )
        )

    return decorate


def _check(owner: Owner, name: str, function: Callable[..., Any]) -> None:
    """Raises: WorkflowsException when workers could not find the function, or the name is not for users."""
    if not isinstance(function, FunctionType) or not function.__qualname__.isidentifier():
        problem = f"{owner.label}: only a module-level function can be an activity, not {function!r}"
        raise WorkflowsException(problem, code=ErrorCode.ACTIVITY_NOT_MODULE_LEVEL)
    is_ours = function.__module__.startswith(OURS)
    if (name.startswith(RESERVED_PREFIX) and not is_ours) or not name:
        problem = f"{owner.label}: a name must not be empty nor start with {RESERVED_PREFIX!r}"
        raise WorkflowsException(problem, code=ErrorCode.ACTIVITY_RESERVED_NAME)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise owner.definition_error("an activity cannot be a generator: return a list")


def _check_duration(owner: Owner, start_to_close: timedelta) -> None:
    """Raises: WorkflowsException when no lease lasts as long as the attempt may take; the same on one machine as on AWS."""
    if start_to_close > LONGEST_ATTEMPT:
        raise owner.definition_error(
            f"start_to_close_timeout is {start_to_close}, and no attempt may take longer than {LONGEST_ATTEMPT}: "
            "divide the work among several activities, or start it in one and look after it in others"
        )


def _seconds(timeout: timedelta | None) -> float | None:
    return None if timeout is None else timeout.total_seconds()


def _durable(definition: ActivityDefinition) -> Callable[..., Coroutine[Any, Any, Any]]:
    options = definition.options
    local_options = options.model_copy(update={"is_local": True})

    @durable(f"activity {definition.name!r}")
    @functools.wraps(definition.function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        context = current_workflow.get()
        if context is None:
            return await definition.call(args, kwargs)
        value = definition.input.dump(args, kwargs)
        chosen = local_options if runs_locally.get() else _in_session(definition)
        waits = definition.cancellation == "wait"
        outcome = context.start_activity(definition.name, value, chosen, waits_for_end=waits)
        limit = asyncio.timeout(options.schedule_to_close_seconds)
        try:
            async with limit:
                return definition.output.load(await unless_abandoned(outcome, definition.cancellation))
        except TimeoutError:
            if limit.expired():
                raise overdue_activity(definition.name, options.schedule_to_close_seconds) from None
            raise

    setattr(call, ACTIVITY, definition)
    return call


def _in_session(definition: ActivityDefinition) -> ActivityOptions:
    """Return the options of a call; those of a sticky activity name its worker. Raises: WorkflowsException if none is."""
    if not definition.is_sticky:
        return definition.options
    session = current_session.get()
    if session is None:
        problem = f"activity {definition.name!r} is sticky: call it within `async with run_sticky_worker_session():`"
        raise WorkflowsException(problem, status=422, code=ErrorCode.STICKY_WORKER_SESSION_MISSING)
    return _with_session(definition.options, session)


@functools.lru_cache(maxsize=1024)
def _with_session(options: ActivityOptions, session: str) -> ActivityOptions:
    return options.model_copy(update={"session": session})
