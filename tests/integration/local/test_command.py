"""`levante dev`: who may read the data, and who may listen on the way."""

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from levante_local import cli
from levante_local.data_directory import prepare_directory
from levante_local.host import Host, HostSettings
from levante_local.http.server import Listening, Tls, server_of
from levante_local.http.sockets import Sockets
from tests.integration.api.harness import on_a_loop
from tests.integration.local.serving import KEY, request, serving


def modes(directory: Path) -> dict[str, int]:
    """Return what everybody may do with each file and directory."""
    return {
        str(path.relative_to(directory.parent)): path.stat().st_mode & 0o777 for path in [directory, *directory.rglob("*")]
    }


@on_a_loop
async def test_data_when_a_host_runs_then_it_is_its_owners_alone(tmp_path: Path) -> None:
    """Payloads, inputs and digests of keys are in there; whatever SQLite puts beside its file as well."""
    data = tmp_path / "data"
    async with serving(data) as served:
        served.host._store._path.with_name("levante.sqlite-wal").stat()
        (data / "payloads" / "place").mkdir(mode=0o755)
        (data / "payloads" / "place" / "old").touch(mode=0o644)
        assert {path: mode for path, mode in modes(data).items() if "place" not in path and mode & 0o077} == {}
    data.chmod(0o755)
    for path in data.iterdir():
        path.chmod(0o755 if path.is_dir() else 0o644)
    async with serving(data):
        assert {path: oct(mode) for path, mode in modes(data).items() if mode & 0o077} == {}


def test_data_when_the_directory_holds_other_things_then_only_our_files_are_tightened(tmp_path: Path) -> None:
    """Whoever says `--data .` does not lock everybody out of a home or a shared directory."""
    tmp_path.chmod(0o755)
    (tmp_path / "letter.txt").touch(mode=0o644)
    (tmp_path / "levante.sqlite").touch(mode=0o644)
    prepare_directory(tmp_path)
    assert (tmp_path.stat().st_mode & 0o777, (tmp_path / "letter.txt").stat().st_mode & 0o777) == (0o755, 0o644)
    assert (tmp_path / "levante.sqlite").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("host", "exposed"),
    [
        *((host, False) for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8")),
        *((host, True) for host in ("0.0.0.0", "::", "10.0.0.1", "example.org")),
    ],
)
def test_address_when_others_reach_it_without_tls_then_it_counts_as_exposed(host: str, exposed: bool) -> None:  # noqa: FBT001
    """With TLS nothing passes the network in plain text."""
    assert Listening(host, 1).is_exposed is exposed
    assert not Listening(host, 1, Tls(Path("c"), Path("k"))).is_exposed


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Listening]:
    """What the command would serve; it returns at once."""
    asked: list[Listening] = []

    @contextmanager
    def taken(listening: Listening) -> Iterator[None]:
        asked.append(listening)
        yield

    def serve(application: Host, *_: object) -> None:
        application._store.close()

    monkeypatch.setattr(cli, "_port_taken", taken)
    monkeypatch.setattr(cli, "serve", serve)
    return asked


def certificate(directory: Path, *, password: bytes | None = None) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1. Returns it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (directory / "cert.pem").write_bytes(made.public_bytes(pem))
    (directory / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, encryption))
    return directory / "cert.pem", directory / "key.pem"


def dev(tmp_path: Path, *options: str) -> tuple[int, str, str]:
    """Run the command. Returns exit code, stdout and stderr."""
    result = CliRunner().invoke(cli.dev, ["--data", str(tmp_path / "data"), *options], env={"LEVANTE_API_KEY": KEY})
    return result.exit_code, result.stdout, result.stderr


def test_command_when_it_listens_on_loopback_then_it_prints_where_and_warns_of_nothing(
    tmp_path: Path, served: list[Listening]
) -> None:
    """Scripts read the address from its output."""
    code, out, err = dev(tmp_path, "--port", "8701")
    assert (code, err) == (0, "")
    assert "Levante listens on http://127.0.0.1:8701, data in " in out
    assert f"API key is in {tmp_path / 'data' / 'api-key'}" in out
    assert KEY not in out
    assert served == [Listening("127.0.0.1", 8701)]


