"""What `make lint` finds in pages and docstrings."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "prose.py"
spec = importlib.util.spec_from_file_location("prose", SCRIPT)
assert spec
assert spec.loader
prose = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prose)
prose.CheckRegistry().register_many(prose.__register__)

STYLE = tomllib.loads(prose.STYLE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("A worker\nis told\nof it.", 2, "say who does it"),
        ("The vendor refuses it.", 1, "Mistral"),
        ("It sends\nthe the task.", 2, "'the' stands there twice"),
        ("It is\nmore or less\nvery unique.", 3, "not comparable"),
        ("| it fails | at this point in time |", 1, "Redundancy"),
        ("A colour.\n\nA color.", 1, "Inconsistent spelling"),
    ],
)
def test_prose_when_a_rule_is_broken_then_line_and_reason_are_found(text: str, line: int, said: str) -> None:
    """Ours and those of proselint."""
    found = [problem for problem in prose.problems_with(text, STYLE) if said in problem.message.replace("\n", " ")]
    assert {problem.line for problem in found} == {line}


@pytest.mark.parametrize(
    "text",
    [
        "A timer may wait for ever, and then the worker runs the code.",
        "```console\n$ the the vendor\n```",
        "It returns `the vendor`, and `the\nvendor`.",
        "<!-- the vendor -->\n[a page](the-vendor.md)",
        "    async with the vendor:\n        color, colour",
    ],
)
def test_prose_when_it_is_plain_or_code_then_nothing_is_found(text: str) -> None:
    """Code has the words that it has."""
    assert list(prose.problems_with(text, STYLE)) == []


def test_texts_when_collected_then_pages_and_public_docstrings_are_there_and_generated_pages_are_not() -> None:
    """A linter that reads nothing finds nothing."""
    pages = {text.place for text in prose.pages()}
    assert {"README.md", "docs/concepts.md", "docs/guides/workflows.md", "docs/reference/cli.md"} <= pages
    assert not pages & {"docs/map.md", "docs/reference/http.md", "docs/decisions/0003-handlers-as-greenlets.md"}
    documented = {text.place.partition(" ")[0] for text in prose.docstrings()}
    assert {"levante.worker.run_worker", "levante.client.sync_client.Client.execute", "levante.tasks.Task"} <= documented
