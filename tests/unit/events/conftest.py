"""What the tests of the events program stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.place import Place, new_place
from tests.unit.events.events_program import EventsProgram


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with new_place(tmp_path) as made:
        yield made


@pytest.fixture
def program(place: Place) -> EventsProgram:
    """The events program, and keys to it."""
    return EventsProgram(place)
