"""What `levante worker` makes of its arguments."""

import logging
import sys
from pathlib import Path

import click
import pytest

from levante.cli.exits import CommandFailed
from levante.cli.targets import workflows_of

SOURCES = {
    "cli_orders": """
from levante import workflow

class Plain: ...

@workflow.define(name="order")
class Order:
    @workflow.entrypoint
    async def run(self) -> None: ...

Alias = Order

@workflow.define(name="refund")
class Refund:
    @workflow.entrypoint
    async def run(self) -> None: ...

class Inherits(Order): ...
""",
    "cli_importing": "from cli_orders import Order",
    "cli_empty": "x = 1",
    "cli_needy": "import cli_not_there",
    "cli_raising": "\n\nraise ValueError('two\\nlines')",
    "cli_misspelt": "\ndef def",
    "cli_undone": """
from levante import workflow

@workflow.define(name="order")
class Order: ...
""",
}


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, source in SOURCES.items():
        (tmp_path / f"{name}.py").write_text(source)
    (tmp_path / "cli_package").mkdir()
    (tmp_path / "cli_package" / "__init__.py").write_text("")
    (tmp_path / "cli_package" / "inner.py").write_text(SOURCES["cli_orders"])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        pytest.param(["cli_orders"], ["Order", "Refund"], id="all that are defined there, each once"),
        pytest.param(["cli_orders:Refund"], ["Refund"], id="one"),
        pytest.param(["cli_orders:Order", "cli_orders"], ["Order", "Refund"], id="twice asked for"),
        pytest.param(["cli_package.inner:Order"], ["Order"], id="in a package"),
        pytest.param(["cli_importing:Order"], ["Order"], id="an imported one by name"),
        pytest.param(["cli_orders:Refund", "cli_package.inner:Order"], ["Refund", "Order"], id="of several modules"),
    ],
)
def test_targets_when_they_name_workflows_then_those_are_found(targets: list[str], names: list[str]) -> None:
    """A module stands for the workflows that it defines, a class for itself."""
    assert [cls.__name__ for cls in workflows_of(targets)] == names


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("cli_absent", r"no module 'cli_absent' here"),
        ("cli_absent.inner", r"no module 'cli_absent' here"),
        ("cli_package.absent", r"no module 'cli_package.absent' here"),
        ("cli_orders:Absent", r"has no 'Absent'; workflows in it: Order, Refund"),
        ("cli_orders:Plain", r"cli_orders:Plain is no workflow: decorate"),
        ("cli_orders:Inherits", r"cli_orders:Inherits is no workflow: decorate"),
        ("cli_empty", r"defines no workflows: decorate"),
        ("cli_package", r"defines no workflows: decorate"),
        ("cli_importing", r"only imports workflows; name them to serve them: cli_importing:Order"),
        ("cli_needy", r"needs 'cli_not_there', which is not installed \(.*cli_needy.py:1\)"),
        ("cli_raising", r"ValueError: two lines \(.*cli_raising.py:3; LOG_LEVEL=debug"),
        ("cli_misspelt", r"SyntaxError: .*\(.*cli_misspelt.py:2;"),
        ("cli_undone", r"WorkflowsException: .*entrypoint.*\(.*cli_undone.py:\d;"),
    ],
)
def test_target_when_it_cannot_be_served_then_the_error_says_why_and_where(target: str, said: str) -> None:
    """A worker that could serve nothing does not start."""
    with pytest.raises(CommandFailed, match=said) as raised:
        workflows_of([target])
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("target", ["", ":Order", "cli_orders:", "dir/cli_orders", "cli_orders:A:B", ".cli_orders", "a..b"])
def test_target_when_it_is_malformed_then_it_is_wrong_usage(target: str) -> None:
    """A path of a file is not the name of a module."""
    with pytest.raises(click.BadParameter, match=r"package\.module"):
        workflows_of([target])


def test_import_when_it_fails_then_the_log_can_show_the_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """One line for users, everything for those who ask."""
    with caplog.at_level(logging.DEBUG, logger="levante.cli"), pytest.raises(CommandFailed):
        workflows_of(["cli_raising"])
    assert "Traceback" in caplog.text


# --- files ------------------------------------------------------------------------------------------------------------

SCRIPT = """
import asyncio
import levante as workflows

@workflows.workflow.define(name="order")
class Order:
    @workflows.workflow.entrypoint
    async def run(self) -> None: ...

print("ran:", asyncio.run(workflows.run_worker([Order])))
"""


@pytest.mark.parametrize("target", ["cli_script.py", "cli_package/cli_script.py", "{elsewhere}/cli_script.py:Order"])
def test_targets_when_a_file_is_named_then_it_is_imported_and_runs_no_worker_of_its_own(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is started with `python checkout.py` can be served by `levante worker checkout.py` as it is."""
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    for directory in (tmp_path, tmp_path / "cli_package", elsewhere):
        (directory / "cli_script.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (workflow,) = workflows_of([target.format(elsewhere=elsewhere)])
    assert workflow.__name__ == "Order"
    assert capsys.readouterr().out == "ran: None\n"


def test_targets_when_a_file_is_not_there_then_it_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that a module is missing whose name nobody wrote."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandFailed, match=r"there is no file cli_nothing\.py in "):
        workflows_of(["cli_nothing.py"])
