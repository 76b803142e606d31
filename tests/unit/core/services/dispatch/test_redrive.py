"""A redrive: every open run is sent for, once, page by page, whatever was lost and whatever ends meanwhile."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from levante_core.domain.dispatch.tasks import DELAYED, WORKFLOW_TASK, DeadlineDue
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ActivityScheduled
from levante_core.domain.names import Workspace
from levante_core.errors import InvalidInput
from levante_core.ports.item_store import Put
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.workers import PollRequest, RegisterRequest, TaskQueue
from levante_core.services.dispatch import redrive
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from levante_core.storage.parked import Owner, Parked, ParkedKind
from tests.support.place import DEPLOYMENT, HOUR, POOL, SPACE, Place

OTHER = Workspace("other")
SHORT = timedelta(minutes=5)
WORKFLOW = TaskQueue.WORKFLOW


def quiet(place: Place, number: int, timeout: timedelta = HOUR) -> list[RunKey]:
    """Start executions, and lose their messages."""
    runs = [place.start(timeout) for _ in range(number)]
    place.lose_messages()
    return runs


def sent_for(place: Place) -> Counter[str]:
    """Return how many tasks each run has, and forget them."""
    return Counter(WORKFLOW_TASK.validate_json(body).run_id for body in place.emptied(WORKFLOW))


def start_elsewhere(place: Place) -> RunKey:
    """Start an execution in another workspace."""
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={}, execution_timeout=HOUR)
    request = RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w")
    place.engine.catalogue.register(OTHER, request)
    return place.engine.executions.start(OTHER, "w", StartRequest()).key


def sent_elsewhere(place: Place) -> int:
    """Return how many tasks the other workspace has."""
    request = PollRequest(deployment_name=POOL, worker_id="w", queue=WORKFLOW, limit=100, wait_seconds=0)
    return len(place.engine.tasks.poll(OTHER, request, key_id="k"))


def pages(place: Place, workspace: Workspace | None = None, after: str | None = None) -> list[int]:
    """Redrive page by page to the end of the open runs. Returns how many runs each page had."""
    found = []
    for _ in count():
        page = place.engine.redrive.redrive_page(workspace, after)
        found.append(page.runs)
        after = page.next
        if after is None or after.startswith(redrive.PARKED):
            return found
    return found


def parked(place: Place, workspace: Workspace = SPACE) -> Sequence[Parked]:
    return place.engine.parking.list(workspace, 100, None).items


# --- what a run needs -------------------------------------------------------------------------------------------------


def deadlines(place: Place, run: RunKey) -> list[DeadlineDue]:
    found = [DELAYED.validate_json(body) for body in place.due()]
    return [one for one in found if isinstance(one, DeadlineDue) and one.run_id == run.run_id]


def test_deadline_when_its_message_was_lost_then_it_is_sent_again_for_its_time(place: Place) -> None:
    """A short timeout has a message, and comes as punctually as before."""
    (run,) = quiet(place, 1, SHORT)
    place.clock.advance(60)
    place.engine.redrive.redrive()
    place.clock.advance(SHORT.total_seconds() - 61)
    assert deadlines(place, run) == []
    place.clock.advance(1)
    (due,) = deadlines(place, run)
    place.engine.due.handle(due.model_dump_json())
    assert place.status(run) == "TIMED_OUT"


@pytest.mark.parametrize(("minutes_left", "is_sent"), [(14, True), (16, True), (17, False)])
def test_deadline_when_it_is_far_then_it_is_left_to_the_sweep(place: Place, minutes_left: int, *, is_sent: bool) -> None:
    """Runs that started with a short timeout have no more left than that; those with a long one need no message."""
    (run,) = quiet(place, 1, timedelta(minutes=20))
    place.clock.advance(60 * (20 - minutes_left))
    place.engine.redrive.redrive()
    for _ in range(minutes_left):
        place.engine.due.sweep()
        place.clock.advance(60)
    assert bool(deadlines(place, run)) is is_sent


def test_redrive_when_it_comes_again_then_each_sends_anew(place: Place) -> None:
    """Whoever asks for it knows that messages are lost: no queue may take the next ones for repeats."""
    (run,) = quiet(place, 1)
    for _ in range(3):
        place.engine.redrive.redrive()
        assert sent_for(place) == {run.run_id: 1}


def test_run_when_it_has_ended_then_it_is_not_redriven(place: Place) -> None:
    """Nor does its execution's next run get what was asked for the one before."""
    closed, before = place.start(), place.start(execution_id="e")
    for run in (closed, before):
        place.commit(run, 1, ActivityScheduled(seq=1, name="a", input={}))
        place.engine.closing.terminate(SPACE, run.execution_id)
    after = place.start(execution_id="e")
    place.lose_messages()
    for run in (closed, before):
        place.engine.redrive.redrive_run(run)
    assert (sent_for(place), place.emptied(TaskQueue.ACTIVITY)) == ({}, [])
    place.engine.redrive.redrive_run(after)
    assert sent_for(place) == {after.run_id: 1}


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_apart", [False, True])
def test_redrive_when_there_are_many_runs_then_each_is_sent_for_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, is_apart: bool
) -> None:
    """Page by page over all shards, whether runs have one deadline or each its own; all are counted."""
    monkeypatch.setattr(redrive, "REDRIVE_PAGE", 2)
    runs: list[RunKey] = []
    while len(runs) < 15 or len({keys.shard(run.run_id) for run in runs}) < keys.SHARDS:
        runs += quiet(place, 1)
        place.clock.advance(is_apart)
    assert place.engine.redrive.redrive() == len(runs)
    assert sent_for(place) == {run.run_id: 1 for run in runs}
    found = pages(place)
    assert (sum(found), max(found)) == (len(runs), 2)
    assert sent_for(place) == {run.run_id: 1 for run in runs}


