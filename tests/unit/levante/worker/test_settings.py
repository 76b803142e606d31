from pathlib import Path

import pytest

from levante.encoding import EncodingMisconfigured, read_encoding_settings
from levante.errors import ErrorCode, WorkflowsException
from levante.worker.settings import read_settings

SECRET = "4f1c-secret"
KEY = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `.env` that has not been written yet, in the working directory; no setting is in the environment."""
    for name in ("LEVANTE_API_KEY", "MISTRAL_API_KEY", "DEPLOYMENT_NAME", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".env"


def test_settings_when_in_a_file_then_they_are_read(env_file: Path) -> None:
    """Nobody has to export variables by hand; what is not about workers is passed over."""
    env_file.write_text(
        f"LEVANTE_API_KEY={SECRET}\nDEPLOYMENT_NAME='shop'\n# DRAIN_SECONDS=1\nMAX_CACHED_WORKFLOWS=5\nOTHER=1\n"
    )
    settings = read_settings({})
    assert settings.api_key.get_secret_value() == SECRET
    assert (settings.deployment_name, settings.max_cached_workflows, settings.drain_seconds) == ("shop", 5, 10.0)


def test_settings_when_in_several_places_then_arguments_go_before_the_environment_and_that_before_the_file(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever name of a setting was used; an empty variable is none."""
    env_file.write_text("LEVANTE_API_KEY=file\nDEPLOYMENT_NAME=file\nBUILD_ID=file\nWORKER_NAME=file\nLOG_LEVEL=debug\n")
    monkeypatch.setenv("TEMPORAL_WORKER_BUILD_ID", "environment")
    monkeypatch.setenv("DEPLOYMENT_NAME", "environment")
    monkeypatch.setenv("LOG_LEVEL", "")
    settings = read_settings({"deployment_name": "argument", "worker_name": None})
    assert settings.build_id == "environment"
    assert (settings.deployment_name, settings.worker_name, settings.log_level) == ("argument", "file", "debug")


def test_settings_when_our_key_is_in_the_file_then_it_goes_before_the_vendor_s_in_the_environment(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many programs have the vendor's key for its models; no Levante server knows it."""
    env_file.write_text("LEVANTE_API_KEY=ours\nDEPLOYMENT_NAME=d\nLEVANTE_SERVER_URL=https://levante.example\n")
    monkeypatch.setenv("MISTRAL_API_KEY", "theirs")
    assert read_settings({}).api_key.get_secret_value() == "ours"
    with pytest.raises(WorkflowsException, match="api_key is missing"):
        read_settings({"api_key": ""})


def test_settings_when_the_environment_has_both_names_then_ours_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may have the vendor's key too."""
    monkeypatch.setenv("DEPLOYMENT_NAME", "d")
    monkeypatch.setenv("MISTRAL_API_KEY", "theirs")
    monkeypatch.setenv("LEVANTE_API_KEY", "ours")
    assert read_settings({}).api_key.get_secret_value() == "ours"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "deployment_name is missing: set DEPLOYMENT_NAME or TEMPORAL_DEPLOYMENT_NAME"),
        ("LOG_LEVEL=loud", "deployment_name is missing: set DEPLOYMENT_NAME or TEMPORAL_DEPLOYMENT_NAME"),
        ("DEPLOYMENT_NAME=d", "api_key is missing: set LEVANTE_API_KEY or MISTRAL_API_KEY"),
        (
            f"DEPLOYMENT_NAME=d\nLEVANTE_API_KEY={SECRET}\nLEVANTE_SERVER_URL={SECRET}",
            "LEVANTE_SERVER_URL or SERVER_URL: String",
        ),
        (
            f"DEPLOYMENT_NAME=d\nLEVANTE_API_KEY={SECRET}\nDRAIN_SECONDS={SECRET}",
            "DRAIN_SECONDS: Input should be a valid number",
        ),
    ],
)
def test_settings_when_wrong_then_the_error_names_the_variable_and_shows_no_value(
    env_file: Path, text: str, message: str
) -> None:
    """Whoever starts a worker learns what to change, and no secret gets into a log."""
    env_file.write_text(text)
    with pytest.raises(WorkflowsException) as caught:
        read_settings({})
    assert caught.value.code is ErrorCode.WORKER_RUNTIME_CONFIG_ERROR
    assert str(caught.value).startswith(message)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_settings_when_the_api_key_is_empty_then_it_is_missing() -> None:
    """An argument that somebody computed wrongly is no reason to use another key."""
    with pytest.raises(WorkflowsException, match="api_key is missing"):
        read_settings({"api_key": "", "deployment_name": "d"})


