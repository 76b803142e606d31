"""Ledgers that are driven by hand, without a loop: bodies of workflows, and what they learn."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from levante.context import current_workflow
from levante.definition.definitions import get_workflow_definition
from levante.replay.run import WorkflowRun
from levante.worker.context import WorkerContext
from levante.worker.runs.ledger import RunLedger
from levante.worker.settings import WorkerSettings
from levante_core.protocol import ActivityOptions, Fact, Failure, HistoryEvent, Input, RunState
from tests.support.bodies import Body, Definition
from tests.support.runs_api import run_start

AT = datetime(2026, 1, 1, tzinfo=UTC)
ME = "this worker"
FAILURE = Failure(type="ValueError", message="not today")
_NONE: Any = None
Claims = Callable[[str, int], bool]


@dataclass(frozen=True)
class Claiming:
    """A runner as far as a ledger knows it."""

    claims: Claims | bool

    def runs_in_place(self, name: str, _options: ActivityOptions, claimed: int) -> bool:
        """As the test says."""
        return self.claims if isinstance(self.claims, bool) else self.claims(name, claimed)


def new_ledger(
    code: Body | type,
    *,
    claims: Claims | bool = True,
    state: RunState | None = None,
    recorded_bytes: int = 0,
    **settings: Any,
) -> RunLedger:
    """Return a run that has not begun. claims: whether its activities are run in place, by name and how many are already."""
    given = {"api_key": "key", "deployment_name": "d", **settings}
    context = WorkerContext(
        settings=WorkerSettings(**given),
        worker_id=ME,
        api=_NONE,
        tasks=_NONE,
        commits=_NONE,
        reports=_NONE,
        runner=Claiming(claims),  # type: ignore[arg-type] # no more than that is asked of it
        payloads=_NONE,
        workflows={},
        now=lambda: AT,
        tasks_of=_NONE,
    )
    definition: Any = get_workflow_definition(code) if isinstance(code, type) else Definition(code)
    run = WorkflowRun(definition, "e", "r", run_start(definition.name, AT))
    ledger = RunLedger(run, state or RunState(), context, "token 1", recorded_bytes)
    ledger.may_run_in_place = True
    return ledger


def begun(code: Body | type, **given: Any) -> RunLedger:
    """Return a run that waits for the first time, recorded so far."""
    ledger = new_ledger(code, **given)
    ledger.begin()
    ledger.recorded(0, "token 2")
    return ledger


def activity(name: str = "a", *, waits_for_end: bool = False, **options: Any) -> "asyncio.Future[Any]":
    """Ask for an activity, as code does."""
    context = current_workflow.get()
    assert context
    return context.start_activity(name, {}, ActivityOptions(**options), waits_for_end=waits_for_end)


def kinds(events: Iterable[HistoryEvent]) -> list[str]:
    """Return the kinds of events."""
    return [event.kind for event in events]


def fields(event: HistoryEvent, *names: str) -> tuple[Any, ...]:
    """Return some fields of an event of whatever kind."""
    return tuple(getattr(event, name) for name in names)


def fact(input_of_fact: Input, key: str | None = None) -> Fact:
    """Return a fact under the key that it would have."""
    number = getattr(input_of_fact, "number", None)
    chosen = f"A{getattr(input_of_fact, 'seq', 0):08d}" if number is None else f"M{number:08d}"
    return Fact(key=key or chosen, input=input_of_fact)
