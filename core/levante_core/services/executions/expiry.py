"""What is over: the store deletes items when their time comes, and this all that belonged to them."""

import logging
from datetime import timedelta
from typing import assert_never

from levante_core.domain.dispatch.plan import Expired, PayloadsExpired, RunExpired
from levante_core.errors import Unavailable
from levante_core.ports.item_store import DocumentStore, Key
from levante_core.ports.surroundings import Clock
from levante_core.services.streams.publish import StreamService
from levante_core.storage import keys

logger = logging.getLogger("levante.expiry")

IN_FLIGHT = timedelta(hours=1)
"""What is kept elsewhere since less than this ago may be for an item that is just being written anew."""


class ExpiryService:
    """Deletes histories, streams and payloads."""

    def __init__(self, store: DocumentStore, clock: Clock, streams: StreamService) -> None:
        self._store = store
        self._clock = clock
        self._streams = streams

    def delete_rest(self, expired: Expired) -> None:
        """Delete what belonged to a run or another item that is gone. A repeat is harmless. Raises: Unavailable."""
        match expired:
            case RunExpired():
                self._delete_rest_of_run(expired)
            case PayloadsExpired(partition, sort):
                self._store.prune(Key(partition, sort), self._clock.now() - IN_FLIGHT)
            case _:
                assert_never(expired)

    def _delete_rest_of_run(self, expired: RunExpired) -> None:
        """Delete the history; and with the last execution below a root that is gone, their stream.

        What is not in the stream yet is published first, as the stream may outlive the run. A history that is
        damaged cannot be published, and goes all the same.
        Cost: three reads, and a query and a write for each item of the history and the stream.
        """
        run, root = expired.run, expired.root_execution_id
        if self._streams.is_read(run.workspace, root):
            try:
                self._streams.publish(run.workspace, root)
            except Unavailable:
                raise
            except Exception:
                logger.exception("the last events of run %s cannot be published, and are deleted", run.run_id)
        is_rootless = expired.is_latest and self._store.get(keys.execution(run.workspace, root)) is None
        if is_rootless and not self._streams.goes_on_below(run.workspace, root):
            self._store.clear(keys.stream(run.workspace, root))
        self._store.clear(keys.history(run.workspace, run.run_id))
