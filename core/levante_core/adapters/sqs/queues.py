"""Queues on SQS. What one request may carry: `sqs_batches`; the client and the queues' attributes: `sqs_client`."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from math import ceil
from typing import Any

from botocore.exceptions import ClientError

from levante_core.adapters.aws.calls import Repeats, ServiceRefused, bare, code_of, is_passing
from levante_core.adapters.dynamodb.calls import Patience
from levante_core.adapters.message_rules import check_message, is_fifo
from levante_core.adapters.sqs.batches import MOST_IN_A_BATCH, batches, in_tens, outgoing
from levante_core.adapters.sqs.client import SqsClient, check_prefix, full_name, queue_attributes, sqs_client
from levante_core.errors import LevanteError, NotFound
from levante_core.ports.queues import Backlog, HeldMessage, OutgoingMessage, ReceivedMessage
from levante_core.protocol.workers import MAX_POLL_SECONDS

__all__ = ["SqsQueues", "sqs_client"]

_SETTLING_SECONDS = 1.0
"""How long a new queue must be left alone. Source: SQS API, CreateQueue (read 2026-11-23)."""

_NO_QUEUE = {"NonExistentQueue", "QueueDoesNotExist"}
_OTHER_ATTRIBUTES = {"QueueAlreadyExists", "QueueNameExists"}
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
"""What waits, what is in flight, what is delayed."""
_LOST = {"InvalidParameterValue", "MessageNotInflight", "ReceiptHandleIsInvalid"}
"""Why a receipt is refused. InvalidParameterValue: it has expired, or its message was in flight for twelve hours.

