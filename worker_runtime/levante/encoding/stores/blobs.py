"""Blobs: where offloaded payloads are kept, under which keys, and what is checked when one comes back."""

from __future__ import annotations

import hashlib
import re
from typing import Protocol
from urllib.parse import quote

from levante.encoding.errors import PayloadDamaged, PayloadMisplaced
from levante.encoding.limits import OVERHEAD_BYTES, too_large
from levante.encoding.wire import PayloadContext

PAYLOAD_PREFIX = "temporal-payload"
FIELD_PREFIX = "temporal-activity-payload"

_NAME = re.compile(r"sha256:([0-9a-f]{64})")


class BlobStore(Protocol):
    """Keeps bytes under a key, for any number of threads and processes. It deletes nothing: expiry is its owner's affair."""

    def put(self, key: str, content: bytes) -> None:
        """Keep the content; durable on return. A repeat is harmless, and starts a new term where blobs expire by age.

        Raises: BlobStoreFailed.
        """
        ...

    def get(self, key: str) -> bytes:
        """Return the content. Raises: BlobMissing, BlobStoreFailed; PayloadTooLarge if it knows a limit."""
        ...


def namespace_folder(prefix: str, namespace: str) -> str:
    """Return what the keys of a namespace begin with."""
    return f"{prefix}/{quote(namespace, safe='')}"


def execution_folder(prefix: str, context: PayloadContext) -> str:
    """Return what the keys of an execution begin with. Source: REST contract, section 6 (read 2026-11-23)."""
    return f"{namespace_folder(prefix, context.namespace)}/{quote(context.execution_id, safe='')}"


def keep(store: BlobStore, folder: str, content: bytes) -> str:
    """Keep the content under its hash. Returns the key."""
    key = f"{folder}/sha256:{hashlib.sha256(content).hexdigest()}"
    store.put(key, content)
    return key


def fetch(store: BlobStore, key: str, most_bytes: int) -> bytes:
    """Return what is kept under a key, if it has the hash that the key names.

    Raises: PayloadTooLarge; PayloadMisplaced when the key names no hash; PayloadDamaged; BlobMissing; BlobStoreFailed.
    """
    name = _NAME.fullmatch(key.rpartition("/")[2])
    if name is None:
        raise PayloadMisplaced("the reference of an offloaded payload names no hash")
    content = store.get(key)
    if len(content) > most_bytes + OVERHEAD_BYTES:
        raise too_large(most_bytes)
    if hashlib.sha256(content).hexdigest() != name[1]:
        raise PayloadDamaged(f"the blob {key} is not what was kept under this key: it was cut or replaced")
    return content


def folder_of(key: str) -> str:
    """Return what stands before the hash."""
    return key.rpartition("/")[0]
