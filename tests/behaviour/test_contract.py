"""The table of the contract names what there is, and leaves no behaviour out."""

import re
from pathlib import Path

import pytest

from tests.behaviour.behaviours import BEHAVIOURS
from tests.behaviour.contract import CONTRACT
from tests.repository.test_docs import anchors

ROOT = Path(__file__).parents[2]
LINES = [(f"{section}: {line}", evidence) for section, lines in CONTRACT.items() for line, evidence in lines.items()]


@pytest.mark.parametrize(("line", "evidence"), LINES, ids=[line for line, _ in LINES])
def test_line_of_the_contract_when_it_names_what_shows_it_then_that_exists(line: str, evidence: str) -> None:
    """A behaviour, a test, or a heading of a page that says why it is otherwise here."""
    if evidence in BEHAVIOURS:
        return
    path, test, name = evidence.partition("::")
    page, anchored, anchor = path.partition("#")
    text = (ROOT / page).read_text(encoding="utf-8")
    assert test or anchored, f"{line}: {evidence!r} is no behaviour"
    if test:
        assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), f"{line}: there is no {evidence}"
    if anchored:
        assert anchor in anchors(ROOT / page), f"{line}: there is no {evidence}"


def test_behaviours_when_compared_with_the_contract_then_each_shows_a_line() -> None:
    """What shows no line of the contract says nothing that anybody was promised."""
    assert {evidence for _, evidence in LINES} >= set(BEHAVIOURS)
