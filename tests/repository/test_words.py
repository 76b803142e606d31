"""The words stay those of the field: names that were given up do not come back, and a new coined one is explained first."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
WORDS = Path(__file__).with_name("words.txt")
PROGRAMS = ("core", "functions", "worker_runtime")
PLACES = (*PROGRAMS, "benchmarks", "docs", "examples", "infra", "tests")
FILES = [
    *(file for place in PLACES for kind in ("*.py", "*.md") for file in sorted((ROOT / place).rglob(kind))),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
]
FOLDERS = sorted({file.parent for file in FILES})
HISTORICAL = (ROOT / "docs" / "decisions", Path(__file__))
"""What was decided is told in the words of its day."""

GIVEN_UP = {
    **dict.fromkeys(("mail", "mails", "mailed", "mailbox"), "message"),
    **dict.fromkeys(("family", "families", "unborn"), "children, relatives"),
    **dict.fromkeys(("telling", "tellings", "teller", "tellers", "tidings", "untold"), "stream projection, update, publish"),
    **dict.fromkeys(("recheck", "rechecks"), "repair"),
    **dict.fromkeys(("promptly",), "dispatch_now"),
    **dict.fromkeys(("unstuck",), "pool.without_session"),
    **dict.fromkeys(("heart", "hearts"), "heartbeat monitor"),
}
"""Words that are nowhere any more, and what to write instead."""
GIVEN_UP_AS_NAMES = {
    "told": "update, event, entry",
    "followed": "cursor",
    "world": "context, surroundings",
    "live_run": "ledger",
    "holder": "driver",
    "holders": "drivers",
    "gate": "authentication",
}
"""Plain English in a sentence, but no name of a thing in a program."""
STORED = {
    *("has_family", "HAS_FAMILY", "RECHECK"),
    *("mail_count", "mail_from", "mail_held_until", "mail_taken", "unread_mail", "MAIL_HELD_UNTIL"),
}
"""Names of what is stored or sent, and of the constants that hold them: they outlive the code."""
NOT_WORDS = re.compile(r"\b\w+(?:MetricFamily|_metric_families)\b|\be-mails?\b|\b0011-recheck\.md|f\"mail:\{number\}")
"""Names of prometheus_client, an e-mail, the name of a page, and the key of a span, which its id is made of."""
NAME = re.compile(r"[A-Za-z_]\w*")
PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|[a-z]+|\d+")
COINED = re.compile(r"(\w+) = (.+)")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_files_when_read_then_they_have_no_word_that_was_given_up(folder: Path) -> None:
    """Whoever searches for the usual name of a thing finds all of it."""
    found = {}
    for file in FILES:
        if file.parent != folder or any(place in (file, *file.parents) for place in HISTORICAL):
            continue
        text = NOT_WORDS.sub("", file.read_text(encoding="utf-8"))
        names = set(NAME.findall(text)) - STORED
        found.update({f"{file}: {name}": GIVEN_UP[part] for name in names for part in _parts(name) & GIVEN_UP.keys()})
    assert found == {}, "write the words on the right"


@pytest.mark.parametrize("place", PROGRAMS)
def test_names_when_compared_with_those_given_up_then_none_of_them_is_a_variable(place: str) -> None:
    """A name is a noun that says what the thing is."""
    found = {
        f"{file.relative_to(ROOT)}:{line}: {name}": GIVEN_UP_AS_NAMES[name.lstrip("_")]
        for file in sorted((ROOT / place).rglob("*.py"))
        for line, name in _names(ast.parse(file.read_text(encoding="utf-8")))
        if name.lstrip("_") in GIVEN_UP_AS_NAMES
    }
    assert found == {}, "write the words on the right"


@pytest.mark.slow
def test_classes_when_their_words_are_listed_then_the_list_is_the_one_beside() -> None:
    """Somebody looks at a new word and adds it: `word` for plain ones, `word = line of the glossary` for coined ones."""
    listed = {entry.partition(" ")[0] for entry in _entries()}
    used = {part: name for name in _classes() for part in _parts(name)}
    assert {part: name for part, name in used.items() if part not in listed} == {}, f"add them to {WORDS.name}"
    assert listed - used.keys() == set(), f"no class has them any more: take them out of {WORDS.name}"


def test_coined_words_when_listed_then_the_glossary_has_them() -> None:
    """Nobody can guess what they mean."""
    coined = [match for entry in _entries() if (match := COINED.fullmatch(entry))]
    assert coined
    section = GLOSSARY.partition("## Words of our own")[2]
    assert [term for _, term in (match.groups() for match in coined) if f"\n| {term} | " not in section] == []


def _entries() -> list[str]:
    entries = WORDS.read_text(encoding="utf-8").splitlines()
    assert entries == sorted(set(entries)), f"{WORDS.name} is sorted, and has each word once"
    return entries


@cache
def _parts(name: str) -> frozenset[str]:
    return frozenset({part.lower() for part in PARTS.findall(name)})


def _names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Name():
                yield node.lineno, node.id
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Attribute():
                yield node.lineno, node.attr
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.lineno, node.name
            case _:
                pass


def _classes() -> Iterator[str]:
    """Yield the names of all classes of the programs that others may import."""
    for place in PROGRAMS:
        for file in (ROOT / place).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield node.name
