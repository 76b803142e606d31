"""Where the client finds the API and its key, and where it never sends the vendor's."""

from pathlib import Path

import pytest

from levante.client import ClientMisconfigured, InvalidServerUrl
from levante.client.settings import DEFAULT_SERVER_URL, read_connection
from levante.errors import WorkflowsException
from levante.worker.settings import read_settings

OURS = {"LEVANTE_API_KEY": "lev_ours"}
VENDOR = {"MISTRAL_API_KEY": "theirs"}
ELSEWHERE = "https://levante.example"


def test_connection_when_nothing_is_set_but_a_key_then_it_is_the_host_on_this_machine() -> None:
    """`levante dev` and the client find one another without an address."""
    connection = read_connection(environment=OURS)
    assert (connection.server_url, connection.api_key) == (DEFAULT_SERVER_URL, "lev_ours")
    assert connection.is_local


@pytest.mark.parametrize(
    ("url", "key", "environment", "expected"),
    [
        (
            ELSEWHERE,
            "lev_given",
            {**OURS, "LEVANTE_SERVER_URL": "http://h"},
            (ELSEWHERE, "lev_given", "an argument"),
        ),
        (None, None, {**OURS, **VENDOR, "LEVANTE_SERVER_URL": ELSEWHERE}, (ELSEWHERE, "lev_ours", "LEVANTE_API_KEY")),
        (None, None, {**VENDOR, "SERVER_URL": f"{ELSEWHERE}/"}, (ELSEWHERE, "theirs", "MISTRAL_API_KEY")),
        (ELSEWHERE, None, {**VENDOR, "LEVANTE_API_KEY": " "}, (ELSEWHERE, "theirs", "MISTRAL_API_KEY")),
        (None, None, VENDOR, (DEFAULT_SERVER_URL, "theirs", "MISTRAL_API_KEY")),
        ("https://mistral.ai.example", None, VENDOR, ("https://mistral.ai.example", "theirs", "MISTRAL_API_KEY")),
    ],
)
def test_connection_when_several_say_it_then_arguments_come_first_and_ours_before_the_vendor_s(
    url: str | None, key: str | None, environment: dict[str, str], expected: tuple[str, str, str]
) -> None:
    """And it is remembered where the key is from, for errors to name it."""
    connection = read_connection(url, key, environment)
    assert (connection.server_url, connection.api_key, connection.key_source) == expected
    assert connection.api_key not in repr(connection)


@pytest.mark.parametrize("url", ["https://api.mistral.ai", "https://MISTRAL.AI/", "http://api.mistral.ai.:80/v1"])
def test_connection_when_the_server_is_the_vendor_s_then_its_key_is_not_sent_there(url: str) -> None:
    """SERVER_URL may be left over from the official client; a key of ours, or one that is given, is a decision."""
    for environment in ({**VENDOR, "SERVER_URL": url}, {**VENDOR, "LEVANTE_SERVER_URL": url}):
        with pytest.raises(ClientMisconfigured, match=r"MISTRAL_API_KEY is not sent there: set LEVANTE_SERVER_URL"):
            read_connection(environment=environment)
    assert read_connection(url, environment={**VENDOR, **OURS}).api_key == "lev_ours"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "no API key: set LEVANTE_API_KEY"),
        ({"LEVANTE_API_KEY": "é"}, "the API key from LEVANTE_API_KEY holds"),
        ({"MISTRAL_API_KEY": "a b"}, "the API key from MISTRAL_API_KEY holds"),
    ],
)
def test_connection_when_the_key_is_missing_or_damaged_then_the_variable_is_named(
    environment: dict[str, str], said: str
) -> None:
    """The client and the command line say the same."""
    with pytest.raises(ClientMisconfigured, match=said):
        read_connection(environment=environment)


@pytest.mark.parametrize(
    "url", ["localhost:8700", "file:///etc/hosts", "http://h:99999", "http://h:0", "http://a b", "http://é"]
)
def test_connection_when_the_address_cannot_be_one_then_it_is_refused(url: str) -> None:
    """Nothing is sent to what was misspelled."""
    with pytest.raises(InvalidServerUrl, match="no address such as"):
        read_connection(url, environment=OURS)


