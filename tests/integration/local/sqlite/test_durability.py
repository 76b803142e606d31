import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from levante_core.errors import Unavailable
from levante_core.ports.item_store import EXPIRES_AT, Absent, Change, ConditionFailed, Item, Key, Put, Query, Update
from levante_local.greenlets import call
from levante_local.sqlite import writer
from levante_local.sqlite.schema import FIND_EXPIRED, StoreNotOpened
from levante_local.sqlite.store import SqliteItemStore

KEY = Key("partition", "sort")

PRELUDE = """
import os
import sys
from pathlib import Path
from threading import Thread
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Absent, Item, Key, Put, Update
from levante_local.sqlite.store import SqliteItemStore
store = SqliteItemStore(Path(sys.argv[1]))
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # one write per line: threads do not mix theirs
"""

WRITE_UNTIL_KILLED = """
def write(worker):
    for number in range(10**9):
        name = f"{worker}-{number}"
        store.write(
            Put(Item(Key("left", name), documents={"d": "x" * 500}), Absent()),
            Put(Item(Key("right", name), indexes={"by_worker": Key(str(worker), name)}), Absent()),
            Update(Key("count", "pairs"), add={"pairs": 1}),
        ) if worker else store.write_each([[Put(Item(Key("single", name)))]])
        say(name)
for worker in range(4):
    Thread(target=write, args=(worker,)).start()
"""

HOLD_UNTIL_SIGNALLED = """
say("open")
sys.stdin.read()
"""

FILL_THE_DISK = """
import resource
def attempt(number):
    try:
        store.write(Put(Item(Key("p", str(number)), documents={"d": "x" * 5000})), Update(Key("p", "count"), add={"n": 1}))
    except Unavailable:
        say("unavailable", number)
    else:
        say("written", number)
attempt(0)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (Path(sys.argv[1] + "-wal").stat().st_size + 4096, hard))
threads = [Thread(target=attempt, args=(number,)) for number in range(1, 9)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
attempt(9)
store.close()
"""


def start(script: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "items.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteItemStore]:
    with closing(SqliteItemStore(path)) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("acknowledgements", [1, 50, 400])
def test_store_when_its_process_is_killed_keeps_every_acknowledged_write_and_no_half(
    path: Path, acknowledgements: int
) -> None:
    """Nothing is acknowledged before it is durable, and a transaction is there in full or not at all."""
    with start(WRITE_UNTIL_KILLED, path) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(acknowledgements)]
        process.kill()
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    with closing(SqliteItemStore(path)) as store:
        left = {item.key.sort for item in store.query(Query("left")).items}
        right = {item.key.sort for item in store.query(Query("right")).items}
        single = {item.key.sort for item in store.query(Query("single")).items}
        count = store.get(Key("count", "pairs"))
        listed = {item.key.sort for worker in "123" for item in store.query(Query(worker, index="by_worker")).items}
        changed = {change.key.sort for change in store.read_changes(None, 10**9)}
    assert set(acknowledged) <= left | single
    assert left == right == listed
    assert (count.attributes["pairs"] if count else 0) == len(left)
    assert changed - {"pairs"} == left | single


@pytest.mark.slow
def test_write_when_the_disk_is_full_is_unavailable_and_leaves_nothing_half_written(path: Path) -> None:
    """A commit that fails fails for everybody in it; the store works again as soon as the disk does."""
    with start(FILL_THE_DISK, path) as process:
        assert process.stdout is not None
        answers = [line.split() for line in process.stdout]
    written = {number for answer, number in answers if answer == "written"}
    assert len(answers) == 10
    assert {"0", "9"} <= written
    assert len(written) < 10
    with closing(SqliteItemStore(path)) as store:
        assert {item.key.sort for item in store.query(Query("p", last="9")).items} == written
        assert store.get(Key("p", "count")) == Item(Key("p", "count"), {"n": len(written)})
        assert len(store.read_changes(None, 100)) == 2 * len(written)


