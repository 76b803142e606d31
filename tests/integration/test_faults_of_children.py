"""One fault at each position of a run with signals, a child that continues as new, and one that is left behind."""

from pathlib import Path

import pytest

from levante.testing.virtual_time import run_in_virtual_time
from levante_core.domain.history.transitions import ExecutionStatus
from levante_local.greenlets import call
from tests.integration.faults_scenarios import ACTIVITIES, WORKFLOWS, events_of, new_key, note_outcomes, runs_of
from tests.support.direct import WORKSPACE
from tests.support.faults import Fate, OneFault
from tests.support.faulty_installation import FaultyInstallation

pytestmark = pytest.mark.slow

UNDISTURBED = {"left/before": 1, "x": 1, "y": 1, "1": 1, "2": 1}
"""How often each activity is entered."""
FEWER = 2
"""A fault may let operations meet that were apart, so that there are so many fewer of them."""
FEWEST = {"write": 15, "send": 8, "invoke": 8}


async def run_clan(data: Path, fault: OneFault) -> dict[str, int]:
    """Run the clan with one fault. Returns how often each activity was entered."""
    place = FaultyInstallation(data, fault)
    place.store.listen(note_outcomes)
    key = new_key()
    async with place.running(), place.workers(2, WORKFLOWS, ACTIVITIES):
        for workflow in ("faults-clan", "faults-heir", "faults-sleeper"):
            await place.registered(workflow)
        fault.is_armed = True
        execution = await place.start("faults-clan", {"key": key})
        for word in "xy":
            await call(place.engine.messages.signal, WORKSPACE, execution, "say", {"word": f"{key}/{word}"})
        ended = await place.result(execution, 7200)
        left = await place.result(f"{key}-left", 7200)
        fault.is_armed = False
        history = await place.history(execution)
    assert ended.status is ExecutionStatus.COMPLETED
    labels = ended.ending.result["result"]
    assert (sorted(labels[:2]), labels[2:]) == ([f"{key}/x", f"{key}/y"], [f"{key}/2"])
    assert left.status is ExecutionStatus.TERMINATED
    assert [event["name"] for event in events_of(history, "signal_received")] == ["say", "say"]
    assert len(events_of(history, "child_scheduled")) == 2
    assert place.rewritten == []
    assert place.timers.dead_letters == []
    return runs_of(key)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("write", Fate.REFUSED),
        ("write", Fate.UNANSWERED),
        ("send", Fate.REFUSED),
        ("send", Fate.UNANSWERED),
        ("send", Fate.LOST),
        ("invoke", Fate.REFUSED),
        ("invoke", Fate.UNANSWERED),
    ],
    ids=str,
)
def test_clan_when_any_one_operation_fails_then_everybody_ends_once(tmp_path: Path, kind: str, how: Fate) -> None:
    """Signals, starts of children, their ends and their parents' ends survive a fault wherever it strikes."""
    undisturbed = OneFault(kind, 0, how)
    assert run_in_virtual_time(run_clan(tmp_path / "0", undisturbed)) == UNDISTURBED
    assert undisturbed.count >= FEWEST[kind]
    for position in range(1, undisturbed.count + 1):
        fault = OneFault(kind, position, how)
        runs = run_in_virtual_time(run_clan(tmp_path / str(position), fault))
        assert fault.count >= position - FEWER, f"{kind} {position} of {undisturbed.count} was never reached"
        more = {name: runs.get(name, 0) - times for name, times in UNDISTURBED.items()}
        if more["left/before"] == -1:  # nobody had come to begin it when its parent ended
            del more["left/before"]
        assert set(more.values()) <= {0, 1}, f"{kind} {position} of {undisturbed.count}: not run once, or once more: {more}"
