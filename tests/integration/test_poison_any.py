"""The wide poison matrix: every item of a store that was lived in, each part of it damaged in each way, and every loop.

Nothing here names the kinds of items: they are found in the store. Neighbours complete, no loop raises, the host starts
again, and whoever asks after the victim gets an answer, or hears what cannot be read. What was mended goes on.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from levante_api.app import ApiSettings, create_app
from levante_core.adapters.dynamodb.images import stream_record
from levante_core.answers import GENERIC
from levante_core.domain.executions.execution import RunKey
from levante_core.ports.item_store import Change, Delete, Item, Put
from levante_core.services.engine import Engine
from levante_core.storage import keys
from levante_local.sqlite.store import SqliteItemStore
from tests.fakes import FakeClock
from tests.integration.api.harness import Answer, decoded, event
from tests.support.damages import Damaged, damages_of
from tests.support.dynamodb_tables import store_on_moto
from tests.support.forms import covering, either, is_full
from tests.support.lived_in import OWN, SECRETS, all_items, is_of_the_victim, kind_of, kinds_of_keys, live_in, shape_of
from tests.support.poison import HOME, NEIGHBOURS, VICTIM, Plant

pytestmark = pytest.mark.slow

EACH = 3
OF_THE_DEPLOYMENT = {"W W", "W D", "I", "D D", "D W", "D G", "D B", "B"}
"""Kinds of items that executions of one deployment share: the others of it may wait until one is mended."""
OF_EVERYBODY = {"CAPABILITIES"}
"""Nobody gets a task without it."""
STATUS = (f"/v1/workflows/executions/{VICTIM}", "/v1/workflows/runs/{run_id}")
READ = (
    *STATUS,
    f"/v1/workflows/executions/{VICTIM}/history",
    f"/v1/workflows/executions/{VICTIM}/trace/events",
    "/v1/workflows/runs/{run_id}/history",
    "/v1/parked",
    "/v1/workflows/runs",
    "/v1/workflows/schedules",
    "/v1/keys",
    "/v1/audit",
    "/v1/statistics",
    "/v1/batches",
    "/v1/batches/batch",
    "/v1/batches/batch/failures",
)
READ_OF_DEPLOYMENTS = (
    "/v1/workflows",
    "/v1/workflows/registrations",
    "/v1/workflows/deployments",
    "/v1/workflows/deployments/own",
)
ALWAYS = {
    *("/v1/audit", "/v1/batches", "/v1/statistics", "/v1/parked", "/v1/keys"),
    *("/v1/workflows", "/v1/workflows/runs", "/v1/workflows/schedules"),
}
"""Listings: one item that cannot be read takes nothing from the others."""


class OneApi:
    """One API for all plants, as to build it takes longer than a case."""

    engine: Engine

    def __init__(self) -> None:
        self.handler = create_app(cast("Engine", self), ApiSettings(quiet=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


@dataclass
class LivedIn:
    """The data of a plant that is copied for each case."""

    directory: Path
    clock: FakeClock
    run: RunKey
    items: list[Item]


MOST_DAMAGES = 100
OFFSETS = range(MOST_DAMAGES) if os.environ.get("LEVANTE_POISON_EVERYWHERE") else either(short=(3,), full=(3, 4, 9))
"""Which damage of each kind is tried in one go on DynamoDB: with a hundred of them, each is."""


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> LivedIn:
    directory = tmp_path_factory.mktemp("lived-in")
    with closing(SqliteItemStore(directory / "items.db", "NORMAL")) as store:
        plant = Plant(store, directory)
        run = live_in(plant)
        return LivedIn(directory, plant.clock, run, list(all_items(plant)))


def test_plant_when_it_was_lived_in_then_it_has_an_item_of_each_kind(lived_in: LivedIn) -> None:
    """A new kind of key is in the matrix from its first day, or this fails."""
    assert {kind_of(item.key) for item in lived_in.items} >= set(kinds_of_keys())


API = OneApi()


class Case:
    """One damage in a copy of the plant."""

    def __init__(self, plant: Plant, run: RunKey, good: Item, damaged: Damaged) -> None:
        self.plant, self.run, self.good, self.damaged = plant, run, good, damaged
        self.kind = kind_of(good.key)
        self.neighbours = tuple(whose for whose in NEIGHBOURS if whose != (HOME, OWN) or self.kind not in OF_THE_DEPLOYMENT)

    def check(self) -> None:
        """Damage, let everything run, mend, and let it go through; then end the victim as it is damaged, and begin anew."""
        self.check_loops()
        self.put(self.damaged.item)
        ended = self.call("POST", f"/v1/workflows/executions/{VICTIM}/terminate")
        assert not self.is_readable or ended.status == 204, ended
        if self.is_readable and self.kind not in OF_THE_DEPLOYMENT | OF_EVERYBODY:
            self.plant.start(HOME, OWN, VICTIM)
            assert self.call("GET", f"/v1/workflows/runs/{self.run.run_id}").status == 200

    def check_loops(self) -> None:
        """Damage, let everything run, mend, and let it go through."""
        self.put(self.damaged.item)
        self.deliver()
        if self.kind not in OF_EVERYBODY:
            self.live("meanwhile")
        self.read()
        self.put(self.good)
        self.mended()
        assert self.plant.is_open(self.run)

    @property
    def is_readable(self) -> bool:
        """Whether the victim can be shown and ended all the same: that takes no document of it."""
        return self.kind != kind_of(keys.execution(HOME, self.run.execution_id)) or self.damaged.part in self.good.documents

    def put(self, item: Item | None) -> None:
        """Let an item be like this, and the feed say so."""
        self.plant.raw.write(Put(item) if item else Delete(self.good.key))

    def deliver(self) -> None:
        """Let the stream report the item as of one that is new, changed and gone."""
        damaged, good, key = self.damaged.item, self.good, self.good.key
        pairs = [(None, damaged), (good, damaged), (damaged, good), (damaged, None)]
        changes = [Change(str(number), key, *pair) for number, pair in enumerate(pairs, 1) if any(pair)]
        if self.kind not in OF_EVERYBODY:
            answer = self.plant.handlers.stream({"Records": [stream_record(one) for one in changes]}, None)
            assert answer == {"batchItemFailures": []}

    def live(self, name: str) -> None:
        """Let neighbours run, with a sweep and a restart in between."""
        for part, count in ((name, EACH), (f"{name}-again", 1)):
            ids = [(whose, f"{part}-{whose[1]}-{number}") for number in range(count) for whose in self.neighbours]
            runs = [self.plant.start(*whose, execution_id) for whose, execution_id in ids]
            self.plant.minute()
            self.plant.assert_complete(runs)
            if count == EACH:
                self.plant.restart()

    def mended(self) -> None:
        """See that nothing stays parked once the item is as it was."""
        plant = self.plant
        for one in plant.parked():
            if one.error.startswith("ValidationError"):  # the message that was in the plant before
                plant.engine.parking.drop(HOME, one.parked_id)
        for _ in range(2):
            if plant.parked():
                plant.retry_all()
                plant.minute()
        assert [(one.kind, one.error) for one in plant.parked()] == []

    def read(self) -> None:
        """Ask after everything: what cannot be read is named."""
        for path in (*READ, *(READ_OF_DEPLOYMENTS if self.kind in OF_THE_DEPLOYMENT else ())):
            answer = self.call("GET", path.format(run_id=self.run.run_id))
            has_to_be_shown = path in ALWAYS or (path in STATUS and self.is_readable)
            assert answer.status == 200 or not has_to_be_shown or self.kind in OF_EVERYBODY, (path, answer)

    def call(self, method: str, path: str) -> Answer:
        """Call the API as an admin, and expect an answer that says what is wrong, if anything is."""
        API.engine = self.plant.engine
        answer = decoded(API.handler(event(method, path, headers={"authorization": f"Bearer {SECRETS['admin']}"}), None))
        assert answer.status < 500 or answer.body["detail"] != GENERIC, (path, answer)
        return answer


def cases(items: list[Item]) -> dict[str, list[tuple[Item, Damaged]]]:
    """Return what is to be checked, by kind: each shape of an item once."""
    shapes = {shape_of(item): item for item in items if is_of_the_victim(item)}
    by_kind: dict[str, list[tuple[Item, Damaged]]] = {}
    known = set()
    for item in sorted(shapes.values(), key=lambda item: item.attributes.get("execution_id") != VICTIM):
        for damaged in damages_of(item):
            name = kind_of(item.key), damaged.part, damaged.how, shape_of(item)[-1] if damaged.part in item.documents else ""
            if name not in known:
                known.add(name)
                by_kind.setdefault(kind_of(item.key), []).append((item, damaged))
    return by_kind


def some_of(by_kind: dict[str, list[tuple[Item, Damaged]]], kind: str) -> list[tuple[Item, Damaged]]:
    """Return the cases of a kind; in short so many of all together that each kind, each part and each damage occurs."""
    if is_full():
        return by_kind[kind]
    every = [(one, case) for one, of_kind in by_kind.items() for case in of_kind]
    chosen = covering([{"kind": one, "part": damaged.part, "how": damaged.how} for one, (_, damaged) in every])
    return [case for one, case in map(every.__getitem__, chosen) if one == kind]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Log nothing: to write down what is parked takes longer than a case."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def problem_with(case: Case, check: Callable[[Case], None]) -> str | None:
    """Check a case; say what is wrong with it, so that the others are checked too."""
    try:
        check(case)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told with its case
        return f"{case.good.key} {case.damaged.part} {case.damaged.how}: {error!r}"[:1000]
    return None


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", sorted(kinds_of_keys()))
def test_item_when_anything_of_it_is_damaged_then_it_is_in_nobody_elses_way(
    lived_in: LivedIn, tmp_path: Path, kind: str
) -> None:
    """Whatever an item is like, others complete, it is told what is wrong, and it goes through once it is mended."""
    problems = []
    for number, (good, damaged) in enumerate(some_of(cases(lived_in.items), kind)):
        directory = tmp_path / str(number)
        shutil.copytree(lived_in.directory, directory, ignore=shutil.ignore_patterns("*.lock"))
        clock = FakeClock()
        clock.advance((lived_in.clock.now() - clock.now()).total_seconds())
        with closing(SqliteItemStore(directory / "items.db", "NORMAL")) as store:
            case = Case(Plant(store, directory, clock), lived_in.run, good, damaged)
            problems.append(problem_with(case, Case.check))
    assert [problem for problem in problems if problem] == []


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("offset", OFFSETS)
def test_items_in_dynamodb_when_one_of_each_kind_is_damaged_at_once_then_they_are_in_nobody_elses_way(
    tmp_path: Path, offset: int
) -> None:
    """The other store, with all kinds of items damaged together, as each pass over its table takes long."""
    with store_on_moto() as store:
        plant = Plant(store, tmp_path)
        run = live_in(plant)
        by_kind = cases(list(all_items(plant)))
        assert set(by_kind) >= set(kinds_of_keys())
        assert max(map(len, by_kind.values())) <= MOST_DAMAGES
        chosen = [
            Case(plant, run, *of_kind[(offset + 5 * number) % len(of_kind)])
            for number, (kind, of_kind) in enumerate(sorted(by_kind.items()))
            if kind not in OF_EVERYBODY
        ]
        for case in chosen:
            case.put(case.damaged.item)
            case.deliver()
        case = next(case for case in chosen if case.kind in OF_THE_DEPLOYMENT)
        plant.restart(case.neighbours)
        runs = [plant.start(*whose, f"meanwhile-{whose[1]}") for whose in case.neighbours]
        plant.minute()
        plant.assert_complete(runs)
        assert case.call("GET", "/v1/parked").status == 200
        for case in chosen:
            case.put(case.good)
        case.mended()
        assert plant.is_open(run)
