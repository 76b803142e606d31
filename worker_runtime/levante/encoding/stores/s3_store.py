"""Blobs as objects of an S3 bucket. Imported only where one is used: boto3 is in the extra `aws`."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from levante.encoding.errors import BlobMissing, BlobStoreFailed
from levante.encoding.limits import MAX_PAYLOAD_BYTES, OVERHEAD_BYTES, too_large
from levante.encoding.settings import BlobStorageSettings

_ATTEMPTS, _CONNECT_SECONDS, _READ_SECONDS, _CONNECTIONS = 5, 3, 20, 32

_MISSING = {"404", "NoSuchKey", "NotFound"}


class S3Blobs:
    """Objects under a prefix. Requests that fail in a way that passes are repeated by boto3."""

    def __init__(self, client: Any, bucket: str, prefix: str | None = None, most_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        """most_bytes: of a blob that is read."""
        self._most_bytes = most_bytes
        self._client = client
        self._bucket = bucket
        self._prefix = prefix or ""

    def put(self, key: str, content: bytes) -> None:
        """Write the object, also when it is there: that renews it where a lifecycle rule expires objects by age.

        Raises: BlobStoreFailed. Cost: one put.
        """
        try:
            self._client.put_object(**self._place(key), Body=content)
        except (ClientError, BotoCoreError) as error:
            raise self._failed("keep", key, error) from error

    def get(self, key: str) -> bytes:
        """Raises: BlobMissing, BlobStoreFailed; PayloadTooLarge. Cost: one get."""
        try:
            found = self._client.get_object(**self._place(key))
            with found["Body"] as body:
                if found["ContentLength"] > self._most_bytes + OVERHEAD_BYTES:
                    raise too_large(self._most_bytes)
                return bytes(body.read())
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _MISSING:
                raise self._failed("give", key, error) from error
            raise BlobMissing(f"blob {key} is not in bucket {self._bucket}: it has expired, or is elsewhere") from None
        except BotoCoreError as error:
            raise self._failed("give", key, error) from error

    def _place(self, key: str) -> dict[str, str]:
        """Add the prefix as the official client does, which leaves out one that the key begins with already."""
        path = key if key.startswith(self._prefix) else f"{self._prefix}/{key}"
        return {"Bucket": self._bucket, "Key": path}

    def _failed(self, verb: str, key: str, error: Exception) -> BlobStoreFailed:
        return BlobStoreFailed(f"bucket {self._bucket} did not {verb} blob {key}: {error}")


def open_s3(settings: BlobStorageSettings, most_bytes: int = MAX_PAYLOAD_BYTES) -> S3Blobs:
    """Open the bucket of the settings. What they leave out comes from where boto3 finds it: environment, profile, role."""
    given = {
        "region_name": settings.region_name,
        "endpoint_url": settings.endpoint_url,
        "aws_access_key_id": settings.aws_access_key_id and settings.aws_access_key_id.get_secret_value(),
        "aws_secret_access_key": settings.aws_secret_access_key and settings.aws_secret_access_key.get_secret_value(),
    }
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        max_pool_connections=_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )
    client = boto3.Session().client("s3", config=config, **{name: value for name, value in given.items() if value})
    return S3Blobs(client, settings.bucket_name or "", settings.prefix, most_bytes)
