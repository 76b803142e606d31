"""What the tests of the writer stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.local.sqlite.writing import Opened


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made = Opened(tmp_path / "items.sqlite")
    yield made
    made.writer.close()


@pytest.fixture
def on_loop(tmp_path: Path) -> Iterator[Opened]:
    made = Opened(tmp_path / "items.sqlite", on_loop=True)
    yield made
    made.writer.close()
