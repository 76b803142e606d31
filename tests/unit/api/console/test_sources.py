"""The console's own sources: small components, and nothing that its policy would forbid."""

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[4] / "console" / "src"
COMPONENTS = sorted(SOURCES.rglob("*.tsx"))
MOST_LINES = 200


def test_components_when_counted_then_there_are_some() -> None:
    """The tests below have something to look at."""
    assert len(COMPONENTS) > 20


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.name)
def test_component_when_counted_then_it_has_no_more_lines_than_one_reads_at_a_time(path: Path) -> None:
    """Someone who knows React finds their way in minutes."""
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    "path", [path for path in SOURCES.rglob("*.ts*") if path.name != "schema.d.ts"], ids=lambda path: path.name
)
def test_source_when_it_reads_or_shows_then_by_what_keeps_numbers_and_pages_whole(path: Path) -> None:
    """Payloads go through `parseJson`, which keeps integers of 64 bits; nothing is shown as HTML, or kept for longer."""
    text = path.read_text()
    assert not re.search(r"JSON\.parse|dangerouslySetInnerHTML|innerHTML|eval\(|document\.cookie", text)
    assert "localStorage" not in text or path.name == "theme.ts"
