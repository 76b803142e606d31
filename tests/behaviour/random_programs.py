"""Random programs over the constructs of the programming model, as workflows that interpret them."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

import levante as workflows
from levante import workflow

LIMIT = workflows.RateLimit(time_window_in_sec=1, max_execution=1000)
Program = dict[str, Any]
"""One construct: `do` says which, `parts` are the programs within, `value` is a number."""


@dataclass
class Pace:
    """How long activities take: for so many seconds each unit of their value. ended: how often each has, by its id."""

    seconds: float = 0.0
    ended: Counter[str] = field(default_factory=Counter)


PACE = Pace()


async def _taking_its_time(value: int, fails: int = 0) -> int:
    if PACE.seconds:
        await asyncio.sleep(PACE.seconds * value)
    info = workflows.activity.info()
    if info.attempt <= fails:
        raise RuntimeError("not yet")
    PACE.ended[info.activity_id] += 1
    return value


@workflows.activity(name="random-step", retry_policy_max_attempts=10)
async def step(value: int, fails: int) -> int:
    """Fail so often, then return the value."""
    return await _taking_its_time(value, fails)


@workflows.activity(name="random-queued", rate_limit=LIMIT, retry_policy_max_attempts=10)
async def queued(value: int) -> int:
    """Return the value, never in place."""
    return await _taking_its_time(value)


@workflows.activity(name="random-hopeless", retry_policy_max_attempts=2)
async def hopeless() -> None:
    """Fail for good."""
    raise workflows.WorkflowError("hopeless", non_retryable=True)


@workflow.define(name="random-child", execution_timeout=timedelta(days=9))
class Child:
    """Runs a program of its own."""

    @workflow.entrypoint
    async def run(self, program: Program) -> Any:
        """See the class."""
        return await _interpreted(program, lambda: True)


@workflow.define(name="random", execution_timeout=timedelta(days=10))
class Random:
    """Runs a program. Returns what it came to, as nested lists."""

    def __init__(self) -> None:
        self.signals = 0

    @workflow.entrypoint
    async def run(self, program: Program) -> Any:
        """See the class."""
        return await _interpreted(program, lambda: self.signals > 0)

    @workflow.signal()
    def go(self) -> None:
        """Let those go on that wait for it."""
        self.signals += 1


async def _interpreted(program: Program, is_signalled: Any) -> Any:
    parts = program["parts"]
    return await (_several(program, is_signalled) if parts else _single(program["do"], program["value"], is_signalled))


async def _single(do: str, value: int, is_signalled: Any) -> Any:
    match do:
        case "step":
            return await step(value, value % 3)
        case "queued":
            return await queued(value)
        case "local":
            with workflows.run_activities_locally():
                return await step(value, 0)
        case "sleep":
            await workflow.sleep(value / 10)
            return f"slept {value}"
        case "hopeless":
            try:
                await hopeless()
            except workflows.ActivityError:
                return "hopeless"
        case "signal":
            await workflow.wait_condition(is_signalled)
            return "told"
    raise AssertionError(do)


async def _several(program: Program, is_signalled: Any) -> Any:
    parts = program["parts"]
    match program["do"]:
        case "child":
            return await workflow.execute_workflow(Child, {"program": parts[0]})
        case "sequence":
            return [await _interpreted(part, is_signalled) for part in parts]
        case "together":
            return list(await asyncio.gather(*(_interpreted(part, is_signalled) for part in parts)))
        case "limited":
            try:
                async with asyncio.timeout(3600 * 24):
                    return await _interpreted(parts[0], is_signalled)
            except TimeoutError:
                return "timed out"
        case "given up":
            task = asyncio.ensure_future(_interpreted(parts[0], is_signalled))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return "given up"
    raise AssertionError(program["do"])


def _one(do: str, parts: Any = ()) -> st.SearchStrategy[Program]:
    return st.builds(lambda value, parts: {"do": do, "value": value, "parts": parts}, st.integers(0, 20), parts)


LEAVES = st.one_of(*(_one(do, st.just([])) for do in ("step", "queued", "local", "sleep", "hopeless", "signal")))
PROGRAMS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        _one("sequence", st.lists(inner, min_size=1, max_size=4)),
        _one("together", st.lists(inner, min_size=1, max_size=4)),
        *(_one(do, st.lists(inner, min_size=1, max_size=1)) for do in ("child", "limited", "given up")),
    ),
    max_leaves=8,
)
