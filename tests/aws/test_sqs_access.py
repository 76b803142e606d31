"""Credentials lent to workers, at a place that enforces policies: the queues of one's own deployment, and nothing else."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from levante_core.adapters.aws.sts import StsTaskAccess, sts_client
from levante_core.adapters.sqs.queues import SqsQueues, sqs_client
from levante_core.domain.names import Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.queues import OutgoingMessage
from levante_core.protocol.workers import TaskQueue
from levante_core.services.dispatch.sender import queue_name
from tests.support import emulators
from tests.support.dynamodb_tables import aws_environment

pytestmark = pytest.mark.emulators

PREFIX = "access"


def queue_of(deployment: str, queue: TaskQueue = TaskQueue.WORKFLOW) -> str:
    return queue_name(Workspace("w"), WorkerPool.parse(deployment), queue)


@dataclass
class Lent:
    """A client with lent credentials, and the owner's queues."""

    sqs: Any
    queues: SqsQueues

    def url(self, queue: str) -> str:
        return self.queues.url(queue)


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lent]:
    try:
        started = emulators.ministack(tmp_path_factory.mktemp("ministack") / "log", AUTH="true")
        with started as url, aws_environment(url):
            yield lend(url)
    except emulators.EmulatorMissing as missing:
        pytest.skip(str(missing))


def lend(url: str) -> Lent:
    queues = SqsQueues(sqs_client(), PREFIX)
    for queue in TaskQueue:
        queues.ensure(queue_of("mine", queue))
    queues.ensure(queue_of("other"))
    access = StsTaskAccess(sts_client(), role(), queues, emulators.REGION)
    granted = access.grant(queue_of("mine", TaskQueue.WORKFLOW), queue_of("mine", TaskQueue.ACTIVITY))
    credentials = granted.credentials
    client = boto3.Session().client(
        "sqs",
        endpoint_url=url,
        region_name=granted.region,
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
    )
    assert client.get_queue_url(QueueName=granted.workflow_queue)["QueueUrl"] == queues.url(queue_of("mine"))
    return Lent(client, queues)


def role() -> str:
    """Make a role that may do anything with any queue, so that what is refused is refused by the session's policy."""
    iam: Any = boto3.Session().client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    allowed = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
    made = iam.create_role(
        RoleName="worker", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_role_policy(RoleName="worker", PolicyName="worker", PolicyDocument=document)
    return str(made["Role"]["Arn"])


def test_worker_when_it_takes_from_its_own_queues_then_it_may(lent: Lent) -> None:
    """Receive, prolong, delete: all that a worker does with a task.

    One by one, as ministack 1.5.33 wants permissions for batches by names that IAM does not know: in AWS, whoever may delete
    a message may delete ten. Source: SQS developer guide, Amazon SQS batch actions (read 2026-11-23).
    """
    for queue in TaskQueue:
        name = queue_of("mine", queue)
        lent.queues.send(name, [OutgoingMessage("task", "g", "d")])
        (message,) = lent.sqs.receive_message(QueueUrl=lent.url(name), WaitTimeSeconds=0)["Messages"]
        held = {"QueueUrl": lent.url(name), "ReceiptHandle": message["ReceiptHandle"]}
        lent.sqs.change_message_visibility(**held, VisibilityTimeout=30)
        lent.sqs.delete_message(**held)
        assert lent.sqs.receive_message(QueueUrl=lent.url(name), WaitTimeSeconds=0).get("Messages", []) == []


@pytest.mark.parametrize(
    "attempt",
    [
        lambda sqs, url: sqs.receive_message(QueueUrl=url("other")),
        lambda sqs, url: sqs.delete_message(QueueUrl=url("other"), ReceiptHandle="r"),
        lambda sqs, url: sqs.change_message_visibility(QueueUrl=url("other"), ReceiptHandle="r", VisibilityTimeout=0),
        lambda sqs, url: sqs.send_message(
            QueueUrl=url("mine"), MessageBody="b", MessageGroupId="g", MessageDeduplicationId="x"
        ),
        lambda sqs, url: sqs.purge_queue(QueueUrl=url("mine")),
        lambda sqs, url: sqs.delete_queue(QueueUrl=url("mine")),
        lambda sqs, _: sqs.create_queue(QueueName="more"),
        lambda sqs, _: sqs.list_queues(),
    ],
    ids=["receive", "delete", "extend", "send", "purge", "delete queue", "create", "list"],
)
def test_worker_when_it_tries_anything_else_then_it_may_not(
    lent: Lent, attempt: Callable[[Any, Callable[[str], str]], object]
) -> None:
    """Another deployment's tasks, and tasks that nobody recorded, are out of a worker's reach, whatever its role may do."""
    with pytest.raises(ClientError, match="AccessDenied"):
        attempt(lent.sqs, lambda deployment: lent.url(queue_of(deployment)))
