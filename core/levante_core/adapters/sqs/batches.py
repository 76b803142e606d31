"""What goes into one request to SQS. Source: SQS API, SendMessageBatch, and quotas for messages (read 2026-11-23)."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from levante_core.ports.queues import OutgoingMessage

MOST_IN_A_BATCH = 10
MOST_BYTES = 1024 * 1024
"""Of a message, and of all messages of a request together."""

_NOT_FOR_SQS = re.compile("[\ufffe\uffff]")
"""Of the characters that a JSON document may have, those that SQS refuses."""


def outgoing(message: OutgoingMessage) -> dict[str, Any]:
    """Write a message as an entry of a batch. Raises: ValueError for one that is larger than SQS allows."""
    body = _NOT_FOR_SQS.sub(lambda found: f"\\u{ord(found[0]):04x}", message.body)
    if len(body.encode()) > MOST_BYTES:
        raise ValueError(f"a message of {len(body.encode())} bytes: SQS takes {MOST_BYTES} at most")
    entry: dict[str, Any] = {"MessageBody": body}
    if message.group is not None:
        entry["MessageGroupId"] = message.group
        entry["MessageDeduplicationId"] = message.deduplication_id
    if message.delay_seconds:
        entry["DelaySeconds"] = message.delay_seconds
    return entry


def batches(entries: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Split entries into requests, to be sent one after the other.

    No two messages of a group share a request: SQS decides on each message of a batch by itself, and where it fails to take
    one it might still take a later one of the same group, ahead of it.
    """
    waiting = list(entries)
    while waiting:
        batch: list[dict[str, Any]] = []
        left: list[dict[str, Any]] = []
        size = 0
        groups = set()
        for entry in waiting:
            group, entry_bytes = entry.get("MessageGroupId"), len(entry["MessageBody"].encode())
            if len(batch) < MOST_IN_A_BATCH and group not in groups and size + entry_bytes <= MOST_BYTES:
                batch.append(entry)
                size += entry_bytes
            else:
                left.append(entry)
            if group is not None:
                groups.add(group)
        yield batch
        waiting = left


def in_tens(receipts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split receipts into requests."""
    for start in range(0, len(receipts), MOST_IN_A_BATCH):
        yield receipts[start : start + MOST_IN_A_BATCH]