@pytest.mark.slow
def test_store_when_another_process_has_the_file_is_refused(path: Path) -> None:
    """One process owns the file. The message names it and says what to do; when it ends, the file is free at once."""
    with start(HOLD_UNTIL_SIGNALLED, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(StoreNotOpened, match=rf"process {process.pid}.*another data directory"):
            SqliteItemStore(path)
        process.kill()
    SqliteItemStore(path).close()


def test_store_when_opened_twice_in_one_process_is_refused(store: SqliteItemStore, path: Path) -> None:
    """The lock belongs to the store, not to the process; a refusal leaves the owner unharmed."""
    with pytest.raises(StoreNotOpened):
        SqliteItemStore(path)
    with pytest.raises(StoreNotOpened):
        SqliteItemStore(path)
    store.write(Put(Item(KEY)))
    assert store.get(KEY) == Item(KEY)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("PRAGMA user_version = 99", "newer Levante.*upgrade"),
        ("CREATE TABLE somebody_elses (x)", "not one of Levante"),
        (None, "not a database"),
    ],
)
def test_store_when_the_file_is_not_one_it_knows_is_refused(path: Path, script: str | None, message: str) -> None:
    """A file that this version cannot read is left as it is, and the message says what to do."""
    path.parent.mkdir()
    if script is None:
        path.write_bytes(b"something else entirely, and not a short text at all" * 100)
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(script)
    before = path.read_bytes()
    for _ in range(2):  # the refusal lets go of the lock
        with pytest.raises(StoreNotOpened, match=message):
            SqliteItemStore(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_store_when_closed_and_opened_again_has_everything(path: Path, synchronous: str) -> None:
    """Closing loses nothing, and leaves a single file (and its lock) behind."""
    with closing(SqliteItemStore(path, synchronous)) as store:  # type: ignore[arg-type]
        store.write(Update(KEY, {"status": "A"}, {"d": [1]}, {"n": 1}, {"i": Key("p", "s")}))
        before = store.get(KEY)
    assert {entry.name for entry in path.parent.iterdir()} == {"items.db", "items.db.lock"}
    with closing(SqliteItemStore(path)) as store:
        assert store.get(KEY) == before
        assert len(store.query(Query("p", index="i")).items) == 1


def test_store_when_closed_is_unavailable(path: Path) -> None:
    """Who comes too late gets an error that may be repeated elsewhere; closing twice is harmless."""
    store = SqliteItemStore(path)
    store.close()
    store.close()
    with pytest.raises(Unavailable):
        store.get(KEY)
    with pytest.raises(Unavailable):
        store.write(Put(Item(KEY)))


def test_store_when_the_file_fails_is_unavailable_and_recovers(store: SqliteItemStore, path: Path) -> None:
    """Errors of SQLite never reach a caller as such, and the writer outlives them."""
    store.write(Put(Item(KEY)))
    with closing(sqlite3.connect(path)) as vandal:
        vandal.execute("ALTER TABLE items RENAME TO elsewhere")
        with pytest.raises(Unavailable, match="no such table"):
            store.get(KEY)
        with pytest.raises(Unavailable, match="no such table"):
            store.write(Put(Item(KEY, {"count": 1})))
        vandal.execute("ALTER TABLE elsewhere RENAME TO items")
    store.write(Put(Item(KEY, {"count": 2})))
    assert store.get(KEY) == Item(KEY, {"count": 2})


def test_acknowledge_changes_forgets_up_to_there(store: SqliteItemStore) -> None:
    """What was dealt with is not read again; the rest is."""
    for count in range(4):
        store.write(Put(Item(KEY, {"count": count})))
    sequences = [change.sequence for change in store.read_changes(None, 10)]
    assert sequences == sorted(sequences)
    store.acknowledge_changes(sequences[1])
    assert [change.sequence for change in store.read_changes(None, 10)] == sequences[2:]
    store.acknowledge_changes(sequences[0])
    assert [change.sequence for change in store.read_changes(sequences[2], 10)] == sequences[3:]


def test_acknowledge_changes_costs_no_commit_of_its_own(
    store: SqliteItemStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows go with the next commit that changes something, once there are enough of them."""
    monkeypatch.setattr(writer, "FORGET_AT_ONCE", 1)
    store.write(Put(Item(KEY, {"count": 0})))
    store.acknowledge_changes(store.read_changes(None, 1)[0].sequence)
    store.write(Put(Item(KEY, {"count": 0})))  # changes nothing
    assert store.commits == 1
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT count(*) FROM changes").fetchone() == (1,)
        store.write(Put(Item(KEY, {"count": 1})))
        assert reader.execute("SELECT sequence FROM changes").fetchall() == [(2,)]


def test_feed_when_it_is_told_what_to_keep_then_listeners_still_hear_of_all(path: Path) -> None:
    """What the dispatcher never looks at costs no row, but whoever waits for it is woken."""
    heard: list[Change] = []
    with closing(SqliteItemStore(path, feeds=lambda _, new: bool(new and new.get("kept")))) as store:
        store.listen(heard.extend)
        store.write(Put(Item(KEY, {"kept": True})))
        store.write(Put(Item(KEY, {"kept": False})))
        assert [change.new for change in store.read_changes(None, 10)] == [Item(KEY, {"kept": True})]
    assert [int(change.sequence) for change in heard] == [1, 0]


def test_writes_of_one_turn_of_the_loop_share_a_commit(path: Path) -> None:
    """Decision 10: with on_loop the event loop commits, all that one of its turns submits at once."""

    async def scenario() -> int:
        with closing(SqliteItemStore(path, on_loop=True)) as store:
            keys = [Key("partition", str(number)) for number in range(50)]
            await asyncio.gather(*[call(store.write, Put(Item(key), Absent())) for key in keys])
            assert [item.key for item in store.query(Query("partition")).items] == sorted(keys)
            with pytest.raises(ConditionFailed):
                await call(store.write, Put(Item(keys[0]), Absent()))
            return store.commits

    assert asyncio.run(scenario()) == 1


def test_sequences_when_everything_was_acknowledged_and_the_file_reopened_go_on(path: Path) -> None:
    """A sequence is never used twice, or a reader that remembers one would miss changes."""
    seen: list[str] = []
    for count in range(3):
        with closing(SqliteItemStore(path)) as store:
            assert store.read_changes(None, 10) == []
            store.write(Put(Item(KEY, {"count": count})))
            seen += [change.sequence for change in store.read_changes(None, 10)]
            store.acknowledge_changes(seen[-1])
    assert len(seen) == len(set(seen)) == 3
    assert seen == sorted(seen)


def test_write_when_it_leaves_the_item_as_it_is_is_no_change(store: SqliteItemStore) -> None:
    """As in DynamoDB Streams, so nothing that works here relies on a change that changes nothing."""
    store.write(Put(Item(KEY, {"status": "A"})))
    store.write(Put(Item(KEY, {"status": "A"})))
    store.write(Update(KEY, {"status": "A"}))
    assert len(store.read_changes(None, 10)) == 1
    assert store.commits == 1


def test_delete_expired_when_an_item_was_written_anew_meanwhile_then_it_stays(path: Path) -> None:
    """Whoever writes an item later than its expiry means it to be there; what has no expiry never goes."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    seconds = int(now.timestamp())
    with closing(SqliteItemStore(path)) as store:
        for number, expires_at in enumerate([seconds - 1, seconds, seconds + 1, None]):
            store.write(Put(Item(Key("p", str(number)), {EXPIRES_AT: expires_at})))
        store.write(Put(Item(Key("p", "none"), {})), Put(Item(Key("p", "0"), {EXPIRES_AT: seconds + 9})))
        assert store.delete_expired(now, 10) == 1
        assert [item.key.sort for item in store.query(Query("p")).items] == ["0", "2", "3", "none"]
        assert store.delete_expired(now, 10) == 0


def test_file_of_version_1_when_opened_then_it_is_brought_up_to_date(path: Path) -> None:
    """What was kept before stays, and can expire from now on."""
    with closing(SqliteItemStore(path)) as store:
        store.write(Put(Item(KEY, {EXPIRES_AT: 1})))
    with closing(sqlite3.connect(path)) as older:
        older.executescript("DROP INDEX items_by_expiry; PRAGMA user_version = 1;")
    with closing(SqliteItemStore(path)) as store:
        assert store.get(KEY) == Item(KEY, {EXPIRES_AT: 1})
        assert store.delete_expired(datetime(2026, 1, 1, tzinfo=UTC), 10) == 1
    with closing(sqlite3.connect(path)) as reader:
        plan = reader.execute(f"EXPLAIN QUERY PLAN {FIND_EXPIRED}", (1, 1)).fetchall()
    assert "items_by_expiry" in str(plan), "no walk over all items"
