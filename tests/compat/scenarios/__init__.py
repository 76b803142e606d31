"""What users do with the official client, and what has to happen then.

Each scenario is a function of a server; it asserts, returns nothing and leaves nothing running. Of third parties only the
client is imported, so the same files run in the tests' own process and in an environment that has the client alone.
"""

from collections.abc import Callable
from types import ModuleType
from typing import TypeAlias

from tests.compat.scenarios import (
    asynchronous,
    catalogue,
    ending,
    events,
    executions,
    interactive,
    logs,
    messages,
    methods,
    refusals,
    resets,
    results,
    runs,
    schedules,
    starting,
    streams,
    traces,
    waiting,
)
from tests.compat.scenarios.server import Server

Scenario: TypeAlias = Callable[[Server], None]

_MODULES = (
    asynchronous,
    catalogue,
    ending,
    events,
    executions,
    interactive,
    logs,
    messages,
    methods,
    refusals,
    resets,
    results,
    runs,
    schedules,
    starting,
    streams,
    traces,
    waiting,
)


def scenarios() -> dict[str, Scenario]:
    """Return all scenarios by name."""
    return {name: scenario for module in _MODULES for name, scenario in _of(module).items()}


def _of(module: ModuleType) -> dict[str, Scenario]:
    return {name: found for name, found in vars(module).items() if name.startswith("test_")}
