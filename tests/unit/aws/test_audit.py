"""What `make audit` calls clean: an SBOM that lists every pin, and pins that somebody has looked at."""

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.sam import load_template, of_type

ROOT = Path(__file__).parents[3]
LOCK = "# made\nclick==8.5.1 \\\n    --hash=sha256:0\nOdd_Name==1.0 ; sys_platform == 'nowhere' \\\n    --hash=sha256:1\n"


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "infra/build"))
        return importlib.import_module("audit")


def sbom(**versions: str) -> dict[str, object]:
    return {"components": [{"name": name, "version": version} for name, version in versions.items()]}


def report(*dependencies: dict[str, object]) -> str:
    return json.dumps({"dependencies": list(dependencies), "fixes": []})


def test_pins_when_read_then_those_of_this_platform_and_on_demand_of_all(audit: ModuleType) -> None:
    """An SBOM has what is installed; advisories matter on other platforms, too."""
    assert [str(pin) for pin in audit.pins_of(LOCK)] == ["click==8.5.1"]
    assert [str(pin) for pin in audit.pins_of(LOCK, everywhere=True)] == ["click==8.5.1", "Odd_Name==1.0"]


def test_sbom_when_it_lists_the_pins_then_nothing_differs(audit: ModuleType) -> None:
    """Names are compared as the index compares them."""
    lock = "Odd_Name==1.0 \\\n    --hash=sha256:1\n"
    assert audit.differences({"components": [{"name": "odd.name", "version": "1.0"}]}, lock) == []


@pytest.mark.parametrize(
    ("listed", "problems"),
    [
        ({}, ["click==8.5.1 is pinned and not listed"]),
        ({"click": "8.5.0"}, ["click==8.5.1 is pinned and not listed", "click==8.5.0 is listed and not pinned"]),
        ({"click": "8.5.1", "more": "1"}, ["more==1 is listed and not pinned"]),
    ],
)
def test_sbom_when_it_differs_from_the_pins_then_each_difference_is_said(
    audit: ModuleType, listed: dict[str, str], problems: list[str]
) -> None:
    """An SBOM that leaves something out is worse than none."""
    assert audit.differences(sbom(**listed), LOCK) == problems


def test_report_when_pins_have_advisories_then_these_are_the_verdict(audit: ModuleType) -> None:
    """The exit code says that something was found, whatever else could not be checked."""
    said = report({"name": "click", "version": "1", "vulns": [{"id": "PYSEC-1"}]}, {"name": "b", "skip_reason": "?"})
    audited = audit.read_audit(["click==1", "b==2"], said, "")
    assert audited.known == {"click==1": ["PYSEC-1"]}
    assert audited.unchecked.keys() == {"b==2"}
    assert audit.verdict(["click==1: PYSEC-1"], audited, is_offline=True) == audit.FOUND


@pytest.mark.parametrize(
    "said",
    [report(), report({"name": "click", "skip_reason": "Dependency not found on PyPI"}), "", "Traceback", "[]"],
    ids=["not named", "skipped", "nothing", "no JSON", "another form"],
)
def test_report_when_a_pin_was_not_checked_then_it_is_not_clean(audit: ModuleType, said: str) -> None:
    """pip-audit calls it no known vulnerability when its service knows no package, or cannot be reached."""
    audited = audit.read_audit(["click==1"], said, "ConnectionError: nobody there")
    assert audited.known == {}
    assert audited.unchecked.keys() == {"click==1"}
    assert audit.verdict([], audited, is_offline=False) == audit.UNCHECKED
    assert audit.verdict([], audited, is_offline=True) == 0


def test_report_when_all_was_checked_then_it_is_clean(audit: ModuleType) -> None:
    """The only way to be so without --offline."""
    audited = audit.read_audit(["click==1"], report({"name": "click", "version": "1", "vulns": []}), "")
    assert audit.verdict([], audited, is_offline=False) == 0


def test_sboms_when_made_then_there_is_one_for_each_function(audit: ModuleType) -> None:
    """A function that is added is described."""
    assert set(audit.FUNCTIONS) == of_type(load_template(), "AWS::Serverless::Function").keys()


def test_locks_when_the_repository_is_read_then_every_file_of_pins_is_audited(audit: ModuleType) -> None:
    """A file of pins that `lock.py` does not know is one that nobody keeps up to date."""
    places = ("functions", "infra", "worker_runtime")
    tracked = [path.relative_to(ROOT) for place in places for path in (ROOT / place).rglob("*requirements*.txt")]
    assert sorted(map(str, tracked)) == sorted(lock.path for lock in audit.locks())


def test_image_when_built_then_pip_installs_only_what_has_a_hash_or_is_here() -> None:
    """A package that is replaced in the registry does not get into the worker's image."""
    text = (ROOT / "worker_runtime/Dockerfile").read_text().replace("\\\n", " ")
    commands = re.findall(r"\bpip (?:--python \S+ )?(?:install|wheel|download)\b[^&\n]*", text)
    assert len(commands) == len(re.findall(r"(?<!-)\bpip (?!stays)", text))
    assert [one for one in commands if not re.search(r"--require-hashes|--no-index", one)] == []
    assert set(re.findall(r"--requirement (\S+)", text)) == {
        "worker_runtime/requirements.txt",
        "worker_runtime/build-requirements.txt",
    }