def test_command_when_others_reach_it_without_tls_then_it_warns(tmp_path: Path, served: list[Listening]) -> None:
    """On stderr, so that scripts which read its output are not disturbed."""
    code, out, err = dev(tmp_path, "--host", "0.0.0.0")
    assert (code, len(served)) == (0, 1)
    assert "unencrypted" in err
    assert "unencrypted" not in out


def test_command_when_it_has_a_certificate_then_it_serves_https(tmp_path: Path, served: list[Listening]) -> None:
    """And says so."""
    cert, key = certificate(tmp_path)
    code, out, err = dev(tmp_path, "--host", "0.0.0.0", "--tls-cert", str(cert), "--tls-key", str(key))
    assert (code, err) == (0, "")
    assert "https://0.0.0.0:8700" in out
    assert served == [Listening("0.0.0.0", 8700, Tls(cert, key))]


@pytest.mark.parametrize("wrong", ["no key", "no certificate", "another key", "no PEM", "encrypted"])
def test_command_when_certificate_and_key_cannot_be_used_then_it_says_why_and_ends(
    tmp_path: Path, served: list[Listening], wrong: str
) -> None:
    """Before it serves anything, in one line, and without asking for a password."""
    cert, key = certificate(tmp_path, password=b"secret" if wrong == "encrypted" else None)
    options = ["--tls-cert", str(cert), "--tls-key", str(key)]
    if wrong == "another key":
        other = tmp_path / "other"
        other.mkdir()
        options[3] = str(certificate(other)[1])
    if wrong == "no PEM":
        cert.write_text("this is no certificate")
    options = {"no key": options[:2], "no certificate": options[2:]}.get(wrong, options)
    code, _, err = dev(tmp_path, *options)
    assert code != 0
    assert {"no key": "go together", "no certificate": "go together", "encrypted": "password"}.get(
        wrong, "cannot use"
    ) in err
    assert "Traceback" not in err
    assert served == []


@on_a_loop
async def test_host_when_it_has_a_certificate_then_callers_who_trust_it_are_answered(tmp_path: Path) -> None:
    """With the limits of sockets, as without."""
    cert, key = certificate(tmp_path)
    host = Host(HostSettings(tmp_path / "data", first_key=SecretStr(KEY), synchronous="NORMAL"))
    server = server_of(host, Listening("127.0.0.1", 0, Tls(cert, key)), "error", Sockets())
    trusting = ssl.create_default_context(cafile=cert)
    async with host.running():
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0)
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
        for sent, status in ((request("GET", "/v1/health"), b"200"), (request("GET", "/" + "x" * 9000), b"414")):
            writer.write(sent)
            assert (await reader.readline()).split()[1] == status
            if status == b"200":
                await reader.readuntil(b"}")
        writer.close()
        server.should_exit = True
        await task


def test_command_when_the_port_is_in_use_then_it_says_so_and_does_nothing_else(tmp_path: Path) -> None:
    """One line, before any data is made."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, out, err = dev(tmp_path, "--port", str(port))
    assert (code, out) == (1, "")
    assert err == f"Error: port {port} of 127.0.0.1 is in use: stop what listens there, or take another one with --port\n"
    assert not (tmp_path / "data").exists()


def test_data_when_it_is_the_hosts_own_directory_then_no_repository_takes_it(tmp_path: Path) -> None:
    """`git status` in a project stays clean."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").touch()
    for name in ("data", "home"):
        host = Host(HostSettings(tmp_path / name, synchronous="NORMAL"))
        host.local_key()
        host._store.close()
    assert (tmp_path / "data" / ".gitignore").read_text().endswith("*\n")
    assert not (tmp_path / "home" / ".gitignore").exists()


def test_data_when_it_is_deleted_or_replaced_then_the_host_knows(tmp_path: Path) -> None:
    """What it writes after that would be lost."""
    host = Host(HostSettings(tmp_path / "data", synchronous="NORMAL"))
    try:
        assert host.has_data
        (tmp_path / "data" / "levante.sqlite").unlink()
        seen = [host.has_data]
        (tmp_path / "data" / "levante.sqlite").touch()
        assert [*seen, host.has_data] == [False, False]
    finally:
        host._store.close()
