"""The line that says how far long work has come."""

import io
import sys

import pytest

from levante.cli.output.progress import progress_line


class Stderr(io.StringIO):
    """A stderr that is a terminal, or is not."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_when_stderr_is_a_terminal_then_one_line_is_kept_up_to_date_and_taken_away(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool
) -> None:
    """Logs and pipes hear nothing of it; what is printed next begins on a clean line."""
    stderr = Stderr(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stderr", stderr)

    def work() -> None:
        with progress_line() as say:
            say("1 row")
            say("2 rows")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    wipe = "\r\x1b[K"
    assert stderr.getvalue() == (f"{wipe}1 row{wipe}2 rows{wipe}" if is_terminal else "")
