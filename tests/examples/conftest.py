"""How the workflows of the examples are run: once in peace, once without memory, and with a worker that dies."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.forms import spread

COMMITS = 10
"""Workers die after each of the first ones; no scenario here depends on more commits than that."""

MODES: Mapping[str, Mapping[str, Any]] = {
    "in-peace": {},
    "always-replay": {"always_replay": True},
    **{f"dies-after-{number}": {"crashes": [number]} for number in range(1, COMMITS + 1)},
    "dies-twice": {"crashes": [2, 4]},
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test every mode; in the short form some of the deaths stand for the others."""
    if "mode" in metafunc.fixturenames:
        metafunc.parametrize("mode", spread(list(MODES), 5), indirect=True)


@pytest.fixture
def mode(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """What a `WorkflowEnvironment` is given. The outcome of a workflow is the same in every mode."""
    return MODES[request.param]
