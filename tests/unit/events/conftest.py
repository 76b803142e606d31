"""What the tests of the events program stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.place import Place, new_place
from tests.unit.events.gate import Authentication


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with new_place(tmp_path) as made:
        yield made


@pytest.fixture
def gate(place: Place) -> Authentication:
    """The events program, and keys to it."""
    return Authentication(place)
