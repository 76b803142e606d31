"""Payloads as objects of an S3 bucket, named by their content hash."""

import base64
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from levante_core.adapters.aws.calls import Repeats, ServiceRefused, code_of
from levante_core.adapters.dynamodb.calls import Patience
from levante_core.errors import InconsistentHistory
from levante_core.ports.surroundings import Clock

_SHA256 = re.compile(r"[0-9a-f]{64}")

NEW_FOR = timedelta(minutes=30)
"""Payloads put less than this ago are not put anew."""

_ATTEMPTS = 3
_CONNECT_SECONDS, _READ_SECONDS, _CONNECTIONS = 2, 5, 16

_THERE_ALREADY = "PreconditionFailed"
_MISSING = {"404", "NoSuchKey", "NotFound"}


class S3Client(Protocol):
    """The low-level client: parameters and answers as in the API."""

    def put_object(self, **parameters: Any) -> Mapping[str, Any]:
        """Write an object."""
        ...

    def head_object(self, **parameters: Any) -> Mapping[str, Any]:
        """Describe an object."""
        ...

    def get_object(self, **parameters: Any) -> Mapping[str, Any]:
        """Read an object."""
        ...

    def list_objects_v2(self, **parameters: Any) -> Mapping[str, Any]:
        """List objects, at most 1,000."""
        ...

    def delete_objects(self, **parameters: Any) -> Mapping[str, Any]:
        """Delete objects, at most 1,000."""
        ...


class S3Payloads:
    """A payload store in one bucket, for any number of threads and processes.

    Requests that fail in a way that passes are repeated for a while; then Unavailable is raised. ServiceRefused is raised
    for what does not pass, such as a permission or a bucket that is missing.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        prefix: str = "payloads/",
        *,
        clock: Clock,
        patience: Patience | None = None,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._clock = clock
        self._patience = patience or Patience()

    def put(self, place: str, content: bytes) -> str:
        """Keep the content; durable on return, and S3 has checked that it is whole. Returns its SHA-256 in hex.

        A repeat writes nothing if the object was put just now: in a bucket with versions, each write would add a copy. It
        looks at the object's age and checksum instead, and writes anew what is older or damaged.
        Raises: Unavailable; ServiceRefused. Cost: one put; a repeat costs one more request.
        Source: S3 user guide, Conditional writes, and Checking object integrity (read 2026-11-23).
        """
        digest = hashlib.sha256(content).digest()
        sha256, checksum = digest.hex(), base64.b64encode(digest).decode()
        address = self._address(place, sha256)
        put = partial(self._client.put_object, **address, Body=content, ChecksumAlgorithm="SHA256", ChecksumSHA256=checksum)
        repeats = self._repeats("putting", sha256)
        try:
            repeats.call(partial(put, IfNoneMatch="*"))
        except ClientError as error:
            if code_of(error) != _THERE_ALREADY:
                raise _refused("put", sha256, error) from error
            if not self._is_whole(repeats, address, checksum):
                self._mended(repeats, sha256, put)
        return sha256

    def get(self, place: str, sha256: str) -> bytes:
        """Return the content.

        Raises: InconsistentHistory if it is missing or does not have this hash, as nothing has that is no SHA-256 in
        lower-case hex (so no reference leads out of the prefix); Unavailable; ServiceRefused. Cost: one request.
        """
        if not _SHA256.fullmatch(sha256):
            raise InconsistentHistory(f"payload reference {sha256[:80]!r} is not a SHA-256 in hex")

        address = self._address(place, sha256)

        def read() -> bytes:
            return bytes(self._client.get_object(**address)["Body"].read())

        try:
            content = self._repeats("getting", sha256).call(read)
        except ClientError as error:
            if code_of(error) not in _MISSING:
                raise _refused("get", sha256, error) from error
            raise InconsistentHistory(
                f"payload {address['Key']} is missing from the bucket of payloads: restore an earlier version of it"
            ) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise InconsistentHistory(
                f"payload {address['Key']} in the bucket of payloads is damaged: restore an earlier version of it"
            )
        return content

    def keep_only(self, place: str, sha256s: frozenset[str], before: datetime | None) -> None:
        """Delete all else that is at the place since before this time.

        A bucket with versions keeps what was deleted as long as its lifecycle rules say.
        Raises: Unavailable; ServiceRefused. Cost: a listing and a deletion for each 1,000 objects.
        """
        prefix = f"{self._prefix}{place}/"
        wanted: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        repeats = self._repeats("deleting", f"at {prefix}")
        try:
            while True:
                found = repeats.call(partial(self._client.list_objects_v2, **wanted))
                gone = [
                    {"Key": one["Key"]}
                    for one in found.get("Contents", ())
                    if one["Key"].removeprefix(prefix) not in sha256s and (before is None or one["LastModified"] < before)
                ]
                if gone:
                    delete = {"Objects": gone, "Quiet": True}
                    deleted = repeats.call(partial(self._client.delete_objects, Bucket=self._bucket, Delete=delete))
                    if deleted.get("Errors"):
                        raise ServiceRefused(f"payloads at {prefix} cannot be deleted: {deleted['Errors'][0]}")
                if not found.get("IsTruncated"):
                    return
                wanted["ContinuationToken"] = found["NextContinuationToken"]
        except ClientError as error:
            raise _refused("delete", f"at {prefix}", error) from error

    def _is_whole(self, repeats: Repeats, address: Mapping[str, str], checksum: str) -> bool:
        """Ask S3 whether the object is new, and for the checksum kept with it; one that came without counts as damaged."""
        try:
            found = repeats.call(partial(self._client.head_object, **address, ChecksumMode="ENABLED"))
        except ClientError as error:
            if code_of(error) in _MISSING:
                return False
            raise _refused("head", address["Key"], error) from error
        is_new = found["LastModified"] > self._clock.now() - NEW_FOR
        return is_new and bool(found.get("ChecksumSHA256") == checksum)

    def _mended(self, repeats: Repeats, sha256: str, put: Callable[[], Mapping[str, Any]]) -> None:
        try:
            repeats.call(put)
        except ClientError as error:
            raise _refused("put", sha256, error) from error

    def _address(self, place: str, sha256: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}{place}/{sha256}"}

    def _repeats(self, what: str, sha256: str) -> Repeats:
        return Repeats(f"{what} payload {sha256}", self._patience)


def s3_client(*, endpoint_url: str | None = None) -> S3Client:
    """Make a client, to be kept and shared by threads. Region, credentials and endpoint come from the environment.

    endpoint_url: in place of AWS_ENDPOINT_URL. At an endpoint that is not AWS's, buckets are part of the path, as their
    names may lead nowhere there as part of the host. Objects are checked by the hash that is their name, so the client
    computes no checksums of its own.
    """
    is_emulator = bool(endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
        retries={"mode": "adaptive", "total_max_attempts": _ATTEMPTS},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if is_emulator else "auto"},
    )
    return cast("S3Client", boto3.Session().client("s3", endpoint_url=endpoint_url, config=config))


def _refused(operation: str, sha256: str, error: ClientError) -> ServiceRefused:
    return ServiceRefused(f"S3 refuses to {operation} payload {sha256}: {error}")
