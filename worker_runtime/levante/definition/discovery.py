"""Finding the workflows that there are, in modules that are imported for that alone, too."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from levante.definition.definitions import discover_workflows, get_workflow_definition

__all__ = ["discover_all_workflows_in_package", "get_registered_workflow_names"]


def get_registered_workflow_names() -> list[str]:
    """Return the names of all imported workflows in order, without Levante's own."""
    found = discover_workflows(list(sys.modules.values()))
    return sorted({definition.name for definition in found if not definition.is_technical})


def discover_all_workflows_in_package(package: ModuleType | str) -> list[type]:
    """Import all modules of a package, and return the workflow classes that they define, by name.

        await run_worker(discover_all_workflows_in_package("shop.workflows"))

    package: the package, or its name. Raises: whatever the import of one of its modules raises.
    """
    top = import_module(package) if isinstance(package, str) else package
    paths = getattr(top, "__path__", [])
    modules = [top, *(import_module(found.name) for found in pkgutil.walk_packages(paths, f"{top.__name__}."))]
    found = {one.name: one.cls for one in discover_workflows(modules) if one.cls.__module__.startswith(top.__name__)}
    return [found[name] for name in sorted(found) if not get_workflow_definition(found[name]).is_technical]


_depth = 0


@contextmanager
def for_workflows_alone() -> Iterator[None]:
    """Let scripts that are imported inside the block run no worker: a call of `run_worker` at their end does nothing."""
    global _depth  # noqa: PLW0603 - one process imports one module at a time
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def is_for_workflows_alone() -> bool:
    """Tell whether what runs now is imported for its workflows."""
    return _depth > 0