@pytest.mark.parametrize("is_apart", [False, True])
def test_redrive_when_the_run_it_stopped_at_ends_meanwhile_then_none_is_left_out(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, is_apart: bool
) -> None:
    """Callers go on from a run that may be gone: others may then come twice, which is harmless."""
    monkeypatch.setattr(redrive, "REDRIVE_PAGE", 1)
    runs: list[RunKey] = []
    while [keys.shard(run.run_id) for run in runs].count(0) < 4:
        runs += quiet(place, 1)
        place.clock.advance(is_apart)
    first = place.engine.redrive.redrive_page(None, None)
    (seen,) = sent_for(place)
    (ended,) = [run for run in runs if run.run_id == seen]
    place.engine.closing.terminate(SPACE, ended.execution_id)
    pages(place, None, first.next)
    assert set(sent_for(place)) == {run.run_id for run in runs if run != ended}


def test_redrive_of_a_workspace_when_others_have_runs_then_its_own_alone_are_sent_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index holds the runs of all; what a caller sees of others is nothing, not even how many there are."""
    monkeypatch.setattr(redrive, "REDRIVE_PAGE", 2)
    mine = quiet(place, 5)
    others = [start_elsewhere(place) for _ in range(5)]
    assert sent_elsewhere(place) == len(others)
    assert sum(pages(place, SPACE)) == len(mine)
    assert sent_for(place) == {run.run_id: 1 for run in mine}
    place.clock.advance(31)
    place.engine.redrive.redrive()
    assert sum(pages(place)) == 10


@pytest.mark.parametrize("after", ["x", "-1:", "4:", "parked:", "0x:"])
def test_redrive_when_it_goes_on_from_nowhere_then_it_is_refused(place: Place, after: str) -> None:
    """Only `next` of an answer says where it goes on; what is parked is nobody's part who redrives everything."""
    with pytest.raises(InvalidInput, match="next"):
        place.engine.redrive.redrive_page(None, after)


def test_run_when_it_cannot_be_read_then_it_is_parked_and_the_others_are_sent_for(place: Place) -> None:
    """One damaged run must not keep an installation from starting."""
    damaged, *sound = quiet(place, 5)
    item = place.store.get(keys.execution(SPACE, damaged.execution_id))
    assert item is not None
    place.store.write(Put(replace(item, attributes={**item.attributes, "started_at": "no time"})))
    assert place.engine.redrive.redrive() == 5
    assert sent_for(place) == {run.run_id: 1 for run in sound}
    assert [(one.kind, one.owner.run) for one in parked(place)] == [(ParkedKind.RUN, damaged)]


# --- parked items -----------------------------------------------------------------------------------------------------


def put_aside(place: Place, workspace: Workspace) -> None:
    """Park an item that is tried again in a minute."""
    place.engine.parking.park(ParkedKind.TASK, Owner(workspace), "{", ValueError())


def is_due(place: Place, workspace: Workspace) -> bool:
    (one,) = [one for one in parked(place, workspace) if one.owner.workspace == workspace]
    return one.retry_at is not None and one.retry_at <= place.clock.now()


def test_redrive_of_all_when_items_are_parked_then_everything_is_tried_again_by_the_next_sweep(place: Place) -> None:
    """What was in the way may be mended by the time that somebody redrives."""
    for workspace in (SPACE, OTHER):
        put_aside(place, workspace)
    place.engine.redrive.redrive()
    assert is_due(place, SPACE)
    assert is_due(place, OTHER)


def test_redrive_of_a_workspace_when_items_are_parked_then_its_own_follow_on_its_runs(place: Place) -> None:
    """Its last part; those of other workspaces wait on."""
    quiet(place, 1)
    for workspace in (SPACE, OTHER):
        put_aside(place, workspace)
    after, runs, steps = None, 0, 0
    while steps == 0 or after is not None:
        page = place.engine.redrive.redrive_page(SPACE, after)
        runs, after, steps = runs + page.runs, page.next, steps + 1
    assert runs == 1
    assert is_due(place, SPACE)
    assert not is_due(place, OTHER)


# --- is there anything to do ------------------------------------------------------------------------------------------


def test_open_runs_when_one_is_open_in_any_shard_then_it_is_noticed(place: Place) -> None:
    """A host that has some redrives at its start."""
    assert not place.engine.redrive.has_open_runs()
    for shard in range(keys.SHARDS):
        run = place.start()
        while keys.shard(run.run_id) != shard:
            place.engine.closing.terminate(SPACE, run.execution_id)
            run = place.start()
        assert place.engine.redrive.has_open_runs()
        place.engine.closing.terminate(SPACE, run.execution_id)
        assert not place.engine.redrive.has_open_runs()
