"""What the activities of one test did is no concern of the next one's, and runs that are kept are thrown away."""

import pytest

from tests.support.disposal import runs_are_thrown_away
from tests.unit.levante.worker.runs.flows import RAN

__all__ = ["runs_are_thrown_away"]


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    RAN.clear()
