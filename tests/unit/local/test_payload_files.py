import errno
from pathlib import Path

import pytest

from levante_core.errors import InconsistentHistory, Unavailable
from levante_local.payload_files import PayloadFiles

PLACE = "0123456789abcdef" * 2


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "payloads"


@pytest.mark.parametrize("damage", [b"", b"conten", b"Content", b"content and more"])
def test_get_when_the_file_was_damaged_raises_inconsistent_history(directory: Path, damage: bytes) -> None:
    """Content is checked against its name each time: what does not fit is never handed out."""
    payloads = PayloadFiles(directory)
    reference = payloads.put(PLACE, b"content")
    (directory / PLACE / reference).write_bytes(damage)
    with pytest.raises(InconsistentHistory, match="damaged"):
        payloads.get(PLACE, reference)


def test_put_when_the_file_was_damaged_mends_it(directory: Path) -> None:
    """A repeat writes the file anew."""
    payloads = PayloadFiles(directory)
    reference = payloads.put(PLACE, b"content")
    (directory / PLACE / reference).write_bytes(b"")
    assert payloads.put(PLACE, b"content") == reference
    assert payloads.get(PLACE, reference) == b"content"


def test_put_leaves_the_content_and_nothing_else(directory: Path) -> None:
    """No temporary file outlives its write, and another process finds the content."""
    reference = PayloadFiles(directory).put(PLACE, b"content")
    PayloadFiles(directory).put(PLACE, b"content")
    assert [entry.name for entry in (directory / PLACE).iterdir()] == [reference]
    assert PayloadFiles(directory).get(PLACE, reference) == b"content"


def test_put_and_get_when_the_disk_refuses_are_unavailable(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trouble with the disk may pass: it is no broken history. Nothing half written is left."""
    payloads = PayloadFiles(directory)
    reference = payloads.put(PLACE, b"content")
    (directory / PLACE / reference).unlink()
    (directory / PLACE / reference).mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", _refuse)
        with pytest.raises(Unavailable, match=reference):
            payloads.get(PLACE, reference)
    with pytest.raises(Unavailable, match=reference):
        payloads.put(PLACE, b"content")
    assert [entry.name for entry in (directory / PLACE).iterdir()] == [reference]


def test_get_when_a_directory_is_in_the_place_of_the_file_then_the_payload_is_missing(directory: Path) -> None:
    """That does not pass by itself: whoever needs the payload hears that it is gone, and does not try for ever."""
    payloads = PayloadFiles(directory)
    reference = payloads.put(PLACE, b"content")
    (directory / PLACE / reference).unlink()
    (directory / PLACE / reference).mkdir()
    with pytest.raises(InconsistentHistory, match="missing"):
        payloads.get(PLACE, reference)
    payloads.keep_only(PLACE, frozenset(), None)


def _refuse(*_: object) -> bytes:
    raise OSError(errno.EIO, "the disk refuses")


def test_get_when_the_file_is_of_the_first_version_then_it_is_found(directory: Path) -> None:
    """Files had no places then."""
    payloads = PayloadFiles(directory)
    reference = payloads.put(PLACE, b"content")
    (directory / PLACE / reference).rename(directory / reference)
    assert payloads.get(PLACE, reference) == b"content"


def test_keep_only_when_nothing_is_left_then_the_place_is_gone(directory: Path) -> None:
    """Executions that are gone leave no empty directories behind."""
    payloads = PayloadFiles(directory)
    payloads.put(PLACE, b"content")
    payloads.keep_only(PLACE, frozenset(), None)
    assert list(directory.iterdir()) == []


def test_keep_only_when_the_disk_refuses_then_it_is_unavailable(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be deleted is deleted by a repeat."""
    payloads = PayloadFiles(directory)
    payloads.put(PLACE, b"content")
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: _refuse())
    with pytest.raises(Unavailable, match=PLACE):
        payloads.keep_only(PLACE, frozenset(), None)
