"""The official client, today's major version and the one before, against a real host with real workers.

The rules are in the docstrings of the scenarios, under `scenarios/`; each runs once per version.
"""

import pytest
from mistralai.client._version import __version__

from tests.compat.other_environment import OtherEnvironment
from tests.compat.scenarios import scenarios
from tests.compat.scenarios.server import Server

# the client warns of calls and fields that its vendor deprecates, even where it reads them itself
pytestmark = pytest.mark.filterwarnings("ignore:.*DEPRECATED.*:DeprecationWarning")

SCENARIOS = scenarios()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_client_3_when_it_plays_a_scenario_then_all_is_as_the_contract_says(server: Server, scenario: str) -> None:
    """The official client 3.x drives the API unchanged."""
    SCENARIOS[scenario](server)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_client_2_when_it_plays_a_scenario_then_all_is_as_the_contract_says(
    client_2: OtherEnvironment, scenario: str
) -> None:
    """The official client 2.x drives the API unchanged; it is in an environment of its own."""
    client_2.run(scenario)


def test_clients_when_asked_for_their_versions_then_they_are_the_two_that_are_meant(client_2: OtherEnvironment) -> None:
    """Neither environment runs the other one's client, and both know all scenarios."""
    assert __version__.startswith("3.")
    assert client_2.hello["client"] == "2.10.1"
    assert client_2.hello["names"] == sorted(SCENARIOS)


def test_scenarios_when_counted_then_none_hides_another_and_each_states_its_rule() -> None:
    """Names are test_<what>_when_<...>_then_<...>, unique over all files; the docstring is the rule."""
    assert len(SCENARIOS) > 50
    assert [name for name in SCENARIOS if not ("_when_" in name and "_then_" in name)] == []
    assert [name for name, scenario in SCENARIOS.items() if not scenario.__doc__] == []
