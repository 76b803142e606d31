from pathlib import Path

import pytest

from levante_core.errors import InconsistentHistory, Unavailable
from levante_local.payload_files import PayloadFiles


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "payloads"


@pytest.mark.parametrize("damage", [b"", b"conten", b"Content", b"content and more"])
def test_get_when_the_file_was_damaged_raises_inconsistent_history(directory: Path, damage: bytes) -> None:
    """Content is checked against its name each time: what does not fit is never handed out."""
    payloads = PayloadFiles(directory)
    reference = payloads.put(b"content")
    (directory / reference).write_bytes(damage)
    with pytest.raises(InconsistentHistory, match="damaged"):
        payloads.get(reference)


def test_put_when_the_file_was_damaged_mends_it(directory: Path) -> None:
    """A repeat writes the file anew."""
    payloads = PayloadFiles(directory)
    reference = payloads.put(b"content")
    (directory / reference).write_bytes(b"")
    assert payloads.put(b"content") == reference
    assert payloads.get(reference) == b"content"


def test_put_leaves_the_content_and_nothing_else(directory: Path) -> None:
    """No temporary file outlives its write, and another process finds the content."""
    reference = PayloadFiles(directory).put(b"content")
    PayloadFiles(directory).put(b"content")
    assert [entry.name for entry in directory.iterdir()] == [reference]
    assert PayloadFiles(directory).get(reference) == b"content"


def test_put_and_get_when_the_disk_refuses_are_unavailable(directory: Path) -> None:
    """Trouble with the disk may pass: it is no broken history. Nothing half written is left."""
    payloads = PayloadFiles(directory)
    reference = payloads.put(b"content")
    (directory / reference).unlink()
    (directory / reference).mkdir()
    with pytest.raises(Unavailable, match=reference):
        payloads.get(reference)
    with pytest.raises(Unavailable, match=reference):
        payloads.put(b"content")
    assert [entry.name for entry in directory.iterdir()] == [reference]