Source: SQS API, ChangeMessageVisibility, and AWS re:Post, How do I troubleshoot errors of receipt handles
(read 2026-11-23).
"""


class SqsQueues:
    """The queues of an installation in one account and region, for any number of threads and processes.

    What a queue is called, `full_name` says. Requests that fail in a way that passes are repeated
    for a while; then Unavailable is raised. ServiceRefused is raised for what does not pass, such as a permission that is
    missing. SQS counts whole seconds: waits and visibility are rounded up.
    Bodies are JSON documents: the two characters that JSON allows and SQS does not are sent as escapes.
    """

    def __init__(
        self,
        client: SqsClient,
        prefix: str | None,
        *,
        dead_letter_arn: str | None = None,
        kms_key_arn: str | None = None,
        tags: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Use the queues under a prefix; None where they are called by their whole names.

        Raises: ValueError for a prefix that `check_prefix` refuses.

        dead_letter_arn: FIFO queue for what FIFO queues that are made here give up. kms_key_arn: what their messages are
        encrypted with, a key of SQS if None. tags: of new queues; whoever makes them then needs sqs:TagQueue too.
        """
        if prefix is not None:
            check_prefix(prefix)
        self._client = client
        self._prefix = prefix
        self._attributes = partial(queue_attributes, dead_letter_arn=dead_letter_arn, kms_key_arn=kms_key_arn)
        self._tags = dict(tags or {})
        self._patience = patience or Patience()
        self._urls: dict[str, str] = {}

    def ensure(self, queue: str) -> None:
        """Create the queue unless it is there, whatever its attributes are.

        Two that do so at once are both content. Cost: one request if it is there, else two and a second of waiting.
        Raises: Unavailable, also for a minute after a queue of this name was deleted.
        """
        self._urls.pop(queue, None)
        with suppress(NotFound):
            self.url(queue)
            return
        parameters: dict[str, Any] = {"QueueName": self.name(queue), "Attributes": self._attributes(queue)}
        if self._tags:
            parameters["tags"] = self._tags
        try:
            answer = self._repeats(f"making queue {queue}").call(lambda: self._client.create_queue(**parameters))
        except ClientError as error:
            if code_of(error) not in _OTHER_ATTRIBUTES:
                raise ServiceRefused(f"SQS refuses to make queue {queue}: {error}") from error
            self.url(queue)
        else:
            self._patience.sleep(_SETTLING_SECONDS)
            self._urls[queue] = str(answer["QueueUrl"])

    def name(self, queue: str) -> str:
        """Return what SQS calls a queue of the core."""
        return queue if self._prefix is None else full_name(self._prefix, queue)

    def url(self, queue: str) -> str:
        """Return the URL of a queue. Raises: NotFound; Unavailable. Cost: one request the first time."""
        known = self._urls.get(queue)
        if known is None:
            request = partial(self._client.get_queue_url, QueueName=self.name(queue))
            known = str(self._answer(queue, self._repeats(f"finding queue {queue}"), request)["QueueUrl"])
            self._urls[queue] = known
        return known

    def send(self, queue: str, messages: Sequence[OutgoingMessage]) -> None:
        """Send messages, each group's in order; accepted on return.

        Raises: ValueError for a message that a queue of this kind does not take, before anything is sent; NotFound;
        Unavailable and ServiceRefused, after which some may have been sent, but none before an earlier one of its group.
        Cost: one request for each ten messages of different groups, as none may overtake another one of its group.
        """
        for message in messages:
            check_message(queue, message)
        repeats = self._repeats(f"sending to queue {queue}")
        for batch in batches([outgoing(message) for message in messages]):
            refused = self._each(queue, repeats, self._client.send_message_batch, batch)
            for number, why in refused.items():
                raise ServiceRefused(
                    f"queue {queue} refuses a message of group {batch[number].get('MessageGroupId')}: {why}"
                )

    def receive(
        self, queue: str, *, limit: int, wait_seconds: float, visibility_seconds: float, consumer: str | None = None
    ) -> list[ReceivedMessage]:
        """Take up to `limit` messages, waiting up to `wait_seconds`, which SQS lets be 20 at most, for the first.

        consumer: not used; SQS knows only that a message was not dealt with in time.
        Raises: NotFound; Unavailable. Cost: one request, and one more for each ten messages that come.
        """
        del consumer
        if limit < 1:
            raise ValueError(f"limit {limit}: a receive takes at least one message")
        taken = self._receive(queue, min(limit, MOST_IN_A_BATCH), wait_seconds, visibility_seconds)
        asked = MOST_IN_A_BATCH
        while len(taken) < limit and len(taken) == asked:
            try:
                taken += self._receive(queue, min(limit - len(taken), MOST_IN_A_BATCH), 0, visibility_seconds)
            except LevanteError:
                break  # what was taken must not be lost with what was not
            asked += MOST_IN_A_BATCH
        return taken

    def extend(self, queue: str, receipts: Sequence[str], visibility_seconds: float) -> list[str]:
        """Let messages stay invisible for so long from now; 0 hands them back at once. Returns the lost receipts.

        A message that was in flight for twelve hours is lost whatever its consumer does. Source: SQS quotas (2026-11-23).
        Raises: NotFound; Unavailable. Cost: one request for each ten receipts.
        """
        visibility = {"VisibilityTimeout": ceil(visibility_seconds)}
        what = f"extending leases of queue {queue}"
        return self._lost(queue, what, self._client.change_message_visibility_batch, receipts, visibility)

    def backlog(self, queue: str) -> Backlog:
        """See Queues: approximately, within a minute, without the age of the oldest message, which only CloudWatch has.

        Raises: NotFound; Unavailable. Cost: one request. Source: SQS API, GetQueueAttributes (read 2026-12-01).
        """
        request = partial(self._client.get_queue_attributes, QueueUrl=self.url(queue), AttributeNames=list(_COUNTS))
        counts = self._answer(queue, self._repeats(f"counting queue {queue}"), request).get("Attributes", {})
        waiting, in_flight, delayed = (int(counts.get(name, 0)) for name in _COUNTS)
        return Backlog(waiting, in_flight, delayed)

    def is_attended(self, queue: str) -> bool | None:  # noqa: ARG002 - the port's
        """See Queues: SQS does not say who waits. Cost: none."""
        return None

    def consumer_of(self, queue: str, group: str) -> str | None:  # noqa: ARG002 - the port's
        """See Queues: SQS does not say who holds what. Cost: none."""
        return None

    def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """Remove messages that were dealt with. A lost receipt is ignored.

        Raises: NotFound; Unavailable. Cost: one request for each ten receipts.
        """
        what = f"deleting from queue {queue}"
        self._lost(queue, what, self._client.delete_message_batch, receipts, {})

    @property
    def forgot_before(self) -> None:
        """See Queues. Queues of SQS outlive every process."""

    def restore(self, queue: str, messages: Sequence[HeldMessage], visibility_seconds: float) -> Sequence[str]:  # noqa: ARG002
        """See Queues. A lease that is lost here is somebody else's."""
        return ()

    def _receive(self, queue: str, limit: int, wait_seconds: float, visibility_seconds: float) -> list[ReceivedMessage]:
        """Receive once. The repeat of a request that got no answer gets the same messages, if the queue is a FIFO one.

        Otherwise they would come back only when their visibility ends, as if a worker had been lost over them.
        Source: SQS API, ReceiveMessage, ReceiveRequestAttemptId (read 2026-11-23).
        """
        parameters: dict[str, Any] = {
            "QueueUrl": self.url(queue),
            "MaxNumberOfMessages": limit,
            "VisibilityTimeout": ceil(visibility_seconds),
            "MessageSystemAttributeNames": ["ApproximateReceiveCount", "MessageGroupId", "SentTimestamp"],
        }
        if is_fifo(queue):
            parameters["ReceiveRequestAttemptId"] = secrets.token_hex(16)
        repeats = self._repeats(f"receiving from queue {queue}", allowance=wait_seconds)
        until = self._patience.monotonic() + wait_seconds

        def request() -> Mapping[str, Any]:
            left = min(max(0, ceil(until - self._patience.monotonic())), MAX_POLL_SECONDS)
            return self._client.receive_message(**parameters, WaitTimeSeconds=left)

        return [_received(message) for message in self._answer(queue, repeats, request).get("Messages", ())]

    def _lost(
        self,
        queue: str,
        what: str,
        operation: Callable[..., Mapping[str, Any]],
        receipts: Sequence[str],
        change: Mapping[str, Any],
    ) -> list[str]:
        """Ask the same for all receipts. Returns those that were refused because they are lost."""
        repeats = self._repeats(what)
        lost = {""}  # a receipt without characters would fail its whole batch
        for batch in in_tens([receipt for receipt in receipts if receipt]):
            entries = [{"ReceiptHandle": receipt, **change} for receipt in batch]
            for number, why in self._each(queue, repeats, operation, entries).items():
                if why not in _LOST:
                    raise ServiceRefused(f"{what} is refused: {why}")
                lost.add(batch[number])
        return [receipt for receipt in receipts if receipt in lost]

    def _each(
        self,
        queue: str,
        repeats: Repeats,
        operation: Callable[..., Mapping[str, Any]],
        entries: Sequence[Mapping[str, Any]],
    ) -> dict[int, str]:
        """Send a batch, and again what fails in a way that passes. Returns why others are refused, by their number."""
        refused: dict[int, str] = {}
        waiting = set(range(len(entries)))
        while waiting:
            batch = [{"Id": str(number), **entries[number]} for number in sorted(waiting)]
            answer = self._answer(queue, repeats, partial(operation, QueueUrl=self.url(queue), Entries=batch))
            waiting -= {int(one["Id"]) for one in answer.get("Successful", ())}
            failed = {int(one["Id"]): one for one in answer.get("Failed", ())}
            for number, one in failed.items():
                code = bare(str(one["Code"]))
                if code in _LOST or (one.get("SenderFault") and not is_passing(code)):
                    refused[number] = code
                    waiting.discard(number)
            if waiting:
                repeats.pause(failed.get(min(waiting), "no answer for a message"))
        return refused

    def _answer(self, queue: str, repeats: Repeats, request: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Send a request to a queue. Raises: NotFound; Unavailable; ServiceRefused."""
        try:
            return repeats.call(request)
        except ClientError as error:
            if code_of(error) in _NO_QUEUE:
                self._urls.pop(queue, None)
                raise NotFound(f"queue {queue!r} does not exist: `ensure` creates it") from error
            raise ServiceRefused(f"SQS refuses a request for queue {queue}: {error}") from error

    def _repeats(self, what: str, *, allowance: float = 0.0) -> Repeats:
        return Repeats(what, self._patience, allowance=allowance)


def _received(message: Mapping[str, Any]) -> ReceivedMessage:
    attributes = message["Attributes"]
    return ReceivedMessage(
        body=str(message["Body"]),
        receipt=str(message["ReceiptHandle"]),
        receive_count=int(attributes["ApproximateReceiveCount"]),
        sent_at=datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC),
        group=attributes.get("MessageGroupId"),
    )
