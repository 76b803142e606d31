"""The docs say what the code says: generated pages are fresh, links and named files exist, tables match."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from levante.errors import ErrorCode
from levante_core.domain.history.events import ActivityScheduled
from levante_core.domain.history.state import RunState
from levante_core.domain.history.transitions import ActivityState
from levante_core.errors import HTTP_ANSWERS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(r"`((?:core|functions|worker_runtime|tests|docs|examples|infra)/[\w./-]*|[\w-]+\.toml)(?:::(\w+))?`")


def relative(page: Path) -> str:
    """Name a page in a test's id."""
    return str(page.relative_to(ROOT))


def without_code(page: Path) -> str:
    """Return a page's text without its fenced blocks, whose brackets are no links."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def script(name: str) -> ModuleType:
    """Load a script that writes a page."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_examples_when_they_are_commands_then_the_page_has_them_all() -> None:
    """Nobody looks for an example that no page names."""
    commands = {path.name for path in (ROOT / "examples").glob("*.py") if 'if __name__ == "__main__"' in path.read_text()}
    listed = set(re.findall(r"`python examples/(\w+\.py)`", (DOCS / "examples.md").read_text(encoding="utf-8")))
    assert listed == commands - {"demo.py", "demo_aws.py"}


def test_site_when_its_pages_are_listed_then_every_page_has_a_place() -> None:
    """`make docs` wants that, too; this tells it sooner, and without the site's own tools."""
    listed = re.findall(r"([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - set(listed) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("make_state_diagrams", "state-machines.md"),
        ("make_cli_reference", "reference/cli.md"),
        ("make_http_reference", "reference/http.md"),
    ],
)
def test_generated_pages_when_made_again_then_the_committed_ones_are_the_same(name: str, page: str) -> None:
    """Diagrams and references that cannot lie: they are made from the tables and definitions that the code uses."""
    assert (DOCS / page).read_text(encoding="utf-8") == script(name).page(), f"stale: run `python docs/{name}.py`"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_commands_when_a_page_names_them_then_they_exist(page: Path) -> None:
    """Whoever copies a command can run it."""
    reference = (DOCS / "reference/cli.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"^#+ levante ([a-z -]+)$", reference, re.MULTILINE))
    nouns = {command.split()[0] for command in commands if " " in command}
    named = re.findall(
        r"(?:^\$ |`)levante ([a-z]+)(?: ([a-z]+(?:-[a-z]+)*))?", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {f"{noun} {verb}" if verb and noun in nouns else noun for noun, verb in named} - commands == set()


@pytest.mark.parametrize(("owner", "state"), [("w", ActivityState.OWNED), (None, ActivityState.QUEUED)])
def test_activity_when_scheduled_then_it_begins_where_the_diagram_says(owner: str | None, state: ActivityState) -> None:
    """The tables do not hold the first states, so the diagram's are checked against the fold."""
    run = RunState()
    run.apply(ActivityScheduled(seq=1, name="a", input={}, owner=owner), 1, {})
    assert run.activities[1].state is state
    assert f"[*] --> {state.value}: activity_scheduled" in (DOCS / "state-machines.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_relative_links_when_followed_then_they_lead_somewhere(page: Path) -> None:
    """No link of the docs is dead, sections included."""
    dead = []
    for target in LINK.findall(without_code(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_files_named_in_backticks_then_they_exist_with_what_is_named_in_them(page: Path) -> None:
    """The docs follow the code by name: `path/file.py` is there, and `path/file.py::name` is defined in it."""
    missing = []
    for path, name in NAMED_FILE.findall(without_code(page)):
        named = ROOT / path
        defined = rf"^\s*((async )?def|class) {name}\b|^{name}\b.*="
        if not named.exists() or (name and not re.search(defined, named.read_text(encoding="utf-8"), re.MULTILINE)):
            missing.append(f"{path}::{name}" if name else path)
    assert missing == []


def test_architecture_when_read_then_it_names_files() -> None:
    """The check above finds the names that it is there for."""
    assert len(NAMED_FILE.findall(without_code(DOCS / "architecture.md"))) > 40


def test_errors_when_listed_then_classes_statuses_codes_and_repeats_are_those_of_the_code() -> None:
    """The reference of errors is complete and right."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\d{3}) \| `(\w+)` \| (yes|no) \|", (DOCS / "reference/errors.md").read_text(), re.MULTILINE
    )
    listed = {name: (int(status), code, repeat == "yes") for name, status, code, repeat in rows}
    assert listed == {
        error.__name__: (answer.status, answer.code, answer.retryable) for error, answer in HTTP_ANSWERS.items()
    }


def test_codes_of_the_api_when_listed_then_none_is_missing() -> None:
    """What the API answers by itself is in the reference, too."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "functions/api/levante_api").glob("*.py"))
    codes = set(re.findall(r'because\(\s*\d{3}, "([A-Z_]+)"|"code": "([A-Z_]+)"', source))
    text = (DOCS / "reference/errors.md").read_text(encoding="utf-8")
    assert {first or second for first, second in codes} - set(re.findall(r"`([A-Z][A-Z_0-9]+)`", text)) == set()


def test_codes_of_the_sdk_when_listed_then_each_is_there_and_the_row_of_unused_ones_is_right() -> None:
    """Who meets a code finds it; who looks for one that is never given is told so."""
    text = (DOCS / "reference/errors.md").read_text(encoding="utf-8")
    section = text.partition("### Codes of `WorkflowsException`")[2].partition("###")[0]
    rows = [set(re.findall(r"`([a-z_]+)`", row.split(" | ")[0])) for row in section.splitlines() if row.startswith("| `")]
    *given, never = rows
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "worker_runtime").rglob("*.py"))
    used = {ErrorCode[name].value for name in re.findall(r"ErrorCode\.([A-Z_]+)\b", source)}
    assert set().union(*given) == used
    assert never == {code.value for code in ErrorCode} - used


def test_types_of_failures_when_listed_then_none_is_missing() -> None:
    """Those that no exception stands for."""
    listed = (DOCS / "reference/errors.md").read_text(encoding="utf-8").partition("### Types of failures")[2]
    sources = [
        path.read_text(encoding="utf-8") for name in ("core", "worker_runtime") for path in (ROOT / name).rglob("*.py")
    ]
    types = set(re.findall(r'type="([A-Z][A-Za-z]+)"', "\n".join(sources)))
    assert types - set(re.findall(r"`([A-Z]\w+)`", listed)) == set()


def test_decisions_when_numbered_then_without_gaps_and_in_one_form() -> None:
    """One page each: context, choice, consequence."""
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(page.name[:4])}. "), page.name
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Context", "Choice", "Consequence"], page.name
