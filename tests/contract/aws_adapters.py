"""The adapters of SQS and S3 on moto and on ministack, each with queues or a bucket of its own."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
from moto import mock_aws
from moto.sqs import models as moto_sqs

from levante_core.adapters.aws.s3 import S3Payloads, s3_client
from levante_core.adapters.dynamodb.calls import Patience
from levante_core.adapters.sqs.client import full_name
from levante_core.adapters.sqs.queues import SqsQueues, sqs_client
from levante_core.adapters.system import SystemClock
from levante_core.ports.queues import Queues
from levante_core.ports.surroundings import PayloadStore
from tests.support.dynamodb_tables import aws_environment

LONGEST_SLEEP_SECONDS = 15.0

_numbers = itertools.count()


@dataclass(frozen=True)
class QueuesAndTime:
    """Queues, and the way to let time pass for them."""

    queues: Queues
    let_pass: Callable[[float], None]


def sqs_on_moto(_: pytest.FixtureRequest) -> AbstractContextManager[QueuesAndTime]:
    """Queues in this process, with a clock that can be put forward."""
    return _on_moto()


@contextmanager
def _on_moto() -> Iterator[QueuesAndTime]:
    put_forward = 0.0

    def let_pass(more: float) -> None:
        nonlocal put_forward
        put_forward += more

    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(moto_sqs, "unix_time_millis", lambda: 1000 * (time.time() + put_forward))
        patch.setattr(moto_sqs, "unix_time", lambda: time.time() + put_forward)
        yield QueuesAndTime(SqsQueues(_sqs(None), "test", patience=_impatient()), let_pass)


def sqs_on_ministack(request: pytest.FixtureRequest) -> AbstractContextManager[QueuesAndTime]:
    """Queues of a process of its own, whose time is the real one."""
    return _queues_at(request.getfixturevalue("ministack_url"))


@contextmanager
def _queues_at(endpoint_url: str) -> Iterator[QueuesAndTime]:
    client: Any = _sqs(endpoint_url)
    prefix = _new_name()
    try:
        yield QueuesAndTime(SqsQueues(client, prefix, patience=_impatient()), _sleep)
    finally:
        for url in client.list_queues(QueueNamePrefix=full_name(prefix, "")).get("QueueUrls", []):
            client.delete_queue(QueueUrl=url)


def s3_on_moto(_: pytest.FixtureRequest) -> AbstractContextManager[PayloadStore]:
    """A bucket in this process."""
    return _bucket_on_moto()


@contextmanager
def _bucket_on_moto() -> Iterator[PayloadStore]:
    with mock_aws(), new_bucket(None) as (client, bucket):
        yield S3Payloads(client, bucket, clock=SystemClock())


def s3_on_ministack(request: pytest.FixtureRequest) -> AbstractContextManager[PayloadStore]:
    """A bucket in a process of its own."""
    return _bucket_at(request.getfixturevalue("ministack_url"))


@contextmanager
def _bucket_at(endpoint_url: str) -> Iterator[PayloadStore]:
    with new_bucket(endpoint_url) as (client, bucket):
        yield S3Payloads(client, bucket, clock=SystemClock())


@contextmanager
def new_bucket(endpoint_url: str | None) -> Iterator[tuple[Any, str]]:
    """Make a bucket for one test, with versions as the template's has."""
    client: Any = _s3(endpoint_url)
    bucket = _new_name()
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    try:
        yield client, bucket
    finally:
        versions = client.list_object_versions(Bucket=bucket)
        for one in [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]:
            client.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
        client.delete_bucket(Bucket=bucket)


def _new_name() -> str:
    return f"test-{os.getpid()}-{next(_numbers)}"


@cache
def _sqs(endpoint_url: str | None) -> Any:
    """Return a client that all tests share: making one takes longer than most tests."""
    with aws_environment(endpoint_url):
        return sqs_client()


@cache
def _s3(endpoint_url: str | None) -> Any:
    with aws_environment(endpoint_url):
        return s3_client()


def _impatient() -> Patience:
    """Emulators need no second to settle after a queue was made."""
    return replace(Patience(), sleep=lambda seconds: time.sleep(min(seconds, 0.05)))


def _sleep(seconds: float) -> None:
    if seconds > LONGEST_SLEEP_SECONDS:
        pytest.skip(f"would take {seconds:g} s: the emulator's clock cannot be put forward")
    time.sleep(seconds)
