"""Finding workflows, and names of the vendor's SDK that are not here."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import levante

SOURCE = """
from levante import workflow


@workflow.define(name="{name}", is_technical={technical})
class {cls}:
    @workflow.entrypoint
    async def run(self) -> None:
        ...
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with workflows in a module, in a package within, and a technical one."""
    shop = tmp_path / "discovered_shop"
    (shop / "inner").mkdir(parents=True)
    (shop / "__init__.py").write_text("from levante.parallel import execution\n")
    (shop / "orders.py").write_text(SOURCE.format(name="discovered-b", cls="Order", technical=False))
    (shop / "inner" / "__init__.py").write_text(SOURCE.format(name="discovered-a", cls="Inner", technical=False))
    (shop / "inner" / "own.py").write_text(SOURCE.format(name="discovered-own", cls="Own", technical=True))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "discovered_shop"
    for name in [name for name in sys.modules if name.partition(".")[0] == "discovered_shop"]:
        del sys.modules[name]


def test_package_when_searched_then_its_workflows_are_found_and_no_others(package: str) -> None:
    """In all its modules, by name; neither technical ones nor what is only imported there."""
    found = levante.discover_all_workflows_in_package(package)
    assert [cls.__name__ for cls in found] == ["Inner", "Order"]
    assert levante.discover_all_workflows_in_package(sys.modules[package]) == found
    assert {"discovered-a", "discovered-b"} <= set(levante.get_registered_workflow_names())
    assert "discovered-own" not in levante.get_registered_workflow_names()


def test_package_when_a_module_of_it_cannot_be_imported_then_that_is_told(package: str, tmp_path: Path) -> None:
    """A workflow that is silently missing would wait for ever."""
    (tmp_path / package / "broken.py").write_text("raise RuntimeError('broken on purpose')")
    with pytest.raises(RuntimeError, match="broken on purpose"):
        levante.discover_all_workflows_in_package(package)


@pytest.mark.parametrize("name", ["config", "WorkflowsConfig", "get_workflow_registration_ref"])
def test_name_when_the_vendors_sdk_has_it_and_we_do_not_then_the_error_says_what_to_use(name: str) -> None:
    """Code that comes from there learns what to change."""
    with pytest.raises(AttributeError, match=f"levante has no {name}: "):
        getattr(levante, name)


def test_name_when_nobody_has_it_then_the_error_is_the_usual_one() -> None:
    """A typing error is one."""
    with pytest.raises(AttributeError, match="has no attribute 'workflwo'"):
        levante.workflwo  # noqa: B018
