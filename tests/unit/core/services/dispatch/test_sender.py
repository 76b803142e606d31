"""What is sent, when, where to, and as which message; and what is not the caller's fault."""

import json
import logging
import re
from collections.abc import Sequence
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from levante_core.domain.activities.options import ActivityOptions
from levante_core.domain.dispatch.plan import SendLater, SendTask
from levante_core.domain.dispatch.tasks import (
    DELAYED,
    ActivityTask,
    ActivityWork,
    DeadlineDue,
    Delayed,
    Fact,
    ScheduleDue,
    TimerDue,
    WorkflowTask,
)
from levante_core.domain.executions.execution import RunKey, RunStart
from levante_core.domain.history.events import ActivityScheduled, ExecutionCompleted
from levante_core.domain.history.run_messages import SignalReceived
from levante_core.domain.history.state import HistoryBatch
from levante_core.domain.names import ExecutionId, RunId, WorkflowName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import NotFound
from levante_core.ports.item_store import Query
from levante_core.ports.queues import MAX_DELAY_SECONDS, OutgoingMessage
from levante_core.protocol.workers import Commit, CommitOutcome, TaskQueue
from levante_core.services.activities.reports import GrantedReport
from levante_core.services.dispatch.sender import MAX_GROUP_LENGTH, MAX_TASK_BYTES, TIMERS_QUEUE, message, queue_name
from levante_core.services.engine import Engine
from levante_core.services.history.commits import GrantedCommit
from levante_core.storage import keys
from levante_local.queues.queues import InProcessQueues
from tests.support.engines import SEND, another, poll, seqs
from tests.support.faults import Outage
from tests.support.place import DEPLOYMENT, SPACE, Place

WORKFLOW, ACTIVITY = TaskQueue
RUN = RunKey(SPACE, ExecutionId("e"), RunId("r"))


def scheduled(seq: int = 1) -> ActivityScheduled:
    return ActivityScheduled(seq=seq, name="a", input={})


def address(place: Place, run: RunKey = RUN, seconds: float = 0, deployment: str = DEPLOYMENT) -> dict[str, Any]:
    return {
        "workspace": run.workspace,
        "execution_id": run.execution_id,
        "run_id": run.run_id,
        "deployment_name": WorkerPool.parse(deployment),
        "fresh_at": place.clock.now() + timedelta(seconds=seconds),
    }


def timers(place: Place) -> list[Delayed]:
    """Return what waits in the table."""
    found = [item for shard in range(keys.SHARDS) for item in place.store.query(Query(keys.timers(shard))).items]
    return [DELAYED.validate_json(item.documents["due"]) for item in found]


# --- the fast path ----------------------------------------------------------------------------------------------------


class Vanishing(InProcessQueues):
    """Queues that are not there when they are sent to, though they were just made."""

    def send(self, queue: str, messages: Sequence[OutgoingMessage]) -> None:
        """See Queues."""
        raise NotFound(f"queue {queue!r} is not there yet")


