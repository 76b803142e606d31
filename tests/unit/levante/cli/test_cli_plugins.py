"""Commands of other packages, found through real entry points."""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from click.testing import CliRunner

from levante.cli import main

PLUGINS = {
    "cli_good.py": "import click\n@click.command()\n@click.argument('word')\ndef good(word): click.echo(word * 2)",
    "cli_broken.py": "import something_absent",
    "cli_odd.py": "odd = 7",
    "cli_plugins-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: cli-plugins\nVersion: 1.0\n",
    "cli_plugins-1.0.dist-info/entry_points.txt": (
        "[levante.commands]\ngood = cli_good:good\nbroken = cli_broken:x\nodd = cli_odd:odd\nworker = cli_broken:x\n"
    ),
}


@pytest.fixture
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in PLUGINS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("_plugins")
def test_plugin_when_called_then_it_reads_its_own_arguments() -> None:
    """A command of another package is like one of ours."""
    result = CliRunner().invoke(main, ["good", "ab"])
    assert (result.exit_code, result.stdout) == (0, "abab\n")
    assert CliRunner().invoke(main, ["good"]).exit_code == 2


@pytest.mark.usefixtures("_plugins")
def test_help_when_read_then_plug_ins_are_listed_and_not_imported() -> None:
    """A broken package spoils nothing but its own command, and help stays fast."""
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert "Provided by cli_broken" in result.stdout
    assert "Run a worker" in result.stdout, "ours come first"
    assert not {"cli_good", "cli_broken", "cli_odd"} & set(sys.modules)


@pytest.mark.usefixtures("_plugins")
@pytest.mark.parametrize(("name", "said"), [("broken", "something_absent"), ("odd", "is no click command")])
def test_plugin_when_it_cannot_be_used_then_the_error_is_one_line(name: str, said: str) -> None:
    """The user hears which package to mend."""
    result = CliRunner().invoke(main, [name])
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert f"cli_{name}:" in result.stderr
    assert said in result.stderr


def test_dev_when_it_is_not_installed_then_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first command that anybody types is never "no such command"."""
    monkeypatch.setattr("levante.cli.plugins.entry_points", lambda **_: ())
    result = CliRunner().invoke(main, ["dev", "--port", "1"])
    assert (result.exit_code, "not installed" in result.stderr) == (1, True)
    assert "dev" in CliRunner().invoke(main, ["--help"]).stdout
    assert CliRunner().invoke(main, ["nonsense"]).exit_code == 2


def test_version_when_asked_for_then_it_is_the_installed_one() -> None:
    """What is reported with a bug."""
    try:
        expected = f"levante {version('levante')}\n"
    except PackageNotFoundError:
        expected = "levante, not installed: a checkout\n"
    result = CliRunner().invoke(main, ["--version"])
    assert (result.exit_code, result.stdout) == (0, expected)
