"""Ledgers of runs between their tasks, so that history need not be replayed each time."""

from __future__ import annotations

from collections import OrderedDict

from levante.worker.runs.ledger import RunLedger


class RunCache:
    """Keeps the runs used last, by run id. limit 0 keeps none: every task is replayed from its history."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._runs: OrderedDict[str, RunLedger] = OrderedDict()

    def take(self, run_id: str) -> RunLedger | None:
        """Return the run, if it is there, and leave it to the caller."""
        return self._runs.pop(run_id, None)

    def put(self, run_id: str, ledger: RunLedger) -> None:
        """Keep a run, in place of the one that was used least recently if there are too many."""
        self._runs[run_id] = ledger
        while len(self._runs) > self._limit:
            _, evicted = self._runs.popitem(last=False)
            evicted.code.dispose()

    def clear(self) -> None:
        """Let go of all runs."""
        while self._runs:
            self._runs.popitem()[1].code.dispose()
