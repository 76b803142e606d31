from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.api.harness import Api, build


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    built = build(tmp_path)
    yield built
    for close in built.closers:
        close()
