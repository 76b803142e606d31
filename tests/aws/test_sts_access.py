import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from levante_core.adapters.aws.calls import ServiceRefused
from levante_core.adapters.aws.sts import GRANT_SECONDS, WORKER_ACTIONS, StsTaskAccess, queue_arn, session_policy
from levante_core.adapters.dynamodb.calls import Patience
from levante_core.adapters.sqs.queues import SqsQueues
from levante_core.domain.names import Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import Unavailable
from levante_core.protocol.workers import TaskQueue
from levante_core.services.dispatch.sender import queue_name

ROLE = "arn:aws:iam::123456789012:role/stack-WorkerRole-ABC"
REGION = "eu-central-1"
EXPIRES_AT = datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
LONGEST = [queue_name(Workspace("w" * 200), WorkerPool.parse("d" * 128), queue) for queue in TaskQueue]
MINE = [
    queue_name(Workspace("w"), WorkerPool.parse("checkout"), queue) for queue in (TaskQueue.WORKFLOW, TaskQueue.ACTIVITY)
]

MOST_POLICY_CHARACTERS = 2048
"""Source: STS API, AssumeRole, Policy (read 2026-11-23)."""


def error(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Op")


class NoSqs:
    """A client that nobody asks anything."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@dataclass
class FakeSts:
    """Lends to whoever asks, after some failures."""

    failures: Sequence[Exception] = ()
    asked: list[dict[str, Any]] = field(default_factory=list)

    def assume_role(self, **parameters: Any) -> Mapping[str, Any]:
        self.asked.append(parameters)
        if len(self.asked) <= len(self.failures):
            raise self.failures[len(self.asked) - 1]
        lent = {
            "AccessKeyId": "ASIAID",
            "SecretAccessKey": "the-secret",
            "SessionToken": "the-token",
            "Expiration": EXPIRES_AT,
        }
        return {"Credentials": lent}


def access(sts: FakeSts, **options: Any) -> StsTaskAccess:
    pauses: list[float] = []
    patience = Patience(10, lambda: sum(pauses), pauses.append)
    return StsTaskAccess(sts, ROLE, SqsQueues(NoSqs(), "p" * 24), REGION, patience=patience, **options)


def test_grant_when_asked_then_it_names_the_queues_and_lends_for_an_hour() -> None:
    """A worker learns all it needs; times are UTC."""
    sts = FakeSts()
    granted = access(sts).grant(*MINE)
    names = [f"{'p' * 24}_{name}" for name in MINE]
    assert [granted.workflow_queue, granted.activity_queue] == names
    assert granted.region == REGION
    assert granted.credentials.expires_at == EXPIRES_AT
    assert granted.credentials.expires_at.tzinfo == UTC
    (asked,) = sts.asked
    assert (asked["RoleArn"], asked["DurationSeconds"]) == (ROLE, GRANT_SECONDS)
    (statement,) = json.loads(asked["Policy"])["Statement"]
    assert statement["Resource"] == [f"arn:aws:sqs:{REGION}:123456789012:{name}" for name in names]


def test_grant_when_written_to_a_log_then_it_holds_no_secret() -> None:
    """Whoever logs a grant gives nothing away."""
    granted = access(FakeSts()).grant(*MINE)
    assert granted.credentials.secret_access_key == "the-secret"
    assert "the-secret" not in f"{granted!r} {granted}"
    assert "the-token" not in f"{granted!r} {granted}"


def test_grant_when_names_are_longest_then_sts_takes_session_and_policy() -> None:
    """STS allows 64 characters for the one and 2048 for the other. Source: STS API, AssumeRole (read 2026-11-23)."""
    sts = FakeSts()
    access(sts, kms_key_arn=f"arn:aws:kms:{REGION}:123456789012:key/{'k' * 36}").grant(*LONGEST)
    assert re.fullmatch(r"[\w+=,.@-]{2,64}", sts.asked[0]["RoleSessionName"], re.ASCII)
    assert len(sts.asked[0]["Policy"]) <= MOST_POLICY_CHARACTERS


def test_grant_when_sts_throttles_then_it_is_repeated() -> None:
    """What passes is waited out."""
    sts = FakeSts([error("Throttling"), ConnectTimeoutError(endpoint_url="https://sts")])
    assert access(sts).grant(*MINE).credentials.access_key_id == "ASIAID"


def test_grant_when_sts_is_down_then_unavailable_is_raised() -> None:
    """The worker asks again."""
    with pytest.raises(Unavailable, match="assuming"):
        access(FakeSts([error("ServiceUnavailable", 503)] * 1000)).grant(*MINE)


def test_grant_when_the_role_may_not_be_lent_then_that_is_said() -> None:
    """A missing permission does not pass."""
    with pytest.raises(ServiceRefused, match="WorkerRole"):
        access(FakeSts([error("AccessDenied", 403)])).grant(*MINE)


def test_policy_when_made_then_it_allows_taking_messages_from_these_queues_only() -> None:
    """Least privilege: no wildcard, no sending, no other queue."""
    arns = [queue_arn(ROLE, REGION, name) for name in MINE]
    policy = session_policy(arns)
    assert policy["Statement"] == [{"Effect": "Allow", "Action": list(WORKER_ACTIONS), "Resource": arns}]
    assert "*" not in json.dumps(policy)
    assert set(WORKER_ACTIONS) == {
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueUrl",
        "sqs:ReceiveMessage",
    }


def test_policy_when_queues_have_a_key_then_it_allows_reading_with_that_key_only() -> None:
    """Messages that are encrypted with a key of the account's are read with it."""
    key = f"arn:aws:kms:{REGION}:123456789012:key/1234"
    _, statement = session_policy([queue_arn(ROLE, REGION, MINE[0])], kms_key_arn=key)["Statement"]
    assert statement == {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": [key]}


@pytest.mark.parametrize(
    "arn",
    ["*", "arn:aws:sqs:*:123456789012:q", f"arn:aws:sqs:{REGION}:123456789012:*", "queue", f"arn:aws:sqs:{REGION}:1:q"],
)
def test_policy_when_given_anything_but_one_queue_then_none_is_made(arn: str) -> None:
    """A name with a wildcard in it must not become a policy."""
    with pytest.raises(ValueError, match="ARN"):
        session_policy([arn])


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_queue_arn_when_made_then_it_is_in_the_partition_of_the_role(partition: str) -> None:
    """China and GovCloud have names of their own."""
    assert (
        queue_arn(f"arn:{partition}:iam::123456789012:role/a/b", REGION, "q")
        == f"arn:{partition}:sqs:{REGION}:123456789012:q"
    )


@pytest.mark.parametrize("role", ["", "role", "arn:aws:iam::123456789012:user/a", "arn:aws:iam::1:role/a"])
def test_queue_arn_when_the_role_is_none_then_it_is_refused(role: str) -> None:
    """A wrong setting is named, rather than lent."""
    with pytest.raises(ValueError, match="not the ARN of a role"):
        queue_arn(role, REGION, "q")
