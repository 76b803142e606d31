"""The writer of the SQLite file: who hears of a commit, and when; what is left of one that fails, or of a closed one."""

import asyncio
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from levante_core.errors import NotStorable, Unavailable
from levante_core.ports.item_store import Absent, Change, Delete, Item, Key, Put, Scalar, Update
from levante_local.greenlets import call, wait_for
from levante_local.sqlite import writer as sqlite_writer
from tests.unit.local.sqlite.writing import Opened, put, sorts, write


class Prompt(SimpleQueue[Any]):
    """A queue whose reader has ended when the one that told it to goes on."""

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - as inherited
        """See SimpleQueue."""
        super().put(item)
        if item is None:
            (writer,) = [thread for thread in threading.enumerate() if thread.name == "levante-sqlite-writer"]
            writer.join(10)


class TestListeners:
    def test_listener_when_a_thread_writes_then_it_is_told_before_the_writer_is(self, opened: Opened) -> None:
        """Whoever learned of a write finds every watcher woken."""
        submitted, heard = threading.Event(), []
        outcomes: list[Future[Any]] = []

        def listener(_: Sequence[Change]) -> None:
            assert submitted.wait(10)
            heard.append(outcomes[0].done())

        opened.writer.listen(listener)
        outcomes.append(opened.writer.submit([[put("a")]]))
        submitted.set()
        wait_for(outcomes[0], 10)
        assert heard == [False]

    def test_listener_when_calls_of_the_loop_write_then_it_is_told_before_any_of_them_is(self, on_loop: Opened) -> None:
        """The same where the loop itself commits."""
        order: list[str] = []
        on_loop.writer.listen(lambda changes: order.extend(sorts(changes)))

        def write_one(sort: str) -> None:
            outcome = on_loop.writer.submit([[put(sort)]])
            outcome.add_done_callback(lambda _: order.append(f"{sort} is done"))
            wait_for(outcome)

        async def main() -> None:
            await asyncio.gather(*[call(write_one, sort) for sort in "ab"])

        asyncio.run(main())
        assert order == ["a", "b", "a is done", "b is done"]

    def test_listeners_when_several_commits_follow_one_another_then_nobody_is_told_of_a_later_one_first(
        self, on_loop: Opened
    ) -> None:
        """A thread that commits while a listener learns of the loop's commit has to wait for it."""
        heard: list[str] = []
        is_held = threading.Event()

        def listener(changes: Sequence[Change]) -> None:
            if sorts(changes) == ["loop"]:
                is_held.set()
                thread.join(0.05)  # long enough for the other commit, if nothing kept it
            heard.extend(sorts(changes))

        def write_from_the_thread() -> None:
            assert is_held.wait(10)
            write(on_loop.writer, "thread")

        async def main() -> None:
            await call(write, on_loop.writer, "loop")

        on_loop.writer.listen(listener)
        thread = threading.Thread(target=write_from_the_thread)
        thread.start()
        asyncio.run(main())
        thread.join()
        assert heard == ["loop", "thread"]

    def test_listeners_when_there_are_several_then_each_is_told_of_what_was_done_and_of_nothing_else(
        self, opened: Opened
    ) -> None:
        """A group that was refused or broken changes nothing, and its neighbours of the commit did."""
        heard: list[list[list[str]]] = [[], []]
        wait_for(opened.writer.submit([[Put(Item(Key("p", "d"), {"text": "1"}))]]), 10)
        for each in heard:
            opened.writer.listen(lambda changes, each=each: each.append(sorts(changes)))  # type: ignore[misc]
        broken = Update(Key("p", "d"), add={"text": 1})
        refused = Put(Item(Key("p", "a")), Absent())
        opened.writer.submit([[put("a")], [put("b"), refused], [put("c"), broken], [put("e")]]).exception(10)
        assert heard == [[["a", "e"]]] * 2
        assert opened.items == ["a", "d", "e"]

    def test_listener_when_what_stood_there_before_is_damaged_then_it_is_told_of_the_change_all_the_same(
        self, opened: Opened
    ) -> None:
        """Writing over damage mends it: nobody who waits for it may miss that."""
        heard: list[Change] = []
        write(opened.writer, "a")
        with closing(sqlite3.connect(opened.path)) as vandal, vandal:
            vandal.execute("UPDATE items SET documents = 'no JSON'")
        opened.writer.listen(heard.extend)
        wait_for(opened.writer.submit([[put("a", mended=True)]]), 10)
        assert [(change.old, change.new and change.new.documents) for change in heard] == [(None, {"mended": True})]

    def test_feed_when_it_keeps_deletions_then_it_looks_at_what_was_there_and_else_at_what_is(self, tmp_path: Path) -> None:
        """What keeps a change is said of the item as it is; only of one that is gone, as it was."""
        seen: list[tuple[object, object]] = []

        def feeds(old: Mapping[str, Scalar] | None, new: Mapping[str, Scalar] | None) -> bool:
            seen.append((old and old.get("n"), new and new.get("n")))
            return False

        opened = Opened(tmp_path / "items.sqlite", feeds=feeds)
        heard: list[Change] = []
        opened.writer.listen(heard.extend)
        key = Key("p", "a")
        for change in (Put(Item(key, {"n": 1})), Put(Item(key, {"n": 2})), Update(key, {"n": 3}), Delete(key)):
            wait_for(opened.writer.submit([[change]]), 10)
        opened.writer.close()
        assert seen == [(None, 1), (None, 2), (None, 3), (3, None)]
        assert [int(change.sequence) for change in heard] == [0, 0, 0, 0]
        assert opened.feed == []


