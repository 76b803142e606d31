"""Pin what is installed where nobody looks: `python infra/build/lock.py [--upgrade]`, with uv on the PATH.

Which packages, and which versions they may have, stands in pyproject.toml. The pins, with a hash for every platform, go to
the files that `sam build` and the worker's Dockerfile install from.
"""

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
IN_THE_RUNTIME = ("botocore", "python-dateutil", "six", "urllib3")
"""Of the AWS SDK, which the tracer asks for and Lambda's Python has: there it gets its fixes without a deployment."""


@dataclass(frozen=True)
class Lock:
    """One file of pins. wanted: requirements, whose versions pyproject.toml narrows. python: the oldest that installs it."""

    path: str
    wanted: Sequence[str]
    python: str
    left_out: Sequence[str] = ()


def locks() -> list[Lock]:
    """List the files: for the functions, for the wheel with all its extras, for what builds that."""
    read = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = read["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    return [
        Lock("functions/requirements.txt", read["dependency-groups"]["functions"], "3.13", IN_THE_RUNTIME),
        Lock("worker_runtime/requirements.txt", [*project["dependencies"], *extras], "3.11"),
        Lock("worker_runtime/build-requirements.txt", read["build-system"]["requires"], "3.13"),
    ]


def main() -> int:
    """Write the pins anew. Those that still fit are kept unless --upgrade is given."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with tempfile.TemporaryDirectory() as place:
        allowed = Path(place, "allowed.txt")
        allowed.write_text("\n".join(project["dependencies"]))
        return max(_write(lock, Path(place, "wanted.in"), allowed) for lock in locks())


def _write(lock: Lock, wanted: Path, allowed: Path) -> int:
    wanted.write_text("\n".join(lock.wanted))
    command = ["uv", "pip", "compile", "--quiet", str(wanted), "--constraints", str(allowed), "--no-annotate"]
    command += ["--python-version", lock.python, "--universal", "--generate-hashes", "--output-file", lock.path]
    command += ["--custom-compile-command", "python infra/build/lock.py"]
    command += [option for name in lock.left_out for option in ("--no-emit-package", name)]
    return subprocess.run([*command, *sys.argv[1:]], cwd=ROOT, check=False).returncode  # noqa: S603 - our own arguments


if __name__ == "__main__":
    sys.exit(main())
