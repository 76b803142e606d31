"""What all suites share: the two forms of broad tests, the emulators of AWS, and logs that are captured whole."""

import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import emulators, forms
from tests.support.deployed import Stack, deployed

WANTED = os.environ.get("LEVANTE_TEST_EMULATORS") == "1"
SLOW = [Path(__file__).parent / name for name in ("e2e", "first_hour")]
"""Where every test starts processes, and kills some."""
SLOW_SECONDS = 300
"""The limit of a slow test that names none: machines that test are busy, and it is to end what hangs, nothing else."""
NOT_WANTED = "runs on an AWS emulator: `make test-aws`, or set LEVANTE_TEST_EMULATORS=1"


MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a directory of its own in it
LEAST_MEMORY_BYTES = 4 << 30
"""Free, for temporary directories of tests to be in memory."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="broad tests in their full form, as `make test-full` runs them")


def pytest_configure(config: pytest.Config) -> None:
    forms.choose(full=config.getoption("--full"))
    config.addinivalue_line("markers", forms.MARKER)
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= LEAST_MEMORY_BYTES:  # most tests wait for nothing but fsync
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell: programs would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers", "slow: takes half a second of CPU or more: `make test-slow` runs it, `make test` does not"
    )
    config.addinivalue_line("markers", "emulators: runs on an AWS emulator, which is installed when it is first wanted")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not forms.is_full() and (left_out := forms.leave_out(items)):
        config.hook.pytest_deselected(items=left_out)
    for item in items:
        if any(folder in item.path.parents for folder in SLOW):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))
        if not WANTED and item.get_closest_marker("emulators"):
            item.add_marker(pytest.mark.skip(reason=NOT_WANTED))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install before the first test, whose time limit would not cover it. What fails here is the fixture's to report."""
    if WANTED and any(item.get_closest_marker("emulators") for item in session.items):
        emulators.install_all()


@pytest.fixture(autouse=True)
def _captured_logs_are_whole() -> None:
    """A test before may have run a program that keeps payloads out of what the handlers of its process write."""
    for handler in logging.getLogger().handlers:
        vars(handler).pop("format", None)


@pytest.fixture(scope="session")
def ministack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint of a ministack that all tests of the session share: name what you make in it after your test."""
    try:
        with emulators.ministack(tmp_path_factory.mktemp("ministack") / "log") as url:
            yield url
    except emulators.EmulatorMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def dynamodb_local_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint of a DynamoDB Local that all tests of the session share."""
    try:
        with emulators.dynamodb_local(tmp_path_factory.mktemp("dynamodb-local") / "log") as url:
            yield url
    except emulators.EmulatorMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def stack(ministack_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`template.yaml`, deployed. When all tests have passed over it, no dead-letter queue holds anything."""
    with deployed(ministack_url, tmp_path_factory.mktemp("stack")) as stack:
        yield stack
        assert stack.dead_letters() == {}
