from datetime import timedelta
from uuid import UUID

from levante_core.adapters.system import RandomIds, SystemClock


def test_now_is_in_utc() -> None:
    """Times are aware, and never go by the machine's zone."""
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_ids_are_new_each_time_and_in_their_form() -> None:
    """A random UUID, and a secret of at least 256 bits that fits into a URL."""
    ids = RandomIds()
    uuids = {ids.uuid() for _ in range(100)}
    secrets = {ids.secret() for _ in range(100)}
    assert len(uuids) == len(secrets) == 100
    assert all(str(UUID(text)) == text and UUID(text).version == 4 for text in uuids)
    assert all(len(text) * 6 >= 256 and text.replace("-", "").replace("_", "").isalnum() for text in secrets)