def test_worker_when_the_server_is_the_vendor_s_then_its_key_is_not_sent_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """One place decides where a key may be sent."""
    monkeypatch.delenv("LEVANTE_API_KEY", raising=False)
    monkeypatch.delenv("LEVANTE_SERVER_URL", raising=False)
    monkeypatch.setenv("MISTRAL_API_KEY", "theirs")
    monkeypatch.setenv("SERVER_URL", "https://api.mistral.ai")
    with pytest.raises(WorkflowsException, match="MISTRAL_API_KEY is not sent there"):
        read_settings({"deployment_name": "d"})
    monkeypatch.setenv("SERVER_URL", ELSEWHERE)
    assert read_settings({"deployment_name": "d"}).api_key.get_secret_value() == "theirs"


def test_connection_when_the_host_on_this_machine_has_left_its_key_then_it_goes_before_the_vendor_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found from the directory that the host runs in, or where LEVANTE_DATA says, and goes nowhere else."""
    monkeypatch.chdir(tmp_path)
    for directory in (".levante", "data"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "api-key").write_text(f"lev_in_{directory.strip('.')}\n")
    assert read_connection(environment=VENDOR).api_key == "lev_in_levante"
    elsewhere = read_connection(environment={"LEVANTE_DATA": "data"})
    assert (elsewhere.api_key, elsewhere.key_source) == ("lev_in_data", "data/api-key")
    assert read_connection(environment=OURS).api_key == "lev_ours"
    assert read_connection(ELSEWHERE, environment=VENDOR).api_key == "theirs"
    (tmp_path / ".levante" / "api-key").write_bytes(b"\xff")
    with pytest.raises(ClientMisconfigured, match=r"`levante dev` leaves the first one in \.levante/api-key"):
        read_connection(environment={})


# --- `.env` in the working directory ----------------------------------------------------------------------------------


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `.env` that has not been written yet."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".env"


@pytest.mark.parametrize(
    ("in_file", "environment", "expected"),
    [
        ({**OURS, "SERVER_URL": ELSEWHERE}, {}, (ELSEWHERE, "lev_ours", "LEVANTE_API_KEY in .env")),
        (OURS, {"LEVANTE_API_KEY": "lev_set"}, (DEFAULT_SERVER_URL, "lev_set", "LEVANTE_API_KEY")),
        (
            {**OURS, "LEVANTE_SERVER_URL": "http://h"},
            {**VENDOR, "SERVER_URL": ELSEWHERE},
            (ELSEWHERE, "lev_ours", "LEVANTE_API_KEY in .env"),
        ),
        ({"LEVANTE_DATA": "data"}, VENDOR, (DEFAULT_SERVER_URL, "lev_local", "data/api-key")),
        ({**VENDOR, "SERVER_URL": ELSEWHERE}, {"SERVER_URL": ""}, (ELSEWHERE, "theirs", "MISTRAL_API_KEY in .env")),
    ],
)
def test_connection_when_it_is_in_a_file_then_the_client_reads_what_the_worker_reads(
    env_file: Path, in_file: dict[str, str], environment: dict[str, str], expected: tuple[str, str, str]
) -> None:
    """Whoever has written a `.env` for the worker need not export it for commands; the environment goes before it."""
    (env_file.parent / "data").mkdir()
    (env_file.parent / "data" / "api-key").write_text("lev_local\n")
    env_file.write_text("".join(f"{name}={value}\n" for name, value in in_file.items()))
    connection = read_connection(environment=environment)
    assert (connection.server_url, connection.api_key, connection.key_source) == expected


def test_connection_when_the_file_names_the_vendor_then_its_key_is_not_sent_there(env_file: Path) -> None:
    """The same as in the environment."""
    env_file.write_text("SERVER_URL=https://api.mistral.ai\n")
    with pytest.raises(ClientMisconfigured, match="MISTRAL_API_KEY is not sent there"):
        read_connection(environment=VENDOR)


def test_connection_when_the_file_cannot_be_read_then_that_is_said_and_nothing_it_holds(env_file: Path) -> None:
    """It may hold a key."""
    env_file.write_bytes(b"LEVANTE_API_KEY=\xff\xfe")
    with pytest.raises(ClientMisconfigured, match=r"^\.env cannot be read: it is no UTF-8$"):
        read_connection(environment=OURS)
