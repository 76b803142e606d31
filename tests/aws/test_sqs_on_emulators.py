"""What the contract of queues does not say, and SQS does: on moto, and on ministack."""

import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from moto import mock_aws

from levante_core.adapters.dynamodb.calls import Patience
from levante_core.adapters.sqs.batches import MOST_BYTES
from levante_core.adapters.sqs.client import MOST_DELIVERIES, RETENTION_SECONDS, full_name
from levante_core.adapters.sqs.queues import SqsQueues, sqs_client
from levante_core.errors import NotFound
from levante_core.ports.queues import OutgoingMessage
from tests.support.dynamodb_tables import aws_environment

FIFO = "tasks.fifo"
_numbers = itertools.count()


@dataclass
class Place:
    """Queues, and the service they are in."""

    client: Any
    prefix: str
    dead_letter_arn: str

    def queues(self, **options: Any) -> SqsQueues:
        at_once = replace(Patience(), sleep=lambda _: None)
        return SqsQueues(self.client, self.prefix, dead_letter_arn=self.dead_letter_arn, patience=at_once, **options)

    def attributes(self, url: str) -> dict[str, str]:
        return dict(self.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])


@pytest.fixture(params=["moto", pytest.param("ministack", marks=pytest.mark.emulators)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "moto":
        with aws_environment(), mock_aws():
            yield new_place(sqs_client())
        return
    with aws_environment(request.getfixturevalue("ministack_url")):
        client: Any = sqs_client()
        made = new_place(client)
        yield made
        for url in client.list_queues(QueueNamePrefix=full_name(made.prefix, "")).get("QueueUrls", []):
            client.delete_queue(QueueUrl=url)


def new_place(client: Any) -> Place:
    prefix = f"aws-{os.getpid()}-{next(_numbers)}"
    url = client.create_queue(QueueName=full_name(prefix, "dead.fifo"), Attributes={"FifoQueue": "true"})["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return Place(client, prefix, arn)


def to(group: str, body: str) -> OutgoingMessage:
    return OutgoingMessage(body, group, f"{group}-{len(body)}-{body[:40]}")


def test_ensure_when_made_then_the_queue_has_what_was_asked_for(place: Place) -> None:
    """High throughput, longest retention, dead letters and tags are accepted, and kept."""
    queues = place.queues(tags={"stage": "test"})
    queues.ensure(FIFO)
    attributes = place.attributes(queues.url(FIFO))
    assert json.loads(attributes["RedrivePolicy"]) == {
        "deadLetterTargetArn": place.dead_letter_arn,
        "maxReceiveCount": MOST_DELIVERIES,
    }
    kept = {name: attributes[name] for name in ("DeduplicationScope", "FifoThroughputLimit", "MessageRetentionPeriod")}
    assert kept == {
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
        "MessageRetentionPeriod": str(RETENTION_SECONDS),
    }
    assert place.client.list_queue_tags(QueueUrl=queues.url(FIFO))["Tags"] == {"stage": "test"}


def test_ensure_when_two_with_other_attributes_race_then_both_use_one_queue(place: Place) -> None:
    """A new version of us takes the queues of the old one as they are."""
    old, new = place.queues(kms_key_arn="alias/aws/sqs"), place.queues()
    for queues in (old, new, old):
        queues.ensure(FIFO)
    new.send(FIFO, [to("g", "a")])
    assert [message.body for message in old.receive(FIFO, limit=1, wait_seconds=0, visibility_seconds=30)] == ["a"]


def test_any_call_when_the_queue_was_deleted_underneath_then_not_found_until_it_is_made_again(place: Place) -> None:
    """The next one to need it makes it: nothing in a queue is lost for good."""
    queues = place.queues()
    queues.ensure(FIFO)
    place.client.delete_queue(QueueUrl=queues.url(FIFO))
    with pytest.raises(NotFound):
        queues.send(FIFO, [to("g", "a")])
    with pytest.raises(NotFound):
        queues.extend(FIFO, ["receipt"], 30)
    queues.ensure(FIFO)
    queues.send(FIFO, [to("g", "a")])
    assert len(queues.receive(FIFO, limit=10, wait_seconds=0, visibility_seconds=30)) == 1


def test_send_when_messages_are_large_then_all_arrive(place: Place) -> None:
    """What one request may carry in all is what SQS says, counted as it counts."""
    queues = place.queues()
    queues.ensure(FIFO)
    sent = ["ß" * (MOST_BYTES // 2), "a" * MOST_BYTES, "b", "c" * (MOST_BYTES - 1)]
    queues.send(FIFO, [to(f"g{number}", body) for number, body in enumerate(sent)])
    received = [queues.receive(FIFO, limit=1, wait_seconds=0, visibility_seconds=30)[0].body for _ in sent]
    assert sorted(received) == sorted(sent)


def test_send_when_a_document_has_characters_that_sqs_refuses_then_it_arrives(place: Place) -> None:
    """Whatever a user put into a payload must not stop its execution."""
    queues = place.queues()
    queues.ensure(FIFO)
    queues.send(FIFO, [to("g", json.dumps("\ufffe \uffff \u0000 😀", ensure_ascii=False))])
    (message,) = queues.receive(FIFO, limit=1, wait_seconds=0, visibility_seconds=30)
    assert json.loads(message.body) == "\ufffe \uffff \u0000 😀"


def test_receive_when_more_than_ten_are_wanted_then_they_come_in_order(place: Place) -> None:
    """A limit may be larger than what one request brings."""
    queues = place.queues()
    queues.ensure(FIFO)
    queues.send(FIFO, [to(f"g{number}", str(number)) for number in range(25)])
    received = queues.receive(FIFO, limit=23, wait_seconds=0, visibility_seconds=30)
    assert [message.body for message in received] == [str(number) for number in range(23)]
    assert queues.extend(FIFO, [message.receipt for message in received], 0) == []


@pytest.mark.parametrize("garbage", ["", "garbage", "ß" * 3000])
def test_receipts_when_some_are_garbage_then_they_are_lost_and_the_others_prolonged(place: Place, garbage: str) -> None:
    """A worker that makes up receipts harms nobody's leases."""
    queues = place.queues()
    queues.ensure(FIFO)
    queues.send(FIFO, [to("g", "a")])
    (message,) = queues.receive(FIFO, limit=1, wait_seconds=0, visibility_seconds=30)
    assert queues.extend(FIFO, [garbage, message.receipt], 0) == [garbage]
    (again,) = queues.receive(FIFO, limit=1, wait_seconds=0, visibility_seconds=30)
    queues.delete(FIFO, [garbage, again.receipt])
    assert queues.extend(FIFO, [again.receipt], 0) == [again.receipt]
