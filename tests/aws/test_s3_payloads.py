import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, IncompleteReadError, NoCredentialsError, ReadTimeoutError

from levante_core.adapters.aws.calls import ServiceRefused
from levante_core.adapters.aws.s3 import NEW_FOR, S3Payloads
from levante_core.adapters.dynamodb.calls import Patience
from levante_core.errors import InconsistentHistory, Unavailable
from tests.fakes import FakeClock

NOW = FakeClock().now()
CONTENT = b"content"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PLACE = "0123456789abcdef" * 2
KEY = f"payloads/{PLACE}/{SHA256}"


def error(code: str, status: int = 400) -> ClientError:
    """Build an error as botocore parses it from an answer."""
    return ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Op")


PASSING = [
    error("SlowDown", 503),
    error("InternalError", 500),
    error("RequestTimeout", 400),
    error("ConditionalRequestConflict", 409),
    ReadTimeoutError(endpoint_url="https://s3"),
]
REFUSED = [error("AccessDenied", 403), error("NoSuchBucket", 404), NoCredentialsError()]
OPERATIONS = ["put_object", "head_object", "get_object"]


class BrokenBody:
    def read(self) -> bytes:
        raise IncompleteReadError(actual_bytes=1, expected_bytes=2)


def checksum(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


@dataclass
class FlakyS3:
    """A bucket that keeps objects and their checksums, unless a failure is next. failures: by operation, in order."""

    failures: Mapping[str, Sequence[Exception | None]] = field(default_factory=dict)
    for_ever: bool = False
    put_at: datetime = NOW
    undeletable: bool = False
    objects: dict[str, tuple[bytes, str | None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    writes: int = 0
    broken_reads: int = 0

    def put_object(self, **parameters: Any) -> Mapping[str, Any]:
        self._asked("put_object")
        if parameters.get("IfNoneMatch") == "*" and parameters["Key"] in self.objects:
            raise error("PreconditionFailed", 412)
        assert parameters["ChecksumSHA256"] == checksum(parameters["Body"])
        self.objects[parameters["Key"]] = parameters["Body"], parameters["ChecksumSHA256"]
        self.writes += 1
        return {}

    def head_object(self, **parameters: Any) -> Mapping[str, Any]:
        self._asked("head_object")
        if parameters["Key"] not in self.objects:
            raise error("404", 404)
        _, kept = self.objects[parameters["Key"]]
        checksums = {"ChecksumSHA256": kept} if kept else {}
        return {"LastModified": self.put_at, **checksums}

    def get_object(self, **parameters: Any) -> Mapping[str, Any]:
        self._asked("get_object")
        if parameters["Key"] not in self.objects:
            raise error("NoSuchKey", 404)
        if self.broken_reads:
            self.broken_reads -= 1
            return {"Body": BrokenBody()}
        return {"Body": io.BytesIO(self.objects[parameters["Key"]][0])}

    def list_objects_v2(self, **parameters: Any) -> Mapping[str, Any]:
        self._asked("list_objects_v2")
        found = sorted(key for key in self.objects if key.startswith(parameters["Prefix"]))
        after = parameters.get("ContinuationToken", "")
        page = [key for key in found if key > after][:1000]
        contents = [{"Key": key, "LastModified": self.put_at} for key in page]
        if not page or page[-1] == found[-1]:
            return {"Contents": contents, "IsTruncated": False}
        return {"Contents": contents, "IsTruncated": True, "NextContinuationToken": page[-1]}

    def delete_objects(self, **parameters: Any) -> Mapping[str, Any]:
        self._asked("delete_objects")
        if self.undeletable:
            return {"Errors": [{"Key": one["Key"], "Code": "AccessDenied"} for one in parameters["Delete"]["Objects"]]}
        for one in parameters["Delete"]["Objects"]:
            del self.objects[one["Key"]]
        return {}

    def _asked(self, operation: str) -> None:
        failures = self.failures.get(operation, ())
        number = self.asked.count(operation)
        self.asked.append(operation)
        if self.for_ever:
            number = min(number, len(failures) - 1)
        failure = failures[number] if 0 <= number < len(failures) else None
        if failure:
            raise failure


@dataclass
class Site:
    """A payload store on a flaky S3, whose time passes only in pauses."""

    s3: FlakyS3
    payloads: S3Payloads
    pauses: list[float]


def site(failures: Mapping[str, Sequence[Exception | None]] | None = None, *, for_ever: bool = False) -> Site:
    s3 = FlakyS3(failures or {}, for_ever=for_ever)
    pauses: list[float] = []
    patience = Patience(10, lambda: sum(pauses), pauses.append)
    return Site(s3, S3Payloads(s3, "bucket", clock=FakeClock(), patience=patience), pauses)


def use(here: Site, operation: str) -> None:
    """Make the store need an operation."""
    if operation != "put_object":
        here.s3.objects[KEY] = CONTENT, checksum(CONTENT)
    if operation == "get_object":
        assert here.payloads.get(PLACE, SHA256) == CONTENT
    else:
        assert here.payloads.put(PLACE, CONTENT) == SHA256
    assert here.s3.objects[KEY][0] == CONTENT


@pytest.mark.parametrize("failure", PASSING, ids=str)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_call_when_a_failure_passes_then_it_is_repeated(operation: str, failure: Exception) -> None:
    """Throttling, faults of the service, lost connections and writers that race are waited out."""
    here = site({operation: [failure, failure]})
    use(here, operation)
    assert here.s3.asked.count(operation) == 3


@pytest.mark.parametrize("operation", OPERATIONS)
def test_call_when_a_failure_stays_then_unavailable_is_raised_in_time(operation: str) -> None:
    """Patience ends; whoever called may call again."""
    here = site({operation: [PASSING[0]]}, for_ever=True)
    with pytest.raises(Unavailable, match=SHA256):
        use(here, operation)
    assert sum(here.pauses) <= 10


@pytest.mark.parametrize("failure", REFUSED, ids=str)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_call_when_refused_then_that_is_said_at_once(operation: str, failure: Exception) -> None:
    """A missing permission or bucket is neither a damaged history nor something to wait for."""
    here = site({operation: [failure]})
    with pytest.raises(ServiceRefused):
        use(here, operation)
    assert here.pauses == []


def test_get_when_the_connection_breaks_while_reading_then_it_reads_again() -> None:
    """Half an answer is none."""
    here = site()
    here.s3.broken_reads = 2
    use(here, "get_object")


def test_put_when_the_object_is_whole_then_it_is_not_written_again() -> None:
    """A repeat adds no version to the bucket."""
    here = site()
    for _ in range(3):
        here.payloads.put(PLACE, CONTENT)
    assert here.s3.writes == 1


def test_put_when_the_object_is_old_then_it_is_written_anew() -> None:
    """Who deletes what nobody refers to, and is old, must not take what is about to be referred to."""
    here = site()
    here.payloads.put(PLACE, CONTENT)
    here.s3.put_at = NOW - NEW_FOR
    here.payloads.put(PLACE, CONTENT)
    assert here.s3.writes == 2


def test_keep_only_when_there_are_many_objects_then_each_page_is_dealt_with() -> None:
    """A listing has 1,000 at a time, and as many can be deleted at once."""
    here = site()
    for number in range(2500):
        here.s3.objects[f"payloads/{PLACE}/{number}"] = b"", None
    here.s3.objects["payloads/other/1"] = b"", None
    here.payloads.keep_only(PLACE, frozenset({"7", "2000"}), None)
    assert set(here.s3.objects) == {f"payloads/{PLACE}/7", f"payloads/{PLACE}/2000", "payloads/other/1"}


@pytest.mark.parametrize("operation", ["list_objects_v2", "delete_objects"])
def test_keep_only_when_refused_then_that_is_said(operation: str) -> None:
    """A missing permission does not pass; what is said of single objects counts as well."""
    here = site({operation: [error("AccessDenied", 403)]})
    here.s3.objects[KEY] = CONTENT, None
    with pytest.raises(ServiceRefused, match="AccessDenied"):
        here.payloads.keep_only(PLACE, frozenset(), None)
    protected = site()
    protected.s3.objects[KEY] = CONTENT, None
    protected.s3.undeletable = True
    with pytest.raises(ServiceRefused, match="AccessDenied"):
        protected.payloads.keep_only(PLACE, frozenset(), None)


@pytest.mark.parametrize("kept", [checksum(b"other"), None], ids=["damaged", "no checksum"])
def test_put_when_the_object_is_not_known_to_be_whole_then_it_is_mended(kept: str | None) -> None:
    """What `put` has accepted can be read, whatever was there before."""
    here = site()
    here.s3.objects[KEY] = b"other", kept
    here.payloads.put(PLACE, CONTENT)
    assert here.payloads.get(PLACE, SHA256) == CONTENT


def test_put_when_the_object_goes_away_meanwhile_then_it_is_written() -> None:
    """There when it was put, gone when it was looked at: a store that says yes has to have it."""
    here = site({"head_object": [error("404", 404)]})
    here.s3.objects[KEY] = CONTENT, checksum(CONTENT)
    here.payloads.put(PLACE, CONTENT)
    assert here.s3.writes == 1


def test_put_when_mending_is_refused_then_that_is_said() -> None:
    """A damaged object that we may not write stays one."""
    here = site({"put_object": [None, error("AccessDenied", 403)]})
    here.s3.objects[KEY] = b"other", None
    with pytest.raises(ServiceRefused):
        here.payloads.put(PLACE, CONTENT)


def test_get_when_the_content_is_another_then_inconsistent_history_is_raised() -> None:
    """The name is a promise of the content."""
    here = site()
    here.s3.objects[KEY] = b"other", None
    with pytest.raises(InconsistentHistory, match="damaged"):
        here.payloads.get(PLACE, SHA256)


@pytest.mark.parametrize("reference", ["", "../secret", "A" * 64, SHA256 + "\n"])
def test_get_when_the_reference_is_no_hash_then_nothing_is_asked(reference: str) -> None:
    """No reference leads out of the prefix."""
    here = site()
    with pytest.raises(InconsistentHistory):
        here.payloads.get(PLACE, reference)
    assert here.s3.asked == []
