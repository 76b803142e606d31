"""Fixtures that several files share."""

import pytest

from tests.support.place import Place
from tests.unit.core.services.schedules.sweeps import serve


@pytest.fixture
def served(place: Place) -> Place:
    """Have a workflow that schedules can start."""
    serve(place)
    return place
