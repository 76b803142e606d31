import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from levante_core.errors import InconsistentHistory
from levante_core.ports.surroundings import PayloadStore

PLACE, OTHER_PLACE = "0123456789abcdef" * 2, "f" * 32
EARLIER, LATER = (datetime(year, 1, 1, tzinfo=UTC) for year in (2020, 2200))


@pytest.mark.parametrize("content", [b"", b"x", b"\x00\xff" * 500_000], ids=["empty", "short", "long"])
def test_get_after_put_returns_the_content(payloads: PayloadStore, content: bytes) -> None:
    """The reference is the SHA-256 of the content, in hex."""
    reference = payloads.put(PLACE, content)
    assert reference == hashlib.sha256(content).hexdigest()
    assert payloads.get(PLACE, reference) == content


def test_put_when_repeated_is_harmless(payloads: PayloadStore) -> None:
    """The same content has the same reference, however often and by however many it is put."""
    with ThreadPoolExecutor(8) as pool:
        references = set(pool.map(lambda _: payloads.put(PLACE, b"content"), range(16)))
    assert len(references) == 1
    assert payloads.get(PLACE, references.pop()) == b"content"


def test_get_when_missing_raises_inconsistent_history(payloads: PayloadStore) -> None:
    """A reference without content is a broken invariant, not an empty payload."""
    with pytest.raises(InconsistentHistory):
        payloads.get(PLACE, hashlib.sha256(b"never put").hexdigest())


@pytest.mark.parametrize("reference", ["", "abc", "../" * 21 + "x", "/etc/passwd", "g" * 64, "A" * 64, "a" * 64 + "\n"])
def test_get_when_the_reference_is_no_hash_raises_inconsistent_history(payloads: PayloadStore, reference: str) -> None:
    """A reference never leads anywhere but to content of this hash."""
    with pytest.raises(InconsistentHistory):
        payloads.get(PLACE, reference)


def test_get_at_another_place_raises_inconsistent_history(payloads: PayloadStore) -> None:
    """Nothing is shared between places, not even what is the same: each can be cleared by itself."""
    reference = payloads.put(PLACE, b"content")
    with pytest.raises(InconsistentHistory):
        payloads.get(OTHER_PLACE, reference)


def test_keep_only_when_told_what_and_since_when_then_all_else_there_is_deleted(payloads: PayloadStore) -> None:
    """What is still referred to stays, and what is newer, and what is elsewhere; nothing there is fine, too."""
    kept, gone = (payloads.put(PLACE, content) for content in (b"kept", b"gone"))
    elsewhere = payloads.put(OTHER_PLACE, b"gone")
    payloads.keep_only(PLACE, frozenset({kept}), EARLIER)
    assert payloads.get(PLACE, gone) == b"gone"
    payloads.keep_only(PLACE, frozenset({kept}), LATER)
    assert payloads.get(PLACE, kept) == b"kept"
    assert payloads.get(OTHER_PLACE, elsewhere) == b"gone"
    with pytest.raises(InconsistentHistory):
        payloads.get(PLACE, gone)
    for _ in range(2):
        payloads.keep_only(PLACE, frozenset(), None)
    with pytest.raises(InconsistentHistory):
        payloads.get(PLACE, kept)
    assert payloads.get(PLACE, payloads.put(PLACE, b"back")) == b"back"
