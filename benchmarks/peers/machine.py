"""What a benchmark ran on. Standard library only."""

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

SYNC_SAMPLES = 200


def fdatasync_ms(place: Path) -> dict[str, float]:
    """Return median and 99th percentile of writing 4 KiB and waiting for the disk."""
    path = place / "fdatasync.probe"
    took = []
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for _ in range(SYNC_SAMPLES):
            began = time.perf_counter()
            os.write(fd, b"x" * 4096)
            getattr(os, "fdatasync", os.fsync)(fd)
            took.append((time.perf_counter() - began) * 1e3)
    finally:
        os.close(fd)
        path.unlink()
    took.sort()
    return {"p50": round(took[SYNC_SAMPLES // 2], 3), "p99": round(took[int(SYNC_SAMPLES * 0.99)], 3)}


def processor() -> str:
    """Return the processor's name, or its architecture where that cannot be told."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit(checkout: Path) -> str:
    """Return the checkout's commit, marked when there are changes on top; `unknown` outside git."""
    completed = subprocess.run(
        ["git", "-C", str(checkout), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return completed.stdout.strip() or "unknown"


def described(place: Path, checkout: Path) -> dict[str, Any]:
    """Return the machine, the disk under `place` and the versions that do not belong to one peer."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(memory / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "fdatasync_4k_ms": fdatasync_ms(place),
        "levante_commit": commit(checkout),
    }
