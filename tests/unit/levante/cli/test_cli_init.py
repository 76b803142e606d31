"""`levante init`: what it writes, and what it leaves alone."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from levante.cli import main
from tests.support.cli import assert_one_line

FILES = [".gitignore", "Dockerfile", "README.md", "checkout.py", "pyproject.toml", "test_checkout.py"]


def init(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["init", *arguments])


def test_init_when_the_directory_is_new_then_a_project_with_its_name_is_there(tmp_path: Path) -> None:
    """And the next command is printed."""
    place = tmp_path / "My Shop"
    result = init(str(place))
    assert (result.exit_code, sorted(path.name for path in place.iterdir())) == (0, FILES)
    assert result.stdout.splitlines()[-1] == f"Go on with:  cd {place} && levante dev checkout.py"
    assert tomllib.loads((place / "pyproject.toml").read_text())["project"]["name"] == "my-shop"
    assert (place / "README.md").read_text().startswith("# my-shop\n")
    assert "{" not in (place / "pyproject.toml").read_text()


def test_init_when_something_of_it_is_there_then_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's work is lost; other files are no obstacle."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "checkout.py").write_text("mine")
    assert_one_line(init(), "checkout.py is there already", "Nothing was written")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkout.py", "notes.txt"]
    (tmp_path / "checkout.py").unlink()
    assert init().exit_code == 0


def test_init_when_the_directory_cannot_be_written_then_it_says_why(tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "file").touch()
    assert_one_line(init(str(tmp_path / "file" / "shop")), "cannot be written")
