"""Put a Lambda function's code and all that it imports into a directory: what `sam build` calls, without a container.

The same sources give the same files, whatever machine they are built on; bytecode is there only if this is Python 3.13.
"""

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "functions/requirements.txt"
CORE = ROOT / "core/levante_core"
RUNTIME = (3, 13)
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
LIBRARIES = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
"""Lambda's Python runs on Amazon Linux 2023, whose glibc is 2.34. Source: Lambda runtimes (read 2026-11-23)."""

NOT_NEEDED = ("*.dist-info", "bin", "tests", "*.pyi", "*.c", "*.js", "*.css", "__pycache__")
"""Of the libraries. The scripts and styles are those of a page that the API does not serve."""

LONG_AGO = 315532800
"""1980-01-01, the first time that a zip file knows: the time of all files."""


def main() -> None:
    """Build one artifact."""
    arguments = _arguments()
    into: Path = arguments.into
    into.mkdir(parents=True, exist_ok=True)
    install(into, arguments.architecture)
    _remove_what_is_not_needed(into)
    if sys.version_info[:2] == RUNTIME:
        _compile(into, in_place_of_sources=True)
    else:
        print("no python3.13 here, so nothing is compiled: cold starts take longer", file=sys.stderr)
    for package in (CORE, *arguments.packages):
        shutil.copytree(package, into / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        if sys.version_info[:2] == RUNTIME:
            _compile(into / package.name)
    if arguments.program:
        shutil.copyfile(arguments.program, into / arguments.program.name)
        (into / arguments.program.name).chmod(0o755)
    _say_which_version(into)
    for path in [into, *into.rglob("*")]:
        os.utime(path, (LONG_AGO, LONG_AGO))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+", type=lambda name: ROOT / name, help="the function's own packages")
    parser.add_argument("--program", type=lambda name: ROOT / name, help="what Lambda starts in place of a handler")
    parser.add_argument("--architecture", choices=MACHINES, required=True)
    parser.add_argument("--into", type=Path, required=True, help="an empty directory")
    return parser.parse_args()


def install(into: Path, architecture: str) -> None:
    """Install the pinned wheels of the function's platform, whatever this one is; nothing is compiled."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--requirement", str(REQUIREMENTS), "--require-hashes", "--no-deps", "--only-binary", ":all:"]
    command += ["--implementation", "cp", "--python-version", ".".join(map(str, RUNTIME)), "--no-compile"]
    command += [option for library in LIBRARIES for option in ("--platform", f"{library}_{MACHINES[architecture]}")]
    subprocess.run([*command, "--target", str(into)], check=True)  # noqa: S603 - our own arguments


def _remove_what_is_not_needed(into: Path) -> None:
    for found in [path for pattern in NOT_NEEDED for path in into.rglob(pattern)]:
        if found.is_dir():
            shutil.rmtree(found)
        else:
            found.unlink(missing_ok=True)


def _say_which_version(into: Path) -> None:
    """Let `importlib.metadata` find the version, which the API tells."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    metadata = into / f"levante-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: levante\nVersion: {version}\n")


def _compile(directory: Path, *, in_place_of_sources: bool = False) -> None:
    """Compile, as Lambda cannot keep what it compiles: every cold start would do it again.

    in_place_of_sources: remove those, a quarter of an artifact; error reports then name the lines, but do not quote them.
    """
    compiled = compileall.compile_dir(
        directory,
        quiet=1,
        legacy=in_place_of_sources,
        stripdir=directory if in_place_of_sources else directory.parent,
        prependdir="/var/task",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        sys.exit(f"some of {directory} could not be compiled")
    if in_place_of_sources:
        for source in directory.rglob("*.py"):
            source.unlink()


if __name__ == "__main__":
    main()
