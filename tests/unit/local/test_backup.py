"""Backups: consistent, whole or not there at all, and for their owner alone."""

import sqlite3
from pathlib import Path

import pytest

from levante_local.data_directory import DATABASE, PAYLOADS
from levante_local.operations import backup as module
from levante_local.operations.backup import UNFINISHED, BackupFailed, back_up
from levante_local.payload_files import PayloadFiles
from levante_local.sqlite.schema import prepare


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    PayloadFiles(directory / PAYLOADS).put("run", b"large")
    prepare(directory / DATABASE)
    return directory


def test_backup_when_made_then_it_is_a_data_directory_of_its_owner_alone(data: Path, tmp_path: Path) -> None:
    """It holds inputs and digests of keys; a host can be started on it."""
    made = back_up(data, tmp_path / "copies" / "1")
    prepare(made.directory / DATABASE)
    assert made.payloads == 1
    assert made.database_bytes > 0
    places = [made.directory, *made.directory.rglob("*")]
    assert [str(path) for path in places if not path.is_file() and path.stat().st_mode & 0o077] == []
    assert (made.directory / DATABASE).stat().st_mode & 0o077 == 0


def test_backup_when_a_payload_is_written_while_the_database_is_copied_then_it_has_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may refer to it already."""
    payloads, copy = PayloadFiles(data / PAYLOADS), module._copy_database
    (first,) = (path.name for path in (data / PAYLOADS / "run").iterdir())

    def copy_meanwhile(source: Path, target: Path) -> None:
        late = payloads.put("run", b"late")
        copy(source, target)
        payloads.keep_only("run", frozenset({late}), None)

    monkeypatch.setattr(module, "_copy_database", copy_meanwhile)
    made = back_up(data, tmp_path / "copy")
    kept = PayloadFiles(made.directory / PAYLOADS)
    assert kept.get("run", first) == b"large", "deleted after the copy of the database may not be needed, but before may"
    assert made.payloads == 2


def test_backup_when_half_a_payload_is_there_then_it_is_left_out(data: Path, tmp_path: Path) -> None:
    """It has another name as long as it is not whole."""
    (data / PAYLOADS / "run" / ".writing-x").write_bytes(b"la")
    assert back_up(data, tmp_path / "copy").payloads == 1


def test_backup_when_it_fails_then_nothing_is_left(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of that name is a whole backup."""
    (data / DATABASE).write_bytes(b"no database" * 100)
    with pytest.raises(BackupFailed, match="cannot copy"):
        back_up(data, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert not (tmp_path / f"copy{UNFINISHED}").exists()


def test_backup_when_the_target_is_there_then_it_is_left_alone(data: Path, tmp_path: Path) -> None:
    """Nobody loses yesterday's."""
    back_up(data, tmp_path / "copy")
    with pytest.raises(BackupFailed, match="is there already"):
        back_up(data, tmp_path / "copy")


def test_backup_when_there_is_no_host_data_then_none_is_made(tmp_path: Path) -> None:
    """A wrong --data makes no empty backup, and no empty database."""
    with pytest.raises(BackupFailed, match="--data"):
        back_up(tmp_path, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_backup_when_the_database_is_being_written_then_it_shows_one_moment(data: Path, tmp_path: Path) -> None:
    """What is not committed is not in it, and the writer is not held up."""
    with sqlite3.connect(data / DATABASE) as writer:
        writer.execute("INSERT INTO items VALUES ('p', 's', '{}', '{}', '{}')")
        made = back_up(data, tmp_path / "copy")
        writer.execute("INSERT INTO items VALUES ('p', 't', '{}', '{}', '{}')")
    writer.close()
    with sqlite3.connect(made.directory / DATABASE) as copy:
        assert copy.execute("SELECT count(*) FROM items").fetchone() == (0,)
    copy.close()
