from pathlib import Path

import click
import pytest

from levante_core.adapters.otlp_http import ENDPOINT, HEADERS
from levante_local.cli import dev
from levante_local.environment import HostEnvironment
from levante_local.host import HostSettings

SECRET = "4f1c-secret"


@pytest.fixture(autouse=True)
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LEVANTE_API_KEY", "LEVANTE_DATA", ENDPOINT, HEADERS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".env"


def test_variables_when_in_a_file_then_they_are_read_and_the_environment_goes_first(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file does for the host and its workers, whose variables are passed over."""
    env_file.write_text(f"LEVANTE_API_KEY={SECRET}\nDEPLOYMENT_NAME=d\n{ENDPOINT}=http://file\n{HEADERS}=key={SECRET}\n")
    monkeypatch.setenv(ENDPOINT, "http://environment")
    environment = HostEnvironment()
    assert environment.first_key
    assert environment.first_key.get_secret_value() == SECRET
    assert environment.of_collector() == {ENDPOINT: "http://environment", HEADERS: f"key={SECRET}"}


def test_variables_when_empty_or_absent_then_there_is_no_key_and_no_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty key would be one that anybody knows."""
    monkeypatch.setenv("LEVANTE_API_KEY", "")
    environment = HostEnvironment()
    assert environment.first_key is None
    assert environment.of_collector() == {}


def test_data_directory_when_a_file_names_it_then_the_host_uses_the_one_that_workers_look_into(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the worker would look for the key of another host."""
    option = next(option for option in dev.params if option.name == "data")
    env_file.write_text("LEVANTE_DATA=data\n")
    assert option.get_default(click.Context(dev)) == Path("data")
    monkeypatch.setenv("LEVANTE_DATA", "elsewhere")
    assert option.get_default(click.Context(dev)) == Path("elsewhere")


def test_secrets_when_settings_are_shown_then_they_are_not(env_file: Path) -> None:
    """They may be logged."""
    env_file.write_text(f"LEVANTE_API_KEY={SECRET}\n{HEADERS}=key={SECRET}\n")
    environment = HostEnvironment()
    assert SECRET not in f"{environment!r} {environment}"
    assert SECRET not in repr(HostSettings(env_file.parent, first_key=environment.first_key))
