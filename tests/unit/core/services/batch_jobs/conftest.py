"""What tests of batch jobs stand on."""

import pytest

from tests.support.place import Place
from tests.unit.core.services.batch_jobs.driven import Driven


@pytest.fixture
def driven(place: Place) -> Driven:
    return Driven(place)
