"""What several tests of the core stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.place import Place, new_place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with new_place(tmp_path) as made:
        yield made
