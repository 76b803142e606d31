"""What the hook and CI refuse in commit messages."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "commit_messages.py"
spec = importlib.util.spec_from_file_location("commit_messages", SCRIPT)
assert spec
assert spec.loader
commit_messages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(commit_messages)

WHY = "\n\nOne odd item stopped the feed.\n"


@pytest.mark.parametrize(
    "message",
    [
        f"Refuse batches beyond the next index{WHY}",
        f"Process each change by itself{WHY}",
        f"Park what cannot be read{WHY}# a comment of git's\n",
        "Merge branch 'main'",
    ],
)
def test_message_when_it_says_what_and_why_then_it_is_taken(message: str) -> None:
    """An order, and a body."""
    assert list(commit_messages.problems_with(message)) == []


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (f"{'Refuse ' * 11}{WHY}", "too many"),
        (f"Fixed the feed{WHY}", "is an order"),
        (f"Fixes the feed{WHY}", "is an order"),
        (f"Adding a feed{WHY}", "is an order"),
        (f"refuse batches{WHY}", "capital letter"),
        (f"Refuse batches.{WHY}", "full stop"),
        ("Refuse batches\nbeyond the next index", "empty line"),
        ("Refuse batches", "says why"),
        ("", "capital letter"),
    ],
)
def test_message_when_something_is_missing_then_that_is_said(message: str, said: str) -> None:
    """One sentence for each problem."""
    assert said in "\n".join(commit_messages.problems_with(message))


def test_commits_since_the_check_came_when_read_then_all_of_them_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What CI runs."""
    monkeypatch.chdir(SCRIPT.parents[1])
    assert commit_messages.main([]) == 0
