"""One host and its workers for all scenarios, and the older client in an environment of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.other_environment import OtherEnvironment
from tests.compat.scenarios.server import DEPLOYMENT, GONE_DEPLOYMENT, SECOND_DEPLOYMENT, Server
from tests.support.deployed import Stack
from tests.support.processes import LocalSite, Site

CROWDS = ("many_wait_at_once", "many_ask_for_one_id", "many_follow_one_execution")
ONE_PROCESS_EACH = "the emulator runs requests that overlap in a process each, and two dozen of those start for minutes"
HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "[deployed" in item.name and any(crowd in item.name for crowd in CROWDS):
            item.add_marker(pytest.mark.skip(reason=ONE_PROCESS_EACH))


@pytest.fixture(
    scope="session", params=["local", pytest.param("deployed", marks=[pytest.mark.emulators, pytest.mark.timeout(900)])]
)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation with a worker of each deployment; that of GONE_DEPLOYMENT has registered and gone."""
    directory = tmp_path_factory.mktemp("compat")
    site: Site
    if request.param == "local":
        site = LocalSite(directory)
        site.start_host()
    else:
        stack: Stack = request.getfixturevalue("stack")
        site = stack.site(directory, workspace="compat")  # its scenarios count workflows, deployments and runs
    try:
        gone = site.start_worker("abandoned", HERE, deployment=GONE_DEPLOYMENT)
        site.start_worker("workflows", HERE, deployment=DEPLOYMENT)
        site.start_worker("workflows:Shared", HERE, deployment=SECOND_DEPLOYMENT)
        for deployment in (GONE_DEPLOYMENT, DEPLOYMENT, SECOND_DEPLOYMENT):
            site.wait_for_workers(1, deployment)
        assert gone.stop() == 0
        yield site
    finally:
        site.close()


@pytest.fixture(scope="session")
def server(site: Site) -> Iterator[Server]:
    """The host, called by the client of this environment."""
    server = Server(site.url, site.key)
    with server.client:
        yield server


@pytest.fixture(scope="session")
def client_2(site: Site) -> Iterator[OtherEnvironment]:
    """The host, called by the client of the other environment. Fails, never skips, where that is not there."""
    python = Path(os.environ.get("LEVANTE_CLIENT_2_PYTHON") or ROOT / ".venv-client-2" / "bin" / "python")
    if not python.exists():
        pytest.fail(
            f"no environment with the official client 2.x: {python} is not there. `make pytest` makes it; "
            "LEVANTE_CLIENT_2_PYTHON names another one (dependency group client-2).",
            pytrace=False,
        )
    environment = OtherEnvironment(python, site.url, site.key, site.directory / "client-2.log")
    try:
        environment.start()
        yield environment
    finally:
        environment.stop()
