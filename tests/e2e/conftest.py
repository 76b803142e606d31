"""Real processes for every test: a host on this machine, or workers of an installation on an emulator."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployed import Stack
from tests.support.processes import LocalSite, Site


@pytest.fixture
def local_site(tmp_path: Path) -> Iterator[LocalSite]:
    """A running host without workers."""
    site = LocalSite(tmp_path)
    try:
        site.start_host()
        yield site
    finally:
        site.close()


@pytest.fixture(params=["local", pytest.param("deployed", marks=[pytest.mark.emulators, pytest.mark.timeout(900)])])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """An installation without workers."""
    if request.param == "local":
        yield request.getfixturevalue("local_site")
        return
    stack: Stack = request.getfixturevalue("stack")
    site = stack.site(tmp_path)
    try:
        yield site
    finally:
        site.close()
