"""Every condition of a write of a service is raced by a test: something else happens between the read and the write."""

from pathlib import Path

import pytest

import levante_core.services
from tests.support.races import conditions_in, raced_in

SERVICES = Path(levante_core.services.__path__[0])
HERE = Path(__file__).parent
RACED_OTHERWISE = {"lifecycle", "reset"}
"""Modules that are raced without the mark: those of children and resets have tests of all that may come between."""


def conditions() -> set[str]:
    modules = [path for path in SERVICES.rglob("*.py") if path.stem not in RACED_OTHERWISE]
    return {condition for path in modules for condition in conditions_in(path)}


def raced() -> set[str]:
    return set(raced_in(HERE.rglob("test_*.py")))


@pytest.mark.slow
def test_conditions_when_listed_then_each_is_raced_by_a_test() -> None:
    """Whoever writes a new one says what is to happen when somebody else is faster: mark its test with `races`."""
    assert sorted(conditions() - raced()) == []


@pytest.mark.slow
def test_races_when_listed_then_there_is_such_a_condition() -> None:
    """A test that races what was renamed, or is gone, would look as if it still did."""
    assert sorted(raced() - conditions()) == []


def test_conditions_when_a_module_makes_several_of_a_kind_then_each_has_a_name(tmp_path: Path) -> None:
    """A further one in a function that is raced already does not pass unseen."""
    module = tmp_path / "sample.py"
    code = "class C:\n  def f(self):\n    return [Absent(), open_run(x), Absent()]\n\ndef g(): return Matches({})\n"
    module.write_text(code)
    assert conditions_in(module) == ["sample.f Absent", "sample.f open_run", "sample.f Absent 2", "sample.g Matches"]
