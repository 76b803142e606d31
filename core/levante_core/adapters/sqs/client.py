"""The client of SQS as the queues need it, and the queues' names and attributes."""

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol, cast

import boto3
from botocore.config import Config

from levante_core.adapters.message_rules import is_fifo
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol.workers import LEASE_SECONDS, MAX_POLL_SECONDS, TaskQueue
from levante_core.services.dispatch.sender import TIMERS_QUEUE, queue_name

MOST_NAME_CHARACTERS = 80
"""Of a queue's name, `.fifo` included. Source: SQS quotas, queues (read 2026-11-23)."""

RETENTION_SECONDS = 14 * 24 * 60 * 60
"""The longest that SQS keeps a message. Source: SQS quotas, messages (read 2026-11-23)."""

MOST_DELIVERIES = 1000
"""After how many a message is given up: as many as SQS allows.

A workflow task whose code cannot be advanced comes again for as long as it takes, each minute in the end, and each time
counts. After some 17 hours it is a dead letter, which raises an alarm, while the sweep goes on sending for the run. A lower
number would only make noise: an activity task is never delivered twice and run twice, since its second delivery becomes an
attempt of its own, with a message of its own.
Source: the words in which SQS refuses a larger number, as ministack 1.5.33 quotes them (read 2026-11-23).
"""

_CONNECT_SECONDS = 2
_READ_SECONDS = MAX_POLL_SECONDS + 3
"""A long poll answers after 20 s if nothing comes. One that hangs ends soon enough for the API to answer within its 29 s."""

_CONNECTIONS = 16

_SEPARATOR = "_"
"""Between a prefix and the rest of a queue's name."""


class SqsClient(Protocol):
    """The low-level client: parameters and answers as in the API."""

    def create_queue(self, **parameters: Any) -> Mapping[str, Any]:
        """Create a queue."""
        ...

    def get_queue_attributes(self, **parameters: Any) -> Mapping[str, Any]:
        """Read what a queue is like, and how much it holds."""
        ...

    def get_queue_url(self, **parameters: Any) -> Mapping[str, Any]:
        """Find a queue."""
        ...

    def send_message_batch(self, **parameters: Any) -> Mapping[str, Any]:
        """Send up to ten messages."""
        ...

    def receive_message(self, **parameters: Any) -> Mapping[str, Any]:
        """Receive up to ten messages."""
        ...

    def change_message_visibility_batch(self, **parameters: Any) -> Mapping[str, Any]:
        """Change the visibility of up to ten messages."""
        ...

    def delete_message_batch(self, **parameters: Any) -> Mapping[str, Any]:
        """Delete up to ten messages."""
        ...


def sqs_client(
    *, endpoint_url: str | None = None, connections: int = _CONNECTIONS, session: boto3.Session | None = None
) -> SqsClient:
    """Make a client, to be kept and shared by threads. Region, credentials and endpoint come from the environment.

    endpoint_url: in place of AWS_ENDPOINT_URL. session: for another region or other credentials. connections: how many are
    kept open, and so how many may poll at once.
    The client itself repeats nothing, but it adapts its rate to throttling: how often and for how long a request is
    repeated depends on what it asks for, which the queues know.
    """
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        max_pool_connections=connections,
        tcp_keepalive=True,
        retries={"mode": "adaptive", "total_max_attempts": 1},
    )
    return cast("SqsClient", (session or boto3.Session()).client("sqs", endpoint_url=endpoint_url, config=config))


def full_name(prefix: str, queue: str) -> str:
    """Return what SQS calls a queue of the core under a prefix.

    A prefix holds no underscore, so the first one in a name ends it: a pattern of names that begin with a prefix and an
    underscore takes in the queues of no other installation, whatever that one's prefix is.
    """
    return f"{prefix}{_SEPARATOR}{queue}"


def check_prefix(prefix: str) -> None:
    """Check that a prefix ends where `full_name` ends it, and leaves room for all names of the core. Raises: ValueError."""
    names = [
        queue_name(Workspace("w"), WorkerPool(DeploymentName(MOST_NAME_CHARACTERS * "d")), queue) for queue in TaskQueue
    ]
    most = MOST_NAME_CHARACTERS - len(_SEPARATOR) - max(map(len, [*names, TIMERS_QUEUE]))
    if not re.fullmatch(r"[A-Za-z0-9-]+", prefix) or len(prefix) > most:
        raise ValueError(f"queue prefix {prefix!r}: use 1 to {most} letters, digits or '-'")


def queue_attributes(queue: str, *, dead_letter_arn: str | None, kms_key_arn: str | None) -> dict[str, str]:
    """Return the attributes of a new queue.

    A FIFO queue is in high-throughput mode: limits and deduplication are those of each message group, not of the queue.
    Its dead letters go to a FIFO queue; those of a standard queue could not.
    Source: SQS API, CreateQueue; developer guide, High throughput for FIFO queues (read 2026-11-23).
    """
    attributes = {
        "MessageRetentionPeriod": str(RETENTION_SECONDS),
        "VisibilityTimeout": str(LEASE_SECONDS),
        **({"KmsMasterKeyId": kms_key_arn} if kms_key_arn else {"SqsManagedSseEnabled": "true"}),
    }
    if not is_fifo(queue):
        return attributes
    if dead_letter_arn:
        redrive = {"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": MOST_DELIVERIES}
        attributes["RedrivePolicy"] = json.dumps(redrive)
    return attributes | {
        "FifoQueue": "true",
        "ContentBasedDeduplication": "false",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
    }
