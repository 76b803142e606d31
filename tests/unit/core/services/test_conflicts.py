"""Lost races: how long one call goes on, and how it pauses."""

import ast
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

import levante_core.services
from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.activities.options import RateLimit
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import LevanteError, Unavailable
from levante_core.ports.item_store import ConditionFailed, Write
from levante_core.protocol.activities import PermitRequest
from levante_core.services.catalogue.edits import Edit
from levante_core.services.conflicts import BUDGET, FIRST_PAUSE, LONGEST_PAUSE, Conflicts
from levante_core.services.engine import Engine, build_engine
from levante_core.services.executions.reset import ResetRequest
from levante_core.services.executions.start import StartRequest
from levante_local.change_watch import LocalChangeWatch
from tests.fakes import FakeClock
from tests.support.place import SPACE, Place

LIMIT = RateLimit(time_window_in_sec=1, max_execution=1)
SERVICES = Path(levante_core.services.__path__[0])


class FixedIds(RandomIds):
    """Ids whose random numbers are all the same."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction

    def fraction(self) -> float:
        """See Ids."""
        return self._fraction


class LosingStore(OffloadingStore):
    """A store where somebody else is faster each time, once it is told so."""

    loses = False

    def write(self, *writes: Write) -> None:
        """See ItemStore."""
        if self.loses:
            raise ConditionFailed([0], [self.get(write.key) for write in writes])
        super().write(*writes)


def pauses(fraction: float) -> list[timedelta]:
    """Return the pauses of a call that never wins."""
    clock = FakeClock()
    attempted_at = [clock.now() for _ in Conflicts(clock, FixedIds(fraction)).attempts()]
    return [later - earlier for earlier, later in pairwise(attempted_at)]


def losing(place: Place) -> tuple[Engine, LosingStore]:
    """Build an engine on the same store, that loses its races once it is told so."""
    store = LosingStore(place.store, place.payloads)
    return build_engine(store, place.queues, place.clock, RandomIds(), LocalChangeWatch(), fast_path=False), store


def test_pauses_when_races_are_lost_then_they_double_up_to_the_longest() -> None:
    """Many callers get out of each other's way, and none waits longer than needed for a few."""
    found = pauses(0.5)
    assert found[:3] == [FIRST_PAUSE / 2, FIRST_PAUSE, 2 * FIRST_PAUSE]
    assert found[-1] == LONGEST_PAUSE / 2
    assert found == sorted(found)


@pytest.mark.parametrize("fraction", [0.01, 0.5, 1 - 2**-53])
def test_attempts_when_every_race_is_lost_then_they_end_within_the_budget(fraction: float) -> None:
    """A caller has its answer before a gateway gives it up, however the dice fall."""
    spent = sum(pauses(fraction), timedelta(0))
    assert BUDGET - LONGEST_PAUSE <= spent < BUDGET


def test_pauses_when_two_callers_collide_then_they_come_back_at_different_times() -> None:
    """Full jitter: the same number of lost races does not mean the same pause."""
    clocks = [FakeClock(), FakeClock()]
    for clock in clocks:
        attempts = Conflicts(clock, RandomIds()).attempts()
        for _ in range(8):
            next(attempts)
    assert clocks[0].now() != clocks[1].now()


@pytest.mark.parametrize(
    "call",
    [
        lambda engine: engine.messages.cancel(SPACE, "e"),
        lambda engine: engine.closing.terminate(SPACE, "e"),
        lambda engine: engine.resets.reset(SPACE, "e", ResetRequest(1)),
        lambda engine: engine.workflow_edits.edit(SPACE, "w", Edit({"description": "new"})),
        lambda engine: engine.rate_limits.permit(
            SPACE,
            PermitRequest(
                deployment_name=WorkerPool.parse("d"),
                activity_name="a",
                rate_limit=RateLimit(time_window_in_sec=1, max_execution=1),
            ),
        ),
        lambda engine: engine.streams.publish(SPACE, "e"),
    ],
    ids=["cancel", "terminate", "reset", "edit", "permit", "publish"],
)
def test_call_when_it_loses_every_race_then_the_caller_may_try_again_within_the_budget(place: Place, call: object) -> None:
    """Nobody tries for ever, and nobody gives up at once."""
    place.start(execution_id="e")
    place.clock.advance(60)
    engine, store = losing(place)
    store.loses, began_at = True, place.clock.now()
    with pytest.raises(Unavailable, match="try again"):
        call(engine)  # type: ignore[operator]
    assert BUDGET - LONGEST_PAUSE <= place.clock.now() - began_at < BUDGET


def test_start_when_the_id_is_taken_meanwhile_then_it_is_refused_and_not_tried_again(place: Place) -> None:
    """Only a race is tried again; an id that is in use is the caller's to change."""
    place.start(execution_id="e")
    began_at = place.clock.now()
    with pytest.raises(LevanteError, match="already running"):
        place.engine.executions.start(SPACE, "w", StartRequest(execution_id="e"))
    assert place.clock.now() == began_at


@pytest.mark.parametrize("path", sorted(SERVICES.glob("*.py")), ids=lambda path: path.stem)
def test_service_when_it_tries_a_write_again_then_it_pauses_in_between(path: Path) -> None:
    """One place decides how often and when a lost race is tried again: no other loop goes on after ConditionFailed."""
    for loop in ast.walk(ast.parse(path.read_text())):
        if isinstance(loop, ast.While) or (isinstance(loop, ast.For) and not ast.unparse(loop.iter).endswith(".attempts()")):
            for inner in ast.walk(loop):
                assert not _goes_on_after_a_lost_race(inner), f"{path.name}:{loop.lineno}: use Conflicts.attempts()"


def _goes_on_after_a_lost_race(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        return node.type is not None and "ConditionFailed" in ast.unparse(node.type)
    return isinstance(node, ast.With) and any("ConditionFailed" in ast.unparse(one.context_expr) for one in node.items)
