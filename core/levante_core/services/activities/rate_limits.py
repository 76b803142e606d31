"""Rate limits of activities: evenly spread over time, exact over all workers of a deployment."""

import logging
from datetime import datetime, timedelta

from levante_core.domain.frozen import wire_time
from levante_core.domain.names import Workspace
from levante_core.errors import Unavailable, Unreadable, loggable
from levante_core.ports.item_store import Absent, ConditionFailed, Item, ItemStore, Matches, Put, Scalar
from levante_core.ports.surroundings import Clock
from levante_core.protocol.activities import PermitRequest
from levante_core.services.conflicts import Conflicts
from levante_core.storage import keys
from levante_core.storage.attempts import free_at_of

logger = logging.getLogger("levante.rate_limits")


class RateLimitService:
    """Hands out places in time. A place that is not used is lost: a limit is never exceeded, whoever dies."""

    def __init__(self, store: ItemStore, clock: Clock, conflicts: Conflicts) -> None:
        self._store = store
        self._clock = clock
        self._conflicts = conflicts

    def permit(self, workspace: Workspace, request: PermitRequest) -> timedelta:
        """Take the next free place, unless the request wants none so far away. Returns how long it is until then.

        Raises: Unavailable. Cost: a read and a write.
        """
        name = keys.rate_limit_name(request.rate_limit.key, request.activity_name)
        key = keys.rate_limit(workspace, request.deployment_name.deployment, name)
        interval = timedelta(seconds=request.rate_limit.interval_seconds)
        for _ in self._conflicts.attempts():
            now = self._clock.now()
            item = self._store.get(key)
            free_at = max(now, _free_at(item, now + interval)) if item else now
            if not request.takes((free_at - now).total_seconds()):
                return free_at - now
            unchanged = Matches(_next_place(item)) if item else Absent()
            taken = Item(key, {"free_at": wire_time(free_at + interval)})
            try:
                self._store.write(Put(taken, unchanged))
            except ConditionFailed:
                continue
            return free_at - now
        raise Unavailable(f"too many workers ask for rate limit {name!r} at once: try again")


def _next_place(item: Item) -> dict[str, Scalar]:
    return {name: value for name, value in item.attributes.items() if name == "free_at"}


def _free_at(item: Item, otherwise: datetime) -> datetime:
    """Read when the next place is; a limit that cannot be read begins anew, an interval from now, as it holds up all."""
    try:
        return free_at_of(item)
    except Unreadable as error:
        logger.warning("a rate limit begins anew: %s", loggable(error))
        return otherwise
