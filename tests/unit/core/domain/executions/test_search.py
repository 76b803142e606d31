import pytest

from levante_core.domain.executions.search import is_found


@pytest.mark.parametrize(
    ("search", "is_in"),
    [
        ("nightly", True),
        ("NIGHT", True),
        ("night-rep", True),
        ("report nightly", True),
        ("nightly_report", True),
        ("7f3a-11", True),
        ("émile", True),
        ("nightly invoice", False),
        ("x", False),
        ("  ", True),
        ("--", True),
    ],
)
def test_search_when_compared_with_texts_then_each_of_its_words_has_to_be_there(search: str, *, is_in: bool) -> None:
    """Nobody remembers whether it was `nightly-report` or `Report, nightly`."""
    assert is_found(search, ["Nightly-Report", "7f3a-1122", "of Émile"]) is is_in