class TestFailures:
    @pytest.mark.parametrize("statement", ["BEGIN", "INSERT OR REPLACE INTO items", "COMMIT"])
    def test_commit_when_the_disk_fails_then_all_its_writers_hear_so_and_nothing_of_it_is_left(
        self, opened: Opened, statement: str
    ) -> None:
        """Nothing was written, nobody was told, and the next commit goes well."""
        heard: list[str] = []
        is_held, goes_on = threading.Event(), threading.Event()

        def hold(changes: Sequence[Change]) -> None:
            heard.extend(sorts(changes))
            is_held.set()
            goes_on.wait(10)

        opened.writer.listen(hold)
        first = opened.writer.submit([[put("first")]])
        assert is_held.wait(10)
        outcomes = [opened.writer.submit([[put(sort)]]) for sort in "ab"]
        opened.disk.refused = [statement]
        goes_on.set()
        wait_for(first, 10)
        for outcome in outcomes:
            with pytest.raises(Unavailable, match="disk I/O error"):
                wait_for(outcome, 10)
        write(opened.writer, "c")
        assert opened.items == ["c", "first"]
        assert heard == ["first", "c"]
        assert opened.writer.commits == 2

    def test_commit_when_the_disk_fails_in_a_turn_of_the_loop_then_all_who_wrote_hear_so(self, on_loop: Opened) -> None:
        """The same where the loop itself commits."""

        async def main() -> list[Any]:
            on_loop.disk.refused = ["COMMIT"]
            tasks = [call(write, on_loop.writer, sort) for sort in "ab"]
            return await asyncio.gather(*tasks, return_exceptions=True)

        assert [type(outcome) for outcome in asyncio.run(main())] == [Unavailable] * 2
        write(on_loop.writer, "c")
        assert on_loop.items == ["c"]

    def test_update_when_its_item_becomes_too_large_then_it_alone_is_refused(self, opened: Opened) -> None:
        """An item has a size that every store takes, however many updates it is made of."""
        half = "x" * 250_000
        first, second, other = (Update(Key("p", sort), set_documents={name: half}) for sort, name in ("a1", "a2", "b1"))
        wait_for(opened.writer.submit([[first]]), 10)
        outcome = opened.writer.submit([[second], [other]])
        with pytest.raises(NotStorable):
            wait_for(outcome, 10)
        assert opened.items == ["a", "b"]
        assert opened.feed == [1, 2]


