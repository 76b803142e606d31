"""Logs: kept by batch, found by worker and time."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from levante_core.errors import InvalidInput, NotFound
from levante_core.ports.item_store import Query
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.logs import LogLine, LogsRequest
from levante_core.protocol.workers import RegisterRequest
from levante_core.services.observability.logs import KEPT_FOR, Window, of_code
from tests.support.place import DEPLOYMENT, SPACE, Place, new_place

WORKERS = ("a", "b", "c")
ALL = Window(DEPLOYMENT, of_code())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An installation with three workers."""
    with new_place(tmp_path) as place:
        spec = WorkflowSpec(name="w", task_queue="d", input_schema={})
        for name in WORKERS:
            request = RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name=name)
            place.engine.catalogue.register(SPACE, request)
        yield place


def line(place: Place, seconds: float, message: str, execution_id: str | None = None) -> LogLine:
    at = place.clock.now() + timedelta(seconds=seconds)
    return LogLine(at=at, level="INFO", logger="x", message=message, execution_id=execution_id)


def log(place: Place, worker: str, number: int, *lines: LogLine) -> None:
    request = LogsRequest(deployment_name=DEPLOYMENT, worker_name=worker, batch_id=f"{number:032x}", lines=lines)
    place.engine.logs.append(SPACE, request)


def searched(place: Place, window: Window, limit: int) -> list[str]:
    """Read all pages."""
    page = place.engine.logs.search(SPACE, window, limit, None)
    found = list(page.lines)
    while page.next_cursor:
        assert len(page.lines) == limit
        page = place.engine.logs.search(SPACE, window, limit, page.next_cursor)
        found += page.lines
    return [one.message for one in found]


def logged(place: Place, seed: int) -> list[str]:
    """Log from all workers at once, many lines at the same time. Returns the messages in the order of their times."""
    chance = random.Random(seed)  # noqa: S311
    expected = []
    at = 0.0
    for number in range(40):
        worker = chance.choice(WORKERS)
        lines = []
        for index in range(chance.randint(1, 4)):
            at += chance.choice((0, 0, 0.5, 3))
            lines.append(line(place, at, f"{number}-{index}"))
            expected.append((at, worker, number, index, f"{number}-{index}"))
        log(place, worker, number, *lines)
    return [message for *_, message in sorted(expected)]


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
def test_logs_when_paged_then_each_line_comes_once_in_the_order_of_time(place: Place, limit: int) -> None:
    """Both orders; lines of one worker keep their order, also those of the same time."""
    expected = logged(place, limit)
    assert searched(place, ALL, limit) == expected
    newest_first = Window(DEPLOYMENT, of_code(), descending=True)
    assert searched(place, newest_first, limit) == expected[::-1]


def test_logs_when_a_batch_comes_twice_then_its_lines_are_there_once(place: Place) -> None:
    """A worker sends again what got no answer."""
    said = line(place, 0, "x")
    for _ in range(2):
        log(place, "a", 1, said)
    assert searched(place, ALL, 10) == ["x"]


def test_logs_when_a_window_is_asked_for_then_lines_outside_are_left_out(place: Place) -> None:
    """Even those of a batch that is partly inside, and those of workers that came later."""
    log(place, "a", 1, *(line(place, seconds, str(seconds)) for seconds in range(10)))
    now = place.clock.now()
    window = Window(DEPLOYMENT, of_code(), after=now + timedelta(seconds=3), before=now + timedelta(seconds=5))
    assert searched(place, window, 2) == ["3", "4", "5"]
    assert searched(place, Window(DEPLOYMENT, of_code(), worker="b"), 2) == []


def test_logs_of_an_execution_when_others_log_beside_it_then_only_its_lines_come(place: Place) -> None:
    """Those that came late included."""
    run = place.start(execution_id="e1")
    log(place, "a", 1, line(place, 0, "mine", "e1"), line(place, 1, "other", "e2"), line(place, 2, "the worker's"))
    place.clock.advance(5)
    place.engine.closing.terminate(SPACE, run.execution_id)
    log(place, "b", 2, line(place, 1, "late", "e1"))
    assert searched(place, place.engine.logs.of_execution(SPACE, "e1", of_code()), 10) == ["mine", "late"]
    with pytest.raises(NotFound):
        place.engine.logs.of_execution(SPACE, "nobody", of_code())


@pytest.mark.parametrize("seed", range(5))
def test_logs_when_followed_with_breaks_then_each_line_comes_once(place: Place, seed: int) -> None:
    """A reader leaves after any line, and comes again with its cursor; others log meanwhile, some for the first time."""
    chance = random.Random(seed)  # noqa: S311
    cursor: str | None = None
    found: list[str] = []
    expected: list[str] = []
    for number in range(30):
        worker = chance.choice(WORKERS)
        lines = [line(place, number, f"{worker}{number}-{index}") for index in range(3)]
        expected += [one.message for one in lines]
        log(place, worker, number, *lines)
        if chance.random() < 0.5:
            tail = place.engine.logs.follow(SPACE, ALL, cursor)
            for position, one in place.engine.logs.fresh(tail):
                found.append(one.message)
                cursor = position
                if chance.random() < 0.3:
                    break
    tail = place.engine.logs.follow(SPACE, ALL, cursor)
    found += [one.message for _, one in place.engine.logs.fresh(tail)]
    assert sorted(found) == sorted(expected)
    assert all([one for one in found if one[0] == name] == [one for one in expected if one[0] == name] for name in WORKERS)


def test_logs_when_kept_then_they_expire_by_themselves(place: Place) -> None:
    """A batch is one item, which says when it may go."""
    log(place, "a", 1, line(place, 0, "x"), line(place, 1, "y"))
    (item,) = place.store.query(Query(f"O#{SPACE}#{DEPLOYMENT}#a")).items
    assert item.attributes["expires_at"] == int((place.clock.now() + KEPT_FOR).timestamp())


@pytest.mark.parametrize("cursor", ["x", "e30=", "W10=", "WyJhIiwiYiIsImMiLDFd"])
def test_logs_when_the_cursor_is_none_of_ours_then_that_is_said(place: Place, cursor: str) -> None:
    """Not to begin somewhere else."""
    with pytest.raises(InvalidInput):
        place.engine.logs.search(SPACE, ALL, 10, cursor)
