"""Payloads as objects of an S3 bucket, named by their content hash."""

import base64
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from levante_core.adapters.aws_calls import Repeats, ServiceRefused, code_of
from levante_core.adapters.dynamodb_calls import Patience
from levante_core.errors import InconsistentHistory

_SHA256 = re.compile(r"[0-9a-f]{64}")

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


class S3Payloads:
    """A payload store in one bucket, for any number of threads and processes.

    Requests that fail in a way that passes are repeated for a while; then Unavailable is raised. ServiceRefused is raised
    for what does not pass, such as a permission or a bucket that is missing.
    """

    def __init__(
        self, client: S3Client, bucket: str, prefix: str = "payloads/", *, patience: Patience | None = None
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._patience = patience or Patience()

    def put(self, content: bytes) -> str:
        """Keep the content; durable on return, and S3 has checked that it is whole. Returns its SHA-256 in hex.

        A repeat writes nothing if the object is there: in a bucket with versions, each write would add a copy. It looks at
        the object's checksum instead, and mends one that is damaged.
        Raises: Unavailable; ServiceRefused. Cost: one put; a repeat costs one more request.
        Source: S3 user guide, Conditional writes, and Checking object integrity (read 2026-11-23).
        """
        digest = hashlib.sha256(content).digest()
        sha256, checksum = digest.hex(), base64.b64encode(digest).decode()
        place = self._place(sha256)
        put = partial(self._client.put_object, **place, Body=content, ChecksumAlgorithm="SHA256", ChecksumSHA256=checksum)
        repeats = self._repeats("putting", sha256)
        try:
            repeats.call(partial(put, IfNoneMatch="*"))
        except ClientError as error:
            if code_of(error) != _THERE_ALREADY:
                raise _refused("put", sha256, error) from error
            if not self._is_whole(repeats, sha256, checksum):
                self._mended(repeats, sha256, put)
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return the content.

        Raises: InconsistentHistory if it is missing or does not have this hash, as nothing has that is no SHA-256 in
        lower-case hex (so no reference leads out of the prefix); Unavailable; ServiceRefused. Cost: one request.
        """
        if not _SHA256.fullmatch(sha256):
            raise InconsistentHistory(f"payload reference {sha256[:80]!r} is not a SHA-256 in hex")

        def read() -> bytes:
            return bytes(self._client.get_object(**self._place(sha256))["Body"].read())

        try:
            content = self._repeats("getting", sha256).call(read)
        except ClientError as error:
            if code_of(error) not in _MISSING:
                raise _refused("get", sha256, error) from error
            raise InconsistentHistory(
                f"payload {sha256} is missing from bucket {self._bucket}: restore an earlier version of it"
            ) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise InconsistentHistory(
                f"payload {sha256} in bucket {self._bucket} is damaged: restore an earlier version of it"
            )
        return content

    def _is_whole(self, repeats: Repeats, sha256: str, checksum: str) -> bool:
        """Ask S3 for the checksum that it keeps with the object. An object that came without one counts as damaged."""
        try:
            found = repeats.call(partial(self._client.head_object, **self._place(sha256), ChecksumMode="ENABLED"))
        except ClientError as error:
            if code_of(error) in _MISSING:
                return False
            raise _refused("head", sha256, error) from error
        return bool(found.get("ChecksumSHA256") == checksum)

    def _mended(self, repeats: Repeats, sha256: str, put: Callable[[], Mapping[str, Any]]) -> None:
        try:
            repeats.call(put)
        except ClientError as error:
            raise _refused("put", sha256, error) from error

    def _place(self, sha256: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}{sha256}"}

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
