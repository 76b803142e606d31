"""The wide poison matrix: every item of a store that was lived in, each part of it damaged in each way, and every loop.

Nothing here names the kinds of items: they are found in the store. Neighbours complete, no loop raises, the host starts again, and
whoever asks after the victim gets an answer, or hears what cannot be read. What was mended goes on.
"""

import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from levante_api.app import ApiSettings, create_app
from levante_core.adapters.images import stream_record
from levante_core.answers import GENERIC
from levante_core.domain.execution import RunKey
from levante_core.ports.item_store import Change, Delete, Item, Put
from levante_local.sqlite_store import SqliteItemStore
from tests.fakes import FakeClock
from tests.integration.api.harness import Answer, decoded, event
from tests.support.damages import Damaged, damages_of
from tests.support.lived_in import OWN, SECRETS, all_items, is_of_the_victim, kind_of, kinds_of_keys, live_in, shape_of
from tests.support.poison import HOME, NEIGHBOURS, VICTIM, Plant

EACH = 3
OF_THE_DEPLOYMENT = {"W W", "W D", "I", "D D", "D W", "D G", "D B", "B"}
"""Kinds of items that executions of one deployment share: the others of it may wait until one is mended."""
OF_EVERYBODY = {"CAPABILITIES"}
"""Nobody gets a task without it."""
READ = (
    ("GET", "/v1/parked"),
    ("GET", f"/v1/workflows/executions/{VICTIM}"),
    ("GET", f"/v1/workflows/executions/{VICTIM}/history"),
    ("GET", f"/v1/workflows/executions/{VICTIM}/trace/summary"),
    ("GET", "/v1/workflows/runs/{run_id}"),
    ("GET", "/v1/workflows/runs/{run_id}/history"),
    ("GET", "/v1/workflows/runs"),
    ("GET", "/v1/workflows"),
    ("GET", "/v1/workflows/registrations"),
    ("GET", "/v1/workflows/deployments"),
    ("GET", "/v1/workflows/deployments/own"),
    ("GET", "/v1/workflows/schedules"),
    ("GET", "/v1/keys"),
)
ALWAYS = {"/v1/parked", "/v1/workflows/runs", "/v1/workflows", "/v1/workflows/schedules", "/v1/keys"}
"""Listings: one item that cannot be read takes nothing from the others."""


@dataclass
class LivedIn:
    """The data of a plant that is copied for each case."""

    directory: Path
    clock: FakeClock
    run: RunKey
    items: list[Item]


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> LivedIn:
    directory = tmp_path_factory.mktemp("lived-in")
    with closing(SqliteItemStore(directory / "items.db", "OFF")) as store:
        plant = Plant(store, directory)
        run = live_in(plant)
        return LivedIn(directory, plant.clock, run, list(all_items(plant)))


def test_plant_when_it_was_lived_in_then_it_has_an_item_of_each_kind(lived_in: LivedIn) -> None:
    """A new kind of key is in the matrix from its first day, or this fails."""
    assert {kind_of(item.key) for item in lived_in.items} >= set(kinds_of_keys())


class Case:
    """One damage in a copy of the plant."""

    def __init__(self, plant: Plant, run: RunKey, good: Item, damaged: Damaged) -> None:
        self.plant, self.run, self.good, self.damaged = plant, run, good, damaged
        self.kind = kind_of(good.key)
        self.neighbours = tuple(whose for whose in NEIGHBOURS if whose != (HOME, OWN) or self.kind not in OF_THE_DEPLOYMENT)

    def check(self) -> None:
        """Damage, let everything run, mend, and let it go through."""
        self.put(self.damaged.item)
        self.deliver()
        if self.kind not in OF_EVERYBODY:
            self.live("meanwhile")
        self.read()
        self.put(self.good)
        self.mended()
        self.put(self.damaged.item)
        self.call("POST", f"/v1/workflows/executions/{VICTIM}/terminate")

    def put(self, item: Item | None) -> None:
        """Let an item be like this, and the feed say so."""
        self.plant.raw.write(Put(item) if item else Delete(self.good.key))

    def deliver(self) -> None:
        """Let the stream tell of the item as of one that is new, changed and gone."""
        damaged, good, key = self.damaged.item, self.good, self.good.key
        pairs = [(None, damaged), (good, damaged), (damaged, good), (damaged, None)]
        changes = [Change(str(number), key, *pair) for number, pair in enumerate(pairs, 1) if any(pair)]
        if self.kind not in OF_EVERYBODY:
            answer = self.plant.handlers.stream({"Records": [stream_record(one) for one in changes]}, None)
            assert answer == {"batchItemFailures": []}

    def live(self, name: str) -> None:
        """Let neighbours run, with a sweep and a restart in between."""
        plant = self.plant
        for part in (name, f"{name}-again"):
            runs = [
                plant.start(*whose, f"{part}-{whose[1]}-{number}") for number in range(EACH) for whose in self.neighbours
            ]
            plant.minute()
            plant.assert_complete(runs)
            plant.restart()

    def mended(self) -> None:
        """See that nothing stays parked once the item is as it was."""
        plant = self.plant
        for one in plant.parked():
            if one.error.startswith("ValidationError"):  # the message that was in the plant before
                plant.engine.parking.drop(HOME, one.parked_id)
        for _ in range(2):
            plant.retry_all()
            plant.minute()
        assert plant.parked() == []

    def read(self) -> None:
        """Ask after everything: what cannot be read is named."""
        for method, path in READ:
            answer = self.call(method, path.format(run_id=self.run.run_id))
            if path in ALWAYS and self.kind not in OF_EVERYBODY:
                assert answer.status == 200, (path, answer)

    def call(self, method: str, path: str) -> Answer:
        """Call the API as an admin, and expect an answer that says what is wrong, if anything is."""
        handler = create_app(self.plant.engine, ApiSettings(quiet=True))
        answer = decoded(handler(event(method, path, headers={"authorization": f"Bearer {SECRETS['admin']}"}), None))
        assert answer.status < 500 or answer.body["detail"] != GENERIC, (path, answer)
        return answer


def cases(lived_in: LivedIn) -> dict[str, list[tuple[Item, Damaged]]]:
    """Return what is to be checked, by kind: each shape of an item once."""
    shapes = {shape_of(item): item for item in lived_in.items if is_of_the_victim(item)}
    by_kind: dict[str, list[tuple[Item, Damaged]]] = {}
    for item in shapes.values():
        by_kind.setdefault(kind_of(item.key), []).extend((item, damaged) for damaged in damages_of(item))
    return by_kind


@pytest.mark.parametrize("kind", sorted(kinds_of_keys()))
def test_item_when_anything_of_it_is_damaged_then_it_is_in_nobody_elses_way(
    lived_in: LivedIn, tmp_path: Path, kind: str
) -> None:
    """Whatever an item is like, others complete, it is told what is wrong, and it goes through once it is mended."""
    failures = []
    for number, (good, damaged) in enumerate(cases(lived_in)[kind]):
        directory = tmp_path / str(number)
        shutil.copytree(lived_in.directory, directory, ignore=shutil.ignore_patterns("*.lock"))
        clock = FakeClock()
        clock.advance((lived_in.clock.now() - clock.now()).total_seconds())
        with closing(SqliteItemStore(directory / "items.db", "OFF")) as store:
            try:
                Case(Plant(store, directory, clock), lived_in.run, good, damaged).check()
            except Exception as error:
                failures.append((good.key, damaged.part, damaged.how, repr(error)[:600]))
    assert failures == []