@pytest.mark.parametrize("how", ["down", "not there"])
def test_start_when_the_queue_cannot_be_had_then_it_succeeds_and_the_log_says_so(
    place: Place, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is recorded is recorded: the change feed sends the same task. Whoever started it must not start it again."""
    place.start()
    queues = Vanishing(place.clock) if how == "not there" else place.queues
    place.engine = another(place, Outage({SEND} if how == "down" else set()), queues=queues)
    with caplog.at_level(logging.WARNING, "levante.dispatch"):
        run = place.start()
        assert place.commit(run, 1, scheduled()) is CommitOutcome.RECORDED
        assert place.report(run, result=1)
    assert [fact.input.kind for fact in place.load(run).facts] == ["activity_completed"]
    assert len(caplog.records) == 3


def test_fast_path_when_it_is_off_then_the_change_feed_alone_sends(place: Place) -> None:
    """One program decides that, and nothing else of it is different."""
    place.engine = another(place, fast_path=False)
    run = place.start()
    place.commit(run, 1, scheduled())
    assert (place.tasks(WORKFLOW), place.tasks(ACTIVITY)) == ([], [])


def test_fast_path_when_something_is_due_later_then_that_is_left_to_the_change_feed(place: Place) -> None:
    """A start costs its caller one message."""
    place.start(timedelta(seconds=30))
    place.clock.advance(30)
    assert place.due() == []
    assert len(place.tasks(WORKFLOW)) == 1


def commits(place: Place, *granted: tuple[RunKey, int, str, Any]) -> list[CommitOutcome]:
    """Commit batches together. granted: for each, run, index, id of the commit and event."""
    all_of_them = [
        GrantedCommit(
            place.grant(run, index),
            Commit(token="not read here", batch=HistoryBatch(index=index, commit_id=commit_id, events=(event,))),
        )
        for run, index, commit_id, event in granted
    ]
    return [result.outcome for result in place.engine.commits.append(all_of_them)]


def test_commit_when_it_is_refused_then_none_of_its_tasks_is_sent(place: Place) -> None:
    """An activity that no history schedules is run by nobody; the commits beside it go their way."""
    first, second = place.start(), place.start()
    place.commit(first, 1, scheduled(1), commit_id="winner")
    place.tasks(ACTIVITY)
    conflict, recorded = (first, 1, "loser", scheduled(7)), (second, 1, "c", scheduled(9))
    assert commits(place, conflict, recorded) == [CommitOutcome.CONFLICT, CommitOutcome.RECORDED]
    assert seqs(poll(place.engine, ACTIVITY)) == [9]


def test_commit_when_a_message_is_unread_then_nothing_is_sent(place: Place) -> None:
    """The run goes on, and decides again."""
    run = place.start()
    place.tasks(WORKFLOW)
    end = ExecutionCompleted(seq=2, result=1)
    assert place.commit(run, 1, scheduled(), end, taken_until=1) is CommitOutcome.UNREAD_MESSAGES
    assert place.tasks(ACTIVITY) == []


def test_commit_when_it_is_repeated_then_its_tasks_are_sent_again_and_dropped(place: Place) -> None:
    """The first answer may have been lost before anything was sent."""
    run = place.start()
    for _ in range(2):
        place.commit(run, 1, scheduled(), commit_id="mine")
    place.clock.advance(60)
    assert len(place.emptied(ACTIVITY)) == 1
    assert place.tasks(ACTIVITY) == []


# --- messages ---------------------------------------------------------------------------------------------------------


def workflow_task(place: Place, run: RunKey = RUN, text: str = "") -> WorkflowTask:
    now = place.clock.now()
    start = RunStart(workflow_name=WorkflowName("w"), input=text, started_at=now, deadline_at=now)
    signal = SignalReceived(number=1, at=now, name="s", input=text)
    return WorkflowTask(**address(place, run), start=start, fact=Fact(key="M1", input=signal))


def activity_task(place: Place, run: RunKey = RUN, text: str = "", seq: int = 1) -> ActivityTask:
    work = ActivityWork(name="a", input=text, options=ActivityOptions())
    return ActivityTask(**address(place, run), seq=seq, scheduled_in=1, attempt=1, work=work)


@pytest.mark.parametrize("character", ["x", "é", "語"])
@pytest.mark.parametrize("make", [workflow_task, activity_task])
def test_task_when_it_is_too_large_for_a_message_then_its_worker_asks_for_what_is_left_out(
    place: Place, make: Any, character: str
) -> None:
    """What is left out makes the message small, and its worker loads it; up to the limit, in bytes, all is there."""
    share = 2 if make is workflow_task else 1
    room = MAX_TASK_BYTES - len(make(place).model_dump_json().encode())
    fits, more = divmod(room // share, len(character.encode()))
    whole = make(place, text=character * fits + "x" * more)
    body = message(whole, "id").body
    assert MAX_TASK_BYTES - share < len(body.encode()) <= MAX_TASK_BYTES
    assert type(whole).model_validate_json(body) == whole
    large = json.loads(message(make(place, text=character * fits + "x" * (more + 1)), "id").body)
    assert [large.get(name) for name in ("start", "fact", "work")] == [None] * 3
    assert large["verify"]


def test_groups_when_tasks_are_of_one_execution_or_activity_then_these_come_one_after_the_other(place: Place) -> None:
    """Whoever advances an execution is alone; its activities run side by side; nobody waits for another workspace."""
    other = RunKey(Workspace("other"), RUN.execution_id, RUN.run_id)
    later = RunKey(SPACE, RUN.execution_id, RunId("later"))
    of = [message(task, "id").group for task in (workflow_task(place), workflow_task(place, later))]
    assert of[0] == of[1]
    tasks: list[WorkflowTask | ActivityTask] = [
        workflow_task(place),
        *(activity_task(place, seq=seq) for seq in (1, 2)),
        activity_task(place, later),
    ]
    tasks += [workflow_task(place, other), activity_task(place, other)]
    groups = [message(task, "id").group for task in tasks]
    assert len(set(groups)) == len(groups)


def test_groups_when_names_are_long_then_they_are_short_enough_and_differ(place: Place) -> None:
    """SQS takes 128 characters; two names that begin alike share no group."""
    names = ["x" * 256, "x" * 255 + "y", "x" * 126, "x" * 127]
    groups = [message(workflow_task(place, RunKey(SPACE, ExecutionId(name), RUN.run_id)), "id").group for name in names]
    assert len(set(groups)) == len(names)
    assert all(group and len(group) <= MAX_GROUP_LENGTH for group in groups)


def test_queues_when_they_are_named_then_each_pool_of_each_workspace_has_its_own(place: Place) -> None:
    """Names are within what SQS allows, whatever a deployment is called."""
    pools = [WorkerPool.parse(name) for name in ("d", "d@b", "d~s", "x" * 128, "x" * 127 + "y", ".-_", "a.b", "a-b")]
    spaces = [SPACE, Workspace("other"), Workspace("s-d"), Workspace("x" * 128)]
    names = [queue_name(*whose) for whose in product(spaces, pools, TaskQueue)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,75}\.fifo", name) for name in names)


def carried_out(place: Place, *effects: SendTask | SendLater, salt: str = "", engine: Engine | None = None) -> None:
    (engine or place.engine).dispatch.carry_out(effects, salt=salt)


def test_tasks_when_they_are_sent_then_each_is_in_its_queue_with_its_token(place: Place) -> None:
    """Queues that are not there are made; a task of several queues' worth of effects is not forgotten."""
    run = place.start()
    place.queues = InProcessQueues(place.clock)
    place.engine = another(place)
    later = TimerDue(**address(place, run, seconds=10), seq=1)
    tasks: list[WorkflowTask | ActivityTask] = [
        workflow_task(place, run),
        activity_task(place, run),
        activity_task(place, run, seq=2),
    ]
    carried_out(place, *[SendTask(task, f"id{number}") for number, task in enumerate(tasks)], SendLater(later))
    (workflow,), activities = poll(place.engine, WORKFLOW), poll(place.engine, ACTIVITY)
    assert place.engine.capabilities.run(SPACE, workflow.task.token).run == run
    granted = [place.engine.capabilities.attempt(SPACE, one.task.token) for one in activities]
    assert [(grant.run, grant.seq) for grant in granted] == [(run, 1), (run, 2)]
    place.clock.advance(10)
    assert [DELAYED.validate_json(body) for body in place.due()] == [later]


def test_task_when_it_is_sent_again_then_it_is_dropped_unless_it_is_salted(place: Place) -> None:
    """A repeat is harmless; who knows that a message is lost sends one that comes all the same."""
    run = place.start()
    place.lose_messages()
    for salt in ("", "", ":1", ":1", ":2"):
        carried_out(place, SendTask(activity_task(place, run), "id"), salt=salt)
    assert len(place.emptied(ACTIVITY)) == 3


def test_facts_when_two_are_recorded_then_each_has_a_message_of_its_own(place: Place) -> None:
    """The first one may be in the hands of a worker by then that knows nothing of the second."""
    run = place.start()
    place.commit(run, 1, scheduled(1), scheduled(2))
    place.emptied(WORKFLOW)
    for seq in (1, 2):
        place.engine.activities.report([GrantedReport(place.attempt(run, seq=seq), result=seq)])
    assert len(place.emptied(WORKFLOW)) == 2


# --- what is due later ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "comes_after"), [(-5, 0), (0, 0), (0.2, 1), (10, 10), (10.2, 11), (900, 900)])
def test_timer_when_it_is_within_reach_of_the_queue_then_it_comes_at_its_time_and_not_before(
    place: Place, seconds: float, comes_after: int
) -> None:
    """Queues take whole seconds: a timer is rather late than early."""
    place.due()
    due = TimerDue(**address(place, seconds=seconds), seq=1)
    carried_out(place, SendLater(due))
    assert timers(place) == []
    place.clock.advance(max(comes_after - 0.5, 0))
    assert place.due() == [] or comes_after == 0
    place.clock.advance(0.5)
    if comes_after:
        assert [DELAYED.validate_json(body) for body in place.due()] == [due]


def test_timers_when_they_are_beyond_reach_then_each_waits_once_in_the_table(place: Place) -> None:
    """They may be due at one time, and sent for again and again."""
    at = address(place, seconds=MAX_DELAY_SECONDS + 1)
    due: list[Any] = [TimerDue(**at, seq=1), TimerDue(**at, seq=2), DeadlineDue(**at)]
    due += [ActivityTask(**at, seq=seq, scheduled_in=1, attempt=attempt) for seq in (1, 2) for attempt in (1, 2)]
    for _ in range(2):
        carried_out(place, *map(SendLater, due))
    assert sorted(timers(place), key=str) == sorted(due, key=str)
    place.clock.advance(MAX_DELAY_SECONDS)
    assert place.due() == []


def test_schedule_when_it_is_beyond_reach_then_nothing_is_sent_nor_written(place: Place) -> None:
    """Its place in the index tells the sweep when to look."""
    place.queues.ensure(TIMERS_QUEUE)
    due = ScheduleDue(workspace=SPACE, schedule_id="s", fresh_at=place.clock.now() + timedelta(seconds=901))
    carried_out(place, SendLater(due))
    assert timers(place) == []
    place.clock.advance(901)
    assert place.due() == []
