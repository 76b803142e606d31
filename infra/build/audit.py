"""Say what is installed and what is known against it: `make audit`.

Writes an SBOM (CycloneDX, JSON) of the wheel and of each function's artifact to build/sbom, then asks an advisory service
about every pin of the files that `lock.py` writes.

Exits with 1 if something is known against a pin, or an SBOM is not what the pins say; with 2 if pins could not be checked,
as no answer is no good news. --offline: the latter is said, and is no failure. Other options go to pip-audit, such as
--ignore-vuln, or --vulnerability-service osv.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import package
from lock import ROOT, locks
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SBOMS = ROOT / "build/sbom"
FUNCTIONS = ("ApiFunction", "EventsFunction", "StreamFunction", "TimersFunction", "SweepFunction")
OF_FUNCTIONS, OF_WHEEL, _ = (ROOT / lock.path for lock in locks())
OFFLINE = "--offline"
FOUND, UNCHECKED = 1, 2


@dataclass(frozen=True)
class Audited:
    """What pip-audit said. known: by pin, the ids of its advisories. unchecked: by pin, why nobody knows."""

    known: Mapping[str, Sequence[str]]
    unchecked: Mapping[str, str]

    def with_more(self, other: "Audited") -> "Audited":
        """Return what both said."""
        return Audited({**self.known, **other.known}, {**self.unchecked, **other.unchecked})


def main(arguments: Sequence[str]) -> int:
    """Write the SBOMs, then audit the pins."""
    problems = list(write_sboms())
    options = [one for one in arguments if one != OFFLINE]
    audited = Audited({}, {})
    for lock in locks():
        audited = audited.with_more(audit(pins_of((ROOT / lock.path).read_text(), everywhere=True), options))
    problems += [f"{pin}: {', '.join(ids)}" for pin, ids in audited.known.items()]
    for problem in problems:
        print(problem, file=sys.stderr)
    for why in sorted(set(audited.unchecked.values())):
        pins = sorted(pin for pin, reason in audited.unchecked.items() if reason == why)
        print(f"NOT CHECKED, so nothing is known of them: {', '.join(pins)}\n  {why}", file=sys.stderr)
    if not problems and not audited.unchecked:
        print("every pin was checked, and nothing is known against one")
    return verdict(problems, audited, is_offline=OFFLINE in arguments)


def verdict(problems: Sequence[str], audited: Audited, *, is_offline: bool) -> int:
    """Return the exit code: what was found counts more than what was not looked at."""
    if problems:
        return FOUND
    return UNCHECKED if audited.unchecked and not is_offline else 0


# --- pins -------------------------------------------------------------------------------------------------------------


def pins_of(lock: str, *, everywhere: bool = False) -> list[Requirement]:
    """Return the pins of a lock file that this interpreter installs. everywhere: those of other platforms, too."""
    lines = [line.partition(" \\")[0] for line in lock.splitlines() if line and line[0] not in "# "]
    pins = list(map(Requirement, lines))
    if everywhere:
        return [Requirement(f"{pin.name}{pin.specifier}") for pin in pins]
    return [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]


def audit(pinned: Iterable[Requirement], options: Sequence[str]) -> Audited:
    """Ask the advisory service about pins, each by itself: what they need is pinned as well."""
    pins = list(map(str, pinned))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write("\n".join(pins))
        listed.flush()
        command = [sys.executable, "-m", "pip_audit", "--requirement", listed.name, "--disable-pip", "--no-deps"]
        command += ["--format", "json", "--progress-spinner", "off", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    return read_audit(pins, done.stdout, done.stderr)


def read_audit(pins: Sequence[str], report: str, errors: str) -> Audited:
    """Read a report. A pin that it does not name, or was skipped, was not checked: pip-audit takes that for no findings."""
    try:
        listed = json.loads(report)["dependencies"]
    except (ValueError, LookupError, TypeError):
        said = (errors.strip().splitlines() or ["no reason was given"])[-1]
        return Audited({}, dict.fromkeys(pins, f"pip-audit failed: {said[:300]}"))
    reports = {canonicalize_name(one["name"]): one for one in listed}
    known, unchecked = {}, {}
    for pin in pins:
        one = reports.get(canonicalize_name(Requirement(pin).name), {"skip_reason": ""})
        if "skip_reason" in one:
            unchecked[pin] = "the advisory service does not know it"
        elif one["vulns"]:
            known[pin] = [vulnerability["id"] for vulnerability in one["vulns"]]
    return Audited(known, unchecked)


# --- SBOMs ------------------------------------------------------------------------------------------------------------


def write_sboms() -> Iterable[str]:
    """Write the SBOMs anew. Yields what is wrong with them."""
    shutil.rmtree(SBOMS, ignore_errors=True)
    SBOMS.mkdir(parents=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    group = project["dependency-groups"]["functions"]
    with tempfile.TemporaryDirectory() as place:
        installed = Path(place, "functions")
        package.install(installed, "arm64")
        described = Path(place, "pyproject.toml")
        for function in FUNCTIONS:
            root = {"name": f"levante-{function}", "version": project["project"]["version"], "dependencies": group}
            described.write_text("[project]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in root.items()))
            yield from _write_sbom(f"{function}.json", installed, described, OF_FUNCTIONS)
        wheel = Path(place, "wheel")
        _install_here(wheel, OF_WHEEL)
        yield from _write_sbom("wheel.json", wheel, ROOT / "pyproject.toml", OF_WHEEL)


def _write_sbom(name: str, installed: Path, described: Path, lock: Path) -> Iterable[str]:
    """Describe what is installed in a directory, which an environment with nothing in it sees by a `.pth` file."""
    with tempfile.TemporaryDirectory() as environment:
        venv.create(environment, with_pip=False)
        (site,) = Path(environment).glob("lib/python*/site-packages")
        (site / "installed.pth").write_text(str(installed))
        command = [str(Path(sys.executable).with_name("cyclonedx-py")), "environment", f"{environment}/bin/python"]
        command += ["--pyproject", str(described), "--output-reproducible", "--output-file", str(SBOMS / name)]
        subprocess.run(command, check=True)  # noqa: S603 - our own arguments
    print(f"wrote {(SBOMS / name).relative_to(ROOT)}")
    return [f"{name}: {problem}" for problem in differences(json.loads((SBOMS / name).read_text()), lock.read_text())]


def _install_here(into: Path, lock: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--requirement", str(lock), "--target", str(into)]
    subprocess.run(command, check=True)  # noqa: S603 - our own arguments


def differences(sbom: Mapping[str, Any], lock: str) -> list[str]:
    """Say what an SBOM has that the pins do not, and the other way round."""
    listed = {f"{canonicalize_name(one['name'])}=={one['version']}" for one in sbom["components"]}
    pinned = {f"{canonicalize_name(pin.name)}{pin.specifier}" for pin in pins_of(lock)}
    return [
        *(f"{one} is pinned and not listed" for one in sorted(pinned - listed)),
        *(f"{one} is listed and not pinned" for one in sorted(listed - pinned)),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
