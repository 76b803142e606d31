"""Access to queues for workers that take their tasks without the API in between.

Adapter: `levante_core.adapters.aws.sts`.
"""

from typing import Protocol

from levante_core.protocol.queue_access import QueueAccess


class TaskAccess(Protocol):
    """Who lends workers the access to their queues."""

    def grant(self, workflow_queue: str, activity_queue: str) -> QueueAccess:
        """Say what these two queues, which are there, are called outside, and lend credentials for them and nothing else.

        Each call lends anew: a worker asks again well before its credentials expire.
        Raises: Unavailable.
        """
        ...
