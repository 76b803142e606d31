"""What is over: the store deletes items when their time comes, or somebody does, and this all that belonged to them."""

import logging
from datetime import timedelta
from typing import assert_never

from levante_core.domain.dispatch.plan import Expired, PayloadsExpired, RunExpired
from levante_core.domain.names import RunId, Workspace
from levante_core.errors import NotApplicable, Unavailable
from levante_core.ports.item_store import ConditionFailed, Delete, DocumentStore, Key, Query, Update
from levante_core.ports.surroundings import Clock
from levante_core.services.executions.lookup import find_summary
from levante_core.services.history.loading import read_all
from levante_core.services.streams.publish import StreamService
from levante_core.storage import keys
from levante_core.storage.runs import LEAVES_MORE, RunSummary, closed_run, is_open_run

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

    def delete(self, workspace: Workspace, execution_id: str) -> None:
        """Delete a closed execution with its earlier runs. The change feed deletes the rest, as if their time had come.

        Raises: NotFound, NotApplicable; Unavailable, after which a repeat completes it. Cost: a query, and two writes a run.
        """
        run = find_summary(self._store, workspace, execution_id)
        if run.is_open:
            raise NotApplicable(f"execution {execution_id!r} is open: terminate it first")
        self._require_parent_has_ended(run)
        first, last = keys.prefixed(keys.EARLIER_RUN)
        execution = keys.execution(workspace, run.key.execution_id)
        earlier = [item.key for item in read_all(self._store, Query(execution.partition, first=first, last=last))]
        for key in earlier:
            self._delete_run(key, RunId(key.sort.removeprefix(keys.EARLIER_RUN)))
        if not self._delete_run(execution, run.key.run_id):
            raise NotApplicable(f"execution {execution_id!r} was started anew meanwhile")

    def _require_parent_has_ended(self, run: RunSummary) -> None:
        """Refuse to delete what a parent that goes on may ask for again, as if it had never been."""
        parent = run.parent
        item = self._store.get(keys.execution(run.key.workspace, parent.execution_id)) if parent else None
        if parent and is_open_run(item, parent.run_id):
            problem = f"execution {run.key.execution_id!r} is a child of {parent.execution_id!r}, which is open"
            raise NotApplicable(f"{problem}: delete it once that has ended")

    def _delete_run(self, key: Key, run_id: RunId) -> bool:
        """Delete the item of a closed run, and let the change feed know that it leaves something behind."""
        unchanged = closed_run(run_id)
        try:
            self._store.write(Update(key, set_attributes={LEAVES_MORE: True}, condition=unchanged))
            self._store.write(Delete(key, unchanged))
        except ConditionFailed:
            return False
        return True

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
