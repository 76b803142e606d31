"""For pytest: async tests in virtual time. A package of its own, so that runs without such tests import nothing else.

@pytest.mark.levante
async def test_order() -> None:
async with WorkflowEnvironment([Order]) as environment: ...
"""

from __future__ import annotations

import inspect

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "levante: run this async test in virtual time, in which hours pass at once")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run marked tests on a loop of virtual time; leave all others alone."""
    if pyfuncitem.get_closest_marker("levante") is None or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    from levante.testing.virtual_time import run_in_virtual_time  # noqa: PLC0415 - see above

    names = pyfuncitem._fixtureinfo.argnames  # noqa: SLF001 - as pytest's own hook finds them
    run_in_virtual_time(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