def test_settings_when_shown_then_the_secret_is_not(env_file: Path) -> None:
    """They may be logged."""
    env_file.write_text(f"LEVANTE_API_KEY={SECRET}\nDEPLOYMENT_NAME=d\n")
    settings = read_settings({})
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_settings_when_the_file_is_above_the_working_directory_then_it_is_not_read(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory above may belong to somebody else, who would learn the key."""
    env_file.write_text(f"LEVANTE_API_KEY={SECRET}\nDEPLOYMENT_NAME=d\n")
    below = env_file.parent / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    with pytest.raises(WorkflowsException, match="deployment_name is missing"):
        read_settings({})


def test_file_when_it_cannot_be_read_then_that_is_said_and_nothing_it_holds(env_file: Path) -> None:
    """A file in another encoding is no reason for a traceback, which might show it."""
    env_file.write_bytes(b"LEVANTE_API_KEY=\xff\xfe")
    with pytest.raises(WorkflowsException, match=r"^\.env cannot be read: it is no UTF-8$"):
        read_settings({})
    with pytest.raises(EncodingMisconfigured, match=r"^\.env cannot be read: it is no UTF-8$"):
        read_encoding_settings()


def test_encoding_when_in_a_file_then_it_is_read_and_the_environment_goes_first(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of payloads come the same way as the worker's own, and are not shown either."""
    env_file.write_text(
        f"TEMPORAL_PAYLOAD_ENCRYPTION__MODE=full\nTEMPORAL_PAYLOAD_ENCRYPTION__MAIN_KEY={KEY}\nOTHER=1\n"
        "LEVANTE_MAX_PAYLOAD_BYTES=5000\n"
    )
    monkeypatch.setenv("TEMPORAL_PAYLOAD_ENCRYPTION__MODE", "partial")
    monkeypatch.setenv("LEVANTE_MAX_PAYLOAD_BYTES", "")
    settings = read_encoding_settings()
    assert settings.payload_encryption
    assert settings.payload_encryption.mode == "partial"
    assert settings.payload_encryption.main_key.get_secret_value() == KEY
    assert settings.max_payload_bytes == 5000
    assert KEY not in f"{settings!r} {settings.model_dump_json()}"


# --- on the host's own machine ----------------------------------------------------------------------------------------


@pytest.fixture
def local_key(tmp_path: Path) -> str:
    """The key that a host has left in the working directory."""
    (tmp_path / ".levante").mkdir()
    (tmp_path / ".levante" / "api-key").write_text("lev_local\n")
    return "lev_local"


def test_settings_when_the_host_is_here_then_its_key_and_the_programs_name_are_enough(
    local_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key to copy and no name to invent; the vendor's own key stays where it is."""
    monkeypatch.setenv("MISTRAL_API_KEY", "theirs")
    settings = read_settings({}, "shop/checkout.py:Checkout")
    assert (settings.api_key.get_secret_value(), settings.deployment_name) == (local_key, "checkout")
    monkeypatch.setattr("__main__.__file__", "/home/ann/other shop.py", raising=False)
    assert read_settings({}).deployment_name == "other-shop"


def test_settings_when_something_is_said_then_that_counts(local_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an argument, a variable or the file."""
    assert local_key
    monkeypatch.setenv("LEVANTE_API_KEY", "ours")
    monkeypatch.setenv("TEMPORAL_DEPLOYMENT_NAME", "d")
    settings = read_settings({}, "checkout")
    assert (settings.api_key.get_secret_value(), settings.deployment_name) == ("ours", "d")
    assert read_settings({"api_key": "given"}, "x").api_key.get_secret_value() == "given"


def test_settings_when_the_host_is_elsewhere_then_the_local_key_stays_here(local_key: str) -> None:
    """It is this host's, and nobody else's."""
    assert local_key
    with pytest.raises(WorkflowsException, match="deployment_name is missing"):
        read_settings({"server_url": "https://levante.example"}, "checkout")
    with pytest.raises(WorkflowsException, match="api_key is missing"):
        read_settings({"server_url": "https://levante.example", "deployment_name": "d"}, "checkout")
