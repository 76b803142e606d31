"""Watches of partitions, woken by the store's own writer."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from levante_core.ports.item_store import Change
from levante_local.greenlets import Signal


class _Watcher(Signal):
    """Somebody who watches."""

    def has_changed(self) -> bool:
        """See Watched."""
        return self.take()


class LocalChangeWatch:
    """Wakes whoever waits on a partition as soon as a write to it is durable."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: defaultdict[str, set[_Watcher]] = defaultdict(set)

    @contextmanager
    def watch(self, *partitions: str) -> Iterator[_Watcher]:
        """Watch partitions from now on. Open it before you read, then no change is missed."""
        watcher = _Watcher()
        with self._lock:
            for partition in partitions:
                self._watchers[partition].add(watcher)
        try:
            yield watcher
        finally:
            with self._lock:
                for partition in partitions:
                    self._watchers[partition].discard(watcher)
                    if not self._watchers[partition]:
                        del self._watchers[partition]

    def notify(self, changes: Sequence[Change]) -> None:
        """Wake the watchers of every partition that was touched, from any thread. Meant for `SqliteItemStore.listen`."""
        with self._lock:
            touched = {change.key.partition for change in changes} & self._watchers.keys()
            watchers = [watcher for partition in touched for watcher in self._watchers[partition]]
        for watcher in watchers:
            watcher.give()
