import hashlib
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws
from pydantic import SecretStr

from levante.encoding import BlobMissing, BlobStorageSettings, BlobStore, BlobStoreFailed, EncodingMisconfigured
from levante.encoding.stores.s3_store import S3Blobs
from levante.encoding.stores.stores import ENTRY_POINTS, open_blob_store
from tests.unit.levante.encoding.harness import Blobs

KEY = f"temporal-payload/a%20b/order-1/sha256:{hashlib.sha256(b'content').hexdigest()}"


@pytest.fixture(params=["directory", "s3"], scope="module")
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlobStore]:
    if request.param == "directory":
        directory = tmp_path_factory.mktemp("store") / "new" / "blobs"
        yield open_blob_store(BlobStorageSettings(storage_provider="directory", directory=str(directory)))
        return
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="payloads")
        yield open_blob_store(
            BlobStorageSettings(
                bucket_name="payloads",
                region_name="us-east-1",
                prefix="team",
                aws_access_key_id=SecretStr("k"),
                aws_secret_access_key=SecretStr("s"),
            )
        )


def test_blob_when_kept_then_it_is_given_back(store: BlobStore) -> None:
    """Bytes come back as they were, empty ones too, and the last write of a key counts."""
    for content in (b"", b"first", bytes(range(256)) * 1000):
        store.put(KEY, content)
        assert store.get(KEY) == content


def test_blob_when_never_kept_then_it_is_missing(store: BlobStore) -> None:
    """A key without a blob is an error of its own class, and names the key."""
    store.put(KEY, b"content")
    with pytest.raises(BlobMissing, match="order-2"):
        store.get(KEY.replace("order-1", "order-2"))


@pytest.mark.parametrize("key", ["../../outside", "/outside", "a/../../outside", "x" * 2000, "nul\0byte"])
def test_directory_when_a_key_is_hostile_then_the_file_is_inside(tmp_path: Path, key: str) -> None:
    """No key leads out of the directory, or is too long for a file name."""
    inside = tmp_path / "inside"
    store = open_blob_store(BlobStorageSettings(storage_provider="directory", directory=str(inside)))
    store.put(key, b"content")
    assert store.get(key) == b"content"
    assert list(tmp_path.iterdir()) == [inside]
    assert len(list(inside.iterdir())) == 1


def test_directory_when_it_is_a_file_then_the_store_fails(tmp_path: Path) -> None:
    """The error of the file system is told as a failure of the store."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BlobStoreFailed, match="cannot make"):
        open_blob_store(BlobStorageSettings(storage_provider="directory", directory=str(tmp_path / "file" / "blobs")))


def test_directory_when_it_is_gone_then_the_store_fails_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """A failed write is an error, not a blob."""
    store = open_blob_store(BlobStorageSettings(storage_provider="directory", directory=str(tmp_path / "blobs")))
    (tmp_path / "blobs").rmdir()
    with pytest.raises(BlobStoreFailed, match="cannot write"):
        store.put(KEY, b"content")
    assert list(tmp_path.iterdir()) == []


def test_directory_when_a_write_fails_half_way_then_no_file_is_left(tmp_path: Path) -> None:
    """What is written beside the file goes away with the failure."""
    store = open_blob_store(BlobStorageSettings(storage_provider="directory", directory=str(tmp_path)))
    (tmp_path / hashlib.sha256(KEY.encode()).hexdigest() / "in-the-way").mkdir(parents=True)
    with pytest.raises(BlobStoreFailed, match="cannot write"):
        store.put(KEY, b"content")
    with pytest.raises(BlobStoreFailed, match="cannot read"):
        store.get(KEY)
    assert len(list(tmp_path.iterdir())) == 1


class Refusing:
    """An S3 client that has one answer."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def put_object(self, **_: Any) -> Any:
        raise self._error

    def get_object(self, **_: Any) -> Any:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Op"),
        ClientError({"Error": {"Code": "NoSuchBucket", "Message": "no"}}, "Op"),
        EndpointConnectionError(endpoint_url="https://s3"),
    ],
)
@pytest.mark.parametrize("call", [lambda store: store.put(KEY, b""), lambda store: store.get(KEY)], ids=["put", "get"])
def test_bucket_when_it_refuses_then_the_store_failed(error: Exception, call: Callable[[BlobStore], object]) -> None:
    """What is not a missing blob may be mended without the payload being lost."""
    with pytest.raises(BlobStoreFailed, match="payloads"):
        call(S3Blobs(Refusing(error), "payloads"))


class Recording:
    def __init__(self) -> None:
        self.keys: list[str] = []

    def put_object(self, **parameters: Any) -> None:
        self.keys.append(parameters["Key"])


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        (None, "temporal-payload/k"),
        ("", "temporal-payload/k"),
        ("team", "team/temporal-payload/k"),
        ("temporal", "temporal-payload/k"),
    ],
)
def test_prefix_when_set_then_it_is_joined_as_the_official_client_does(prefix: str | None, key: str) -> None:
    """Both sides have to find each other's objects, down to prefixes that keys begin with by chance."""
    client = Recording()
    S3Blobs(client, "payloads", prefix).put("temporal-payload/k", b"")
    assert client.keys == [key]


def test_provider_when_an_entry_point_offers_it_then_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other packages bring stores such as azure; what they get are the settings."""
    offered = EntryPoints([EntryPoint("azure", "tests.unit.levante.encoding.harness:open_container", ENTRY_POINTS)])
    monkeypatch.setattr("levante.encoding.stores.stores.entry_points", lambda group: offered.select(group=group))
    opened = open_blob_store(BlobStorageSettings(storage_provider="azure", container_name="c"))
    opened.put("k", b"content")
    assert isinstance(opened, Blobs)
    assert opened.kept == {"c/k": b"content"}


def test_s3_when_boto3_is_not_installed_then_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 is in an extra of its own."""
    monkeypatch.delitem(sys.modules, "levante.encoding.stores.s3_store", raising=False)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(EncodingMisconfigured, match=r"needs boto3: pip install 'levante\[aws\]'"):
        open_blob_store(BlobStorageSettings(bucket_name="payloads"))


@pytest.mark.parametrize("provider", ["azure", "gcs", "S3"])
def test_provider_when_nothing_offers_it_then_the_error_says_how_to_add_one(provider: str) -> None:
    """A provider without an adapter is refused at the start."""
    with pytest.raises(EncodingMisconfigured, match=r"there are directory, s3.*levante\.blob_stores"):
        open_blob_store(BlobStorageSettings(storage_provider=provider))
