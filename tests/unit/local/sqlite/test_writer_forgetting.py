"""What the writer forgets of the change feed, and what it moves out of the feed's way."""

import logging

import pytest

from levante_core.errors import Unavailable
from levante_local.sqlite import writer
from tests.unit.local.sqlite.writing import Opened, write


@pytest.fixture
def _by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FORGET_AT_ONCE", 2)


@pytest.mark.usefixtures("_by_two")
def test_changes_when_enough_are_acknowledged_then_the_next_commit_forgets_those_and_no_other(opened: Opened) -> None:
    """Each statement writes pages: it is worth while for several, and then begins to count anew."""
    write(opened.writer, "a", "b", "c", "d", "e")
    kept = []
    for acknowledged, sort in enumerate("fghi", start=1):
        opened.writer.acknowledge(acknowledged)
        write(opened.writer, sort)
        kept.append(opened.feed[0])
    assert kept == [1, 3, 3, 5]


def test_changes_when_the_writer_is_closed_then_what_was_acknowledged_is_forgotten_and_no_other(opened: Opened) -> None:
    """The next process reads what was not dealt with."""
    write(opened.writer, "a", "b", "c", "d")
    opened.writer.acknowledge(3)
    opened.writer.acknowledge(1)
    opened.writer.close()
    assert opened.writer.acknowledged == 3
    assert opened.feed == [4]


@pytest.mark.usefixtures("_by_two")
def test_write_when_the_feed_does_not_let_go_of_changes_then_it_is_carried_out(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """Damage in the feed is no reason to refuse anybody's writes; the feed keeps what it was to forget."""
    write(opened.writer, "a", "b")
    opened.writer.acknowledge(2)
    opened.disk.refused = ["DELETE FROM changes"]
    with caplog.at_level(logging.ERROR):
        write(opened.writer, "c", "d", "e")
    assert opened.items == ["a", "b", "c", "d", "e"]
    assert opened.feed == [1, 2, 3, 4, 5]
    assert len(caplog.messages) == 1, "it is not tried at each commit"
    opened.writer.acknowledge(4)
    write(opened.writer, "f")
    assert opened.feed == [5, 6]


def test_set_aside_when_it_returns_then_the_change_is_out_of_the_feed_and_kept_with_the_reason(opened: Opened) -> None:
    """The feed goes on, and somebody may mend the row."""
    write(opened.writer, "a", "b", "c")
    opened.writer.set_aside(2, "no JSON")
    opened.writer.set_aside(3, "no text")
    assert opened.feed == [1]
    assert opened.read("SELECT sequence FROM changes_set_aside ORDER BY sequence") == [2, 3]
    assert opened.read("SELECT error FROM changes_set_aside ORDER BY sequence") == ["no JSON", "no text"]
    write(opened.writer, "d")
    assert opened.feed == [1, 4]


@pytest.mark.parametrize("statement", ["INSERT INTO changes_set_aside", "DELETE FROM changes", "COMMIT"])
def test_set_aside_when_the_disk_fails_then_it_says_so_and_the_change_stays_in_the_feed(
    opened: Opened, statement: str
) -> None:
    """Nobody may take a change for kept that is not, and the writer goes on."""
    write(opened.writer, "a")
    opened.disk.refused = [statement]
    with pytest.raises(Unavailable, match="change 1 can neither be read nor be set aside: disk"):
        opened.writer.set_aside(1, "no JSON")
    write(opened.writer, "b")
    assert opened.feed == [1, 2]
    opened.writer.set_aside(1, "no JSON")
    assert opened.feed == [2]


def test_set_aside_when_the_writer_is_closed_then_it_says_so(opened: Opened) -> None:
    """A read that comes too late is told what any other call is."""
    write(opened.writer, "a")
    opened.writer.close()
    with pytest.raises(Unavailable):
        opened.writer.set_aside(1, "no JSON")
    assert opened.feed == [1]
