"""Real processes for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A running host without workers."""
    site = Site(tmp_path)
    try:
        site.start_host()
        yield site
    finally:
        site.close()
