"""What becomes of closed runs when their time is over: the store deletes the run's item, and this all that belongs to it."""

from datetime import timedelta

from levante_core.domain.plan import RunExpired
from levante_core.ports.item_store import DocumentStore
from levante_core.ports.surroundings import Clock
from levante_core.records import keys
from levante_core.services.finding import execution_if_any
from levante_core.services.streams import StreamService

IN_FLIGHT = timedelta(hours=1)
"""What is kept elsewhere since less than this ago may belong to an item that is just being written."""


class ExpiryService:
    """Deletes histories, streams and payloads."""

    def __init__(self, store: DocumentStore, clock: Clock, streams: StreamService) -> None:
        self._store = store
        self._clock = clock
        self._streams = streams

    def delete_rest(self, expired: RunExpired) -> None:
        """Delete what belonged to a run: its history; and with the last execution below a root that is gone, their stream.

        What readers of the stream were not told yet is told first, as the stream may outlive the run. A repeat is harmless.
        Raises: Unavailable. Cost: three reads, and a query and a write for each item of the history and the stream.
        """
        run, root = expired.run, expired.root_execution_id
        if self._streams.is_read(run.workspace, root):
            self._streams.publish(run.workspace, root)
        is_rootless = expired.is_latest and execution_if_any(self._store, run.workspace, root) is None
        if is_rootless and not self._streams.goes_on_below(run.workspace, root):
            self._store.clear(keys.stream(run.workspace, root))
        self._store.clear(keys.history(run.workspace, run.run_id))
        if expired.has_payloads:
            partition = keys.execution(run.workspace, run.execution_id).partition
            self._store.prune(partition, self._clock.now() - IN_FLIGHT)
