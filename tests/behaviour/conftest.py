"""The real host, which all behaviours share."""

from collections.abc import Iterator

import pytest

from tests.behaviour.modes import start_worker
from tests.support.processes import LocalSite


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    """A host, and a worker that serves the programs."""
    site = LocalSite(tmp_path_factory.mktemp("behaviour"))
    try:
        site.start_host()
        start_worker(site)
        site.wait_for_workers(1)
        yield site
    finally:
        site.close()
