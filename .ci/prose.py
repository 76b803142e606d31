"""Lint prose: pages and public docstrings, by proselint and by the phrases of prose.toml, on text without code."""  # noqa: INP001 - a script

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import griffe
from proselint.checks import __register__
from proselint.config import Config
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

ROOT = Path(__file__).parents[1]
STYLE = ROOT / ".ci" / "prose.toml"
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md", "infra/README.md")
LEFT_OUT = ("decisions/", "map.md", "state-machines.md", "reference/http.md")
"""Below docs/: what was decided is told in the words of its day, and generated pages have their words from elsewhere."""
MODULES = (
    "levante", "levante.activity", "levante.client", "levante.conversational", "levante.errors", "levante.testing",
    "levante.workflow",
)  # fmt: skip
PACKAGES = ("levante", "levante_core")
"""What the modules above are of, or have their names from."""
SEARCHED = ("worker_runtime", "core")
CODE = re.compile(r"^ *```.*?^ *```|^ {4,}\S.*?$|<!--.*?-->|\]\([^)]*\)|`[^`\n]*(?:\n[^`\n]*)?`", re.DOTALL | re.MULTILINE)
REPEATED = re.compile(r"\b([a-z]{2,})\s+\1\b")


class Text(NamedTuple):
    """Prose, and where it is from."""

    place: str
    prose: str


class Problem(NamedTuple):
    """What is wrong with a text, and at which of its lines."""

    line: int
    message: str


def problems_with(prose: str, style: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with a text. Code in it is passed over, with its lines kept."""
    text = CODE.sub(_blank, prose)
    yield from phrases_in(text, {**style["phrases"], **style["everywhere"]})
    yield from (Problem(_line(text, found), f"{found[1]!r} stands there twice") for found in REPEATED.finditer(text))
    for found in LintFile("text", text).lint(Config(max_errors=1000, checks=style["proselint"])):
        result = found.check_result
        said = text[max(result.span[0] - 2, 0) : result.span[1]].strip()
        if not any(allowed in said.lower() for allowed in style["allowed"]):
            yield Problem(found.pos[0], result.message)


def phrases_in(text: str, phrases: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the phrases that a text has, with what to write instead."""
    for phrase, instead in phrases.items():
        pattern = rf"(?<!\w)(?:{phrase})(?!\w)".replace(" ", r"\s+")
        for found in re.finditer(pattern, text, re.IGNORECASE):
            yield Problem(_line(text, found), f"{' '.join(found[0].split())!r}: {instead}")


def pages() -> Iterator[Text]:
    """Yield the pages that people write."""
    docs = ROOT / "docs"
    found = [page for page in sorted(docs.rglob("*.md")) if not str(page.relative_to(docs)).startswith(LEFT_OUT)]
    for page in [*(ROOT / name for name in PAGES), *found]:
        yield Text(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))


def docstrings() -> Iterator[Text]:
    """Yield the docstrings of what users import, and of its public members."""
    loader = griffe.GriffeLoader(search_paths=[ROOT / place for place in SEARCHED], allow_inspection=False)
    for package in PACKAGES:
        loader.load(package)
    seen = set()
    for name in MODULES:
        module = loader.modules_collection[name]
        for target in filter(None, (_target(module.members[str(name)]) for name in module.exports or _public(module))):
            if target.path in seen:
                continue
            seen.add(target.path)
            own = (
                [_target(one) for one in target.members.values() if not one.name.startswith("_")] if target.is_class else []
            )
            for documented in [target, *own]:
                if documented and documented.docstring:
                    yield Text(f"{documented.path} (a docstring)", documented.docstring.value)


def sources() -> Iterator[Text]:
    """Yield the source files."""
    for place in ("core", "functions", "worker_runtime", "examples", "tests"):
        for file in sorted((ROOT / place).rglob("*.py")):
            yield Text(str(file.relative_to(ROOT)), file.read_text(encoding="utf-8"))


def main() -> int:
    """Print what is wrong with all texts. Returns how much that is."""
    CheckRegistry().register_many(__register__)
    style = tomllib.loads(STYLE.read_text(encoding="utf-8"))
    found = [(text.place, problem) for text in [*pages(), *docstrings()] for problem in problems_with(text.prose, style)]
    found += [(text.place, problem) for text in sources() for problem in phrases_in(text.prose, style["everywhere"])]
    for place, problem in found:
        sys.stderr.write(f"{place}:{problem.line}: {problem.message}\n")
    return len(found)


def _public(module: griffe.Module) -> list[str]:
    return [name for name in module.members if not name.startswith("_")]


def _target(member: griffe.Object | griffe.Alias) -> griffe.Object | None:
    """Follow an import; None for what is not ours."""
    try:
        target = member.final_target if isinstance(member, griffe.Alias) else member
    except (griffe.AliasResolutionError, griffe.CyclicAliasError):
        return None
    return target if target.path.startswith("levante") and not target.is_module else None


def _blank(found: re.Match[str]) -> str:
    """Return as many lines without a word."""
    return "¤" + "\n" * found[0].count("\n")


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1


if __name__ == "__main__":
    sys.exit(min(main(), 1))
