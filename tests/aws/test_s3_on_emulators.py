"""What the contract of payload stores does not say, and S3 does: on moto, and on ministack."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from levante_core.adapters.aws.calls import ServiceRefused
from levante_core.adapters.aws.s3 import S3Payloads
from levante_core.adapters.system import SystemClock
from levante_core.errors import InconsistentHistory
from tests.contract.aws_adapters import new_bucket

CONTENT = b"content"
PLACE = "0123456789abcdef" * 2
NAME = f"payloads/{PLACE}/{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture(params=["moto", pytest.param("ministack", marks=pytest.mark.emulators)])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Any, str]]:
    if request.param == "moto":
        with mock_aws(), new_bucket(None) as made:
            yield made
        return
    with new_bucket(request.getfixturevalue("ministack_url")) as made:
        yield made


def versions(place: tuple[Any, str]) -> int:
    client, bucket = place
    return len(client.list_object_versions(Bucket=bucket).get("Versions", []))


def test_put_when_repeated_then_the_bucket_does_not_grow(place: tuple[Any, str]) -> None:
    """A payload that passes through a hundred steps is kept once, in a bucket with versions too."""
    payloads = S3Payloads(*place, clock=SystemClock())
    for _ in range(3):
        payloads.put(PLACE, CONTENT)
    assert versions(place) == 1


def test_put_when_the_object_is_damaged_then_it_is_mended(place: tuple[Any, str]) -> None:
    """Whoever has the content puts things right; until then nobody gets anything else for it."""
    client, bucket = place
    payloads = S3Payloads(client, bucket, clock=SystemClock())
    reference = payloads.put(PLACE, CONTENT)
    client.put_object(Bucket=bucket, Key=NAME, Body=b"other")
    with pytest.raises(InconsistentHistory, match="damaged"):
        payloads.get(PLACE, reference)
    assert payloads.put(PLACE, CONTENT) == reference
    assert payloads.get(PLACE, reference) == CONTENT
    assert versions(place) == 3


def test_put_when_the_object_was_deleted_then_it_is_there_again(place: tuple[Any, str]) -> None:
    """In a bucket with versions, a deleted object is none."""
    client, bucket = place
    payloads = S3Payloads(client, bucket, clock=SystemClock())
    reference = payloads.put(PLACE, CONTENT)
    client.delete_object(Bucket=bucket, Key=NAME)
    with pytest.raises(InconsistentHistory, match="missing"):
        payloads.get(PLACE, reference)
    payloads.put(PLACE, CONTENT)
    assert payloads.get(PLACE, reference) == CONTENT


def test_any_call_when_the_bucket_is_missing_then_it_is_refused_at_once(place: tuple[Any, str]) -> None:
    """A wrong setting is no damaged history, and does not pass."""
    payloads = S3Payloads(place[0], f"{place[1]}-missing", clock=SystemClock())
    with pytest.raises(ServiceRefused):
        payloads.put(PLACE, CONTENT)
    with pytest.raises(ServiceRefused):
        payloads.get(PLACE, hashlib.sha256(CONTENT).hexdigest())
