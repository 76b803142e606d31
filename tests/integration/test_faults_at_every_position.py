"""One fault at each position of a run in turn, before and after what fails has taken effect: it makes no difference."""

from pathlib import Path
from typing import Any

import pytest

from levante.testing.virtual_time import run_in_virtual_time
from levante_core.domain.executions.failure import FailureKind
from tests.integration.faults_scenarios import (
    ACTIVITIES,
    WORKFLOWS,
    assert_completed_once,
    events_of,
    labels_of,
    new_key,
    note_outcomes,
    runs_of,
)
from tests.support.faults import Fate, OneFault
from tests.support.faulty_installation import FaultyInstallation
from tests.support.forms import spread

pytestmark = pytest.mark.slow

UNDISTURBED = {"a": 1, "b": 2, "c": 1}
"""How often each activity of the line is entered: b fails once, on its own account."""

WRITES = 8
"""Start; a, and b's start; b's hand-over; b's outcome, its taking and the timer; the timer; c's start; c and the end."""
SENDS = 4
CALLS = {"receive": 4, "extend": 1, "delete": 3}
INVOCATIONS = 6


async def run_line(data: Path, fault: OneFault, *, fast_path: bool) -> dict[str, int]:
    """Run the line with one fault. Returns how often each activity was entered."""
    place = FaultyInstallation(data, fault, fast_path=fast_path)
    place.store.listen(note_outcomes)
    key = new_key()
    async with place.running(), place.workers(2, WORKFLOWS, ACTIVITIES):
        await place.registered("faults-line")
        fault.is_armed = True
        execution = await place.start("faults-line", {"key": key})
        await assert_completed_once(place, execution, labels_of(key, "abc"))
        fault.is_armed = False
        lost = [event for event in events_of(await place.history(execution), "activity_handed_over") if is_lost(event)]
    if fault.kind == "write":
        assert lost == [], "a write that fails, or is repeated, costs no worker its task"
    assert place.timers.dead_letters == []
    assert [one for stream in place.streams for one in stream.discarded] == []
    return runs_of(key)


def is_lost(event: dict[str, Any]) -> bool:
    """Whether an attempt was counted as lost with its worker."""
    return bool(event["failure"]["kind"] == FailureKind.WORKER_LOST)


def disturb_each(tmp_path: Path, kind: str, how: Fate, *, fast_path: bool) -> int:
    """Run the line once for each operation of a kind, or for three, and let that one fail. Returns how many there were."""
    undisturbed = OneFault(kind, 0, how)
    assert run_in_virtual_time(run_line(tmp_path / "0", undisturbed, fast_path=fast_path)) == UNDISTURBED
    for position in spread(range(1, undisturbed.count + 1), 3):
        fault = OneFault(kind, position, how)
        runs = run_in_virtual_time(run_line(tmp_path / str(position), fault, fast_path=fast_path))
        assert fault.count >= position, f"{kind} {position} of {undisturbed.count} was never reached"
        more = {name: runs[name] - UNDISTURBED[name] for name in UNDISTURBED if runs[name] != UNDISTURBED[name]}
        assert list(more.values()) in ([], [1]), f"{kind} {position} of {undisturbed.count}: run once more each: {more}"
    return undisturbed.count


@pytest.mark.parametrize("fast_path", [False, True], ids=["stream", "fast path"])
@pytest.mark.parametrize("how", [Fate.REFUSED, Fate.UNANSWERED], ids=str)
def test_run_when_any_one_write_of_it_fails_then_it_completes_once(tmp_path: Path, how: Fate, *, fast_path: bool) -> None:
    """The store may throttle, or time out after a write took effect, at any write: at most what is in flight runs again."""
    assert disturb_each(tmp_path, "write", how, fast_path=fast_path) >= WRITES


@pytest.mark.parametrize("how", [Fate.REFUSED, Fate.UNANSWERED, Fate.LOST], ids=str)
def test_run_when_any_one_send_of_it_fails_then_it_completes_once(tmp_path: Path, how: Fate) -> None:
    """A message may be refused, sent unheard, or lost although it was accepted: the sweep sends for what is lost."""
    assert disturb_each(tmp_path, "send", how, fast_path=False) >= SENDS


@pytest.mark.parametrize("kind", ["receive", "extend", "delete"])
@pytest.mark.parametrize("how", [Fate.REFUSED, Fate.UNANSWERED], ids=str)
def test_run_when_any_one_call_about_its_messages_fails_then_it_completes_once(tmp_path: Path, kind: str, how: Fate) -> None:
    """Messages received unheard come again when their lease ends; leases and deletions are asked for again."""
    assert disturb_each(tmp_path, kind, how, fast_path=True) >= CALLS[kind]


@pytest.mark.parametrize("how", [Fate.REFUSED, Fate.UNANSWERED], ids=str)
def test_run_when_any_one_invocation_for_it_fails_then_it_completes_once(tmp_path: Path, how: Fate) -> None:
    """A function of the dispatcher may fail before it does anything, and after it has done everything."""
    assert disturb_each(tmp_path, "invoke", how, fast_path=False) >= INVOCATIONS
