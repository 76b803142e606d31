"""How long an invocation is taken to last: stated, not measured.

An emulator's time says nothing about AWS's, so an invocation is billed its function's own work and what each of the calls
that it really made is taken to take. Chosen on 2026-11-23 as what a warm function sees in its region: DynamoDB answers
within a few milliseconds ("single-digit", says its guide), SQS and STS within some ten, S3 within some tens; to each call
are added the 1.5 to 2 ms of CPU that boto3 takes on a whole core, which are 3 ms on the 0.58 core of 1,024 MB. The
functions' own work is that of their resolver, validation and JSON on such a share. Cold starts are left out: they are
rare under load, and on a quiet installation nothing beside the alarms. Whoever measures better changes the numbers here;
the page prints what they are.
"""

from collections import Counter
from collections.abc import Mapping
from math import ceil

from levante_core.adapters.dynamodb.calls import PARALLEL_CALLS

OWN_MS: Mapping[str, int] = {"api": 4, "stream": 4, "timers": 4, "sweep": 4}
"""An invocation's own work. The events function is not here: it is billed for as long as its stream is open."""

CALL_MS: Mapping[str, int] = {
    "GetItem": 6,
    "Query": 7,
    "PutItem": 8,
    "UpdateItem": 8,
    "DeleteItem": 8,
    "TransactWriteItems": 15,
    "SendMessageBatch": 12,
    "DeleteMessageBatch": 12,
    "ReceiveMessage": 12,
    "ChangeMessageVisibilityBatch": 12,
    "GetQueueUrl": 12,
    "CreateQueue": 50,
    "GetObject": 30,
    "PutObject": 40,
    "AssumeRole": 30,
}
"""A call of the API, by operation: its answer and the SDK's own work."""


def call_ms(in_turn: Counter[str], at_once: Counter[str]) -> int:
    """Return how long calls take. at_once: those that the store sends together, as many at a time as it has connections."""
    return sum(CALL_MS[name] * number for name, number in in_turn.items()) + sum(
        CALL_MS[name] * ceil(number / PARALLEL_CALLS) for name, number in at_once.items()
    )
