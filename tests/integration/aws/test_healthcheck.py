"""Whether the image's health check can tell a worker that works from one that is stuck."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.processes import wait_until

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells about a thread")

EVENT_LOOP = (
    "import asyncio\nasync def main():\n    print(flush=True)\n    while True: await asyncio.sleep(0.2)\nasyncio.run(main())"
)
SPINNING = "print(flush=True)\nwhile True: pass"
LOCKED = "import threading\nlock = threading.Lock(); lock.acquire()\nprint(flush=True)\nlock.acquire()"


@pytest.fixture(scope="module")
def healthcheck() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthcheck", ROOT / "worker_runtime/healthcheck.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def status_of() -> Iterator[Callable[[str], Path]]:
    """Start a program, wait until it says that it has begun, and return the status of its main thread."""
    with ExitStack() as stack:

        def start(code: str) -> Path:
            process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            stack.callback(process.stdout.close)
            process.stdout.readline()
            return Path(f"/proc/{process.pid}/task/{process.pid}/status")

        yield start


def test_check_when_the_event_loop_turns_then_the_worker_is_healthy(
    healthcheck: ModuleType, status_of: Callable[[str], Path]
) -> None:
    """A worker that waits for work is a good one."""
    assert healthcheck.is_turning(status_of(EVENT_LOOP), 5.0)


@pytest.mark.parametrize("code", [SPINNING, LOCKED], ids=["spinning", "locked"])
def test_check_when_the_main_thread_is_stuck_then_the_worker_is_not_healthy(
    healthcheck: ModuleType, status_of: Callable[[str], Path], code: str
) -> None:
    """A worker whose loop is stuck keeps no lease: its tasks are others' by now, and it should go."""
    status = status_of(code)
    if code is LOCKED:
        wait_until(lambda: "sleeping" in status.read_text(), "it waits for its lock")
    assert not healthcheck.is_turning(status, 1.0)


def test_check_when_the_worker_is_gone_then_it_fails(healthcheck: ModuleType) -> None:
    """Docker takes any other exit code than 0 for no."""
    with pytest.raises(OSError, match="No such file"):
        healthcheck.is_turning(Path("/proc/0/task/0/status"), 1.0)