class TestTurns:
    def test_turn_when_its_writes_are_committed_then_the_next_one_has_a_commit_of_its_own(self, on_loop: Opened) -> None:
        """What was submitted is carried out once."""

        async def main() -> None:
            for turn in ("a", "b"):
                await asyncio.gather(*[call(write, on_loop.writer, f"{turn}{number}") for number in range(3)])

        asyncio.run(main())
        assert on_loop.writer.commits == 2
        assert on_loop.feed == [1, 2, 3, 4, 5, 6]

    def test_turn_when_one_of_its_callers_is_gone_then_that_one_has_written_nothing(self, on_loop: Opened) -> None:
        """Who is cancelled before the commit begins has no part in it; the others are not disturbed."""

        def submit() -> tuple[Future[Any], Future[Any]]:
            return on_loop.writer.submit([[put("a")]]), on_loop.writer.submit([[put("b")]])

        async def main() -> Future[Any]:
            first, second = await call(submit)
            assert first.cancel()
            await asyncio.sleep(0)
            return second

        assert asyncio.run(main()).result(0) == [None]
        assert on_loop.items == ["b"]


class TestClose:
    def test_close_when_the_turn_has_writes_then_they_are_carried_out_before_the_file_closes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was accepted is durable, whoever closes meanwhile, and however quickly the thread ends."""
        monkeypatch.setattr(sqlite_writer, "SimpleQueue", Prompt)
        opened = Opened(tmp_path / "items.sqlite", on_loop=True)
        assert self._closed_in_the_turn(opened, ["a", "b"]) == [[None], [None]]
        assert opened.items == ["a", "b"]

    def test_close_when_the_loop_is_in_a_commit_then_that_is_finished_first(self, tmp_path: Path) -> None:
        """Another thread may close the file; SQLite survives no statement on a connection that is being closed."""

        def feeds(_: object, __: object) -> bool:
            closer.start()
            closer.join(0.05)  # it has time to close the file in the middle of the transaction
            return True

        async def main() -> None:
            await call(write, opened.writer, "a")

        opened = Opened(tmp_path / "items.sqlite", on_loop=True, feeds=feeds)
        closer = threading.Thread(target=opened.writer.close)
        asyncio.run(main())
        closer.join()
        assert opened.items == ["a"]

    def test_close_when_a_thread_writes_too_then_both_are_carried_out(self, on_loop: Opened) -> None:
        """In whichever way a write came."""
        from_thread: list[Future[Any]] = []
        thread = threading.Thread(target=lambda: from_thread.append(on_loop.writer.submit([[put("thread")]])))
        thread.start()
        thread.join()
        assert self._closed_in_the_turn(on_loop, ["a"]) == [[None]]
        assert from_thread[0].result(0) == [None]
        assert on_loop.items == ["a", "thread"]

    def _closed_in_the_turn(self, opened: Opened, sorts: Sequence[str]) -> list[Any]:
        """Submit, and close before the loop can commit. Returns the outcomes."""

        def submit() -> list[Future[Any]]:
            return [opened.writer.submit([[put(sort)]]) for sort in sorts]

        async def main() -> list[Any]:
            outcomes = await call(submit)
            opened.writer.close()
            return [outcome.result(0) for outcome in outcomes]

        return asyncio.run(main())

    @pytest.mark.parametrize("is_on_loop", [True, False])
    def test_submit_when_the_writer_is_closed_then_it_is_refused(self, tmp_path: Path, *, is_on_loop: bool) -> None:
        """Nobody may wait for what will never be done. Closing twice is harmless."""
        opened = Opened(tmp_path / "items.sqlite", on_loop=is_on_loop)
        opened.writer.close()
        opened.writer.close()

        async def main() -> None:
            await call(opened.writer.submit, [[put("a")]])

        with pytest.raises(Unavailable, match="closed"):
            asyncio.run(main())
        with pytest.raises(Unavailable, match="closed"):
            opened.writer.submit([[put("a")]])
