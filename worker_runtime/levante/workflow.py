"""The namespace `workflow`: decorators that define workflows, and functions for workflow code.

    @workflow.define(name="order")
    class Order:
        @workflow.entrypoint
        async def run(self, item: str) -> str: ...

A wrong definition raises WorkflowsException when its module is imported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, NoReturn
from uuid import UUID

from pydantic import BaseModel

from levante.children import execute_workflow
from levante.context import WorkflowContext, current_workflow
from levante.decorators.workflows import define, entrypoint, query, signal, update
from levante.definition.search_keys import addition, removal
from levante.determinism.guard import skipped
from levante.diagnostics.arguments import explained
from levante.diagnostics.calls import durable
from levante.errors import WorkflowsException

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


@durable("workflow.sleep()")
@explained("workflow.sleep()")
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
    """End this run, and continue as a new run of the same execution, with an empty history.

    Never returns.

    Args:
        params: The input of the new run, a model or a mapping with the keys that the entrypoint takes. Messages that were
            not received yet go to the new run.

    Raises:
        InvalidArguments: For an input that the entrypoint does not take.
        PayloadRefused: For an input that would not arrive unchanged.
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
    """Add search keys to the execution, or change their values.

    Args:
        search_keys: At most 20 in all, of 256 characters, without ':' and not ending with '='; values of 8,192 characters,
            longer ones are cut; 64 KiB together. None: the key without a value. They are never encrypted.

    Raises:
        WorkflowsException: For invalid keys, and outside a workflow.
    """
    _context("add_search_keys").change_search_keys(addition(search_keys))


def delete_search_keys(keys: Iterable[str]) -> None:
    """Remove search keys from the execution; keys that it does not have are ignored.

    Raises:
        WorkflowsException: For invalid keys, and outside a workflow.
    """
    _context("delete_search_keys").change_search_keys(removal(keys))


@durable("workflow.wait_condition()")
@explained("workflow.wait_condition()")
async def wait_condition(
    predicate: Callable[[], bool],
    timeout: timedelta | float | None = None,  # noqa: ASYNC109 - the name is part of the programming model
    timeout_summary: str | None = None,  # noqa: ARG001 - for readers of the code
) -> None:
    """Wait until the predicate holds. It is called again after every event of the workflow.

    Args:
        timeout: A timedelta or seconds.
        timeout_summary: For people; not recorded.

    Raises:
        TimeoutError: When the timeout has passed.
        WorkflowsException: Outside a workflow.
    """
    await _context("wait_condition").wait_condition(predicate, None if timeout is None else _seconds(timeout))


def all_handlers_finished() -> bool:
    """Tell whether no handler of a signal or an update is running, except the caller.

        await workflow.wait_condition(workflow.all_handlers_finished)

    before the end of a workflow lets waiting handlers return.

    Raises:
        WorkflowsException: Outside a workflow.
    """
    return _context("all_handlers_finished").all_handlers_finished()


def patched(patch_id: str) -> bool:
    """Tell whether to take the new branch of a change in the code; the answer stays the same for the whole run.

        if workflow.patched("ask-twice"):
            await ask(question)

    True in runs that reach this line for the first time, and in those that took the new branch; False in runs that had
    passed it before the change. When no such run is open, replace this call with `deprecate_patch`.

    Raises:
        WorkflowsException: Outside a workflow.
    """
    return _context("patched").patched(patch_id)


def deprecate_patch(patch_id: str) -> None:
    """Declare that only the new branch of a change is left. When no run from before this line is open, remove the line.

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
