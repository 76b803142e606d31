"""Tell whether the worker in this container is working: exit code 0 if its event loop turns, 1 if it does not.

A worker looks after its leases and sends its heartbeat every ten seconds, whatever else it does, so its main thread gives up
the processor of its own accord again and again. One that is stuck, in a lock or in a loop, does not. The API is not asked:
that it cannot be reached is no reason to kill workers.
Source: proc_pid_status(5), voluntary_ctxt_switches (read 2026-11-23).
"""

import sys
import time
from pathlib import Path

STATUS = Path("/proc/1/task/1/status")
"""The main thread of the container's first process, which is the worker."""
WATCH_SECONDS = 25.0
LOOK_EVERY_SECONDS = 0.5


def switches(status: Path) -> int:
    """Read how often a thread waited for something so far. Raises: OSError if it is gone."""
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["voluntary_ctxt_switches"])


def is_turning(status: Path, seconds: float) -> bool:
    """Watch a thread until it has waited for something, for so many seconds at most."""
    deadline = time.monotonic() + seconds
    before = switches(status)
    while time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_SECONDS)
        if switches(status) != before:
            return True
    return False


if __name__ == "__main__":
    sys.exit(0 if is_turning(STATUS, WATCH_SECONDS) else 1)
