"""What the tests of the dispatcher stand on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.services.dispatch.repair import RepairService
from levante_core.services.dispatch.timers import DueService
from levante_core.services.engine import build_engine
from levante_dispatcher.handlers import DispatcherHandlers, build_handlers
from levante_local.change_watch import LocalChangeWatch
from tests.support.place import RETENTION, Place, new_place


@pytest.fixture
def spans() -> list[bytes]:
    """What was exported: one request each."""
    return []


@pytest.fixture
def place(tmp_path: Path, spans: list[bytes]) -> Iterator[Place]:
    """An installation whose traces are exported, and where only the feed sends what was written."""
    with new_place(tmp_path) as made:
        items = OffloadingStore(made.store, made.payloads)
        engine = build_engine(
            items,
            made.queues,
            made.clock,
            RandomIds(),
            LocalChangeWatch(),
            fast_path=False,
            retention=RETENTION,
            send_spans=spans.append,
        )
        yield replace(made, engine=engine)


@pytest.fixture
def handlers(place: Place) -> DispatcherHandlers:
    return build_handlers(place.engine, OffloadingStore(place.store, place.payloads).resolved)


@pytest.fixture
def _only_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sweeps do nothing but try again what is parked."""
    monkeypatch.setattr(DueService, "sweep", lambda _: None)
    monkeypatch.setattr(RepairService, "sweep", lambda _: None)
