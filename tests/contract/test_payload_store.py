import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from levante_core.errors import InconsistentHistory
from levante_core.ports.surroundings import PayloadStore


@pytest.mark.parametrize("content", [b"", b"x", b"\x00\xff" * 500_000], ids=["empty", "short", "long"])
def test_get_after_put_returns_the_content(payloads: PayloadStore, content: bytes) -> None:
    """The reference is the SHA-256 of the content, in hex."""
    reference = payloads.put(content)
    assert reference == hashlib.sha256(content).hexdigest()
    assert payloads.get(reference) == content


def test_put_when_repeated_is_harmless(payloads: PayloadStore) -> None:
    """The same content has the same reference, however often and by however many it is put."""
    with ThreadPoolExecutor(8) as pool:
        references = set(pool.map(payloads.put, [b"content"] * 16))
    assert len(references) == 1
    assert payloads.get(references.pop()) == b"content"


def test_get_when_missing_raises_inconsistent_history(payloads: PayloadStore) -> None:
    """A reference without content is a broken invariant, not an empty payload."""
    with pytest.raises(InconsistentHistory):
        payloads.get(hashlib.sha256(b"never put").hexdigest())


@pytest.mark.parametrize("reference", ["", "abc", "../" * 21 + "x", "/etc/passwd", "g" * 64, "A" * 64, "a" * 64 + "\n"])
def test_get_when_the_reference_is_no_hash_raises_inconsistent_history(payloads: PayloadStore, reference: str) -> None:
    """A reference never leads anywhere but to content of this hash."""
    with pytest.raises(InconsistentHistory):
        payloads.get(reference)
