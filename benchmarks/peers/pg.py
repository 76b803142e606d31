"""A throw-away PostgreSQL in the run folder, stock settings (fsync=on, synchronous_commit=on)."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import harness
import psutil


def binaries() -> Path:
    """Return the newest installed PostgreSQL's folder of programs. Raises: FileNotFoundError."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        raise FileNotFoundError("PostgreSQL is not installed")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


class Postgres:
    """One server; it never runs as root, because PostgreSQL refuses to."""

    def __init__(self, place: Path) -> None:
        self.data = place / "pg"
        self.log = place / "pg.log"
        self.port = harness.free_port()
        self.programs = binaries()
        self.as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def start(self) -> None:
        """Make a cluster, start it and return when it takes connections."""
        self.data.mkdir()
        if self.as_user:
            shutil.chown(self.data, "postgres")
        initdb = [f"{self.programs}/initdb", "-D", str(self.data), "-A", "trust", "-U", "postgres"]
        subprocess.run([*self.as_user, *initdb], check=True, stdout=subprocess.DEVNULL)
        server = [
            f"{self.programs}/postgres",
            "-D",
            str(self.data),
            "-p",
            str(self.port),
            "-h",
            "127.0.0.1",
            "-k",
            str(self.data),
        ]
        self.process = harness.spawn([*self.as_user, *server], self.log)
        harness.wait_port(self.port, self.process)
        ready = [f"{self.programs}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode:
            time.sleep(0.02)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def durability(self) -> str:
        version = subprocess.run([f"{self.programs}/postgres", "--version"], capture_output=True, text=True, check=True)
        return version.stdout.strip() + ", fsync=on, synchronous_commit=on"

    def disk_mb(self) -> float:
        du = subprocess.run(["du", "-sm", str(self.data)], capture_output=True, text=True, check=True)
        return float(du.stdout.split()[0])

    def stop(self) -> None:
        """Stop it fast (SIGINT to the real server, which `runuser` may wrap)."""
        if not hasattr(self, "process"):
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(self.process.pid)
            for server in started.children() if self.as_user else [started]:
                server.send_signal(signal.SIGINT)
        try:
            self.process.wait(8)
        except subprocess.TimeoutExpired:
            harness.stop_tree(self.process, hard=True)
