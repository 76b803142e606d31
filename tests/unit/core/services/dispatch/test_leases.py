"""Leases of tasks: kept, ended, given back, lost, and presented to a process that did not give them."""

from collections.abc import Sequence

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import ActivityScheduled
from levante_core.domain.names import DeploymentName
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import InvalidInput, Unavailable
from levante_core.ports.queues import OutgoingMessage
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.queue_access import QueueAccess
from levante_core.protocol.workers import (
    LEASE_SECONDS,
    DeliveredTask,
    HandBack,
    LeasesRequest,
    RegisterRequest,
    TaskQueue,
    WorkflowTaskFailedRequest,
    delivered,
)
from levante_core.services.dispatch.sender import queue_name
from levante_core.services.dispatch.tasks import consumer_name
from levante_core.services.engine import Engine
from levante_core.storage import keys
from levante_core.storage.attempts import task_failure_of
from levante_local.queues.queues import RESTORED_WITHIN, InProcessQueues
from tests.support.engines import SEND, another, poll, seqs
from tests.support.faults import Outage
from tests.support.place import DEPLOYMENT, POOL, SPACE, Place

WORKFLOW, ACTIVITY = TaskQueue
JUST_BEFORE_THE_END = LEASE_SECONDS - 1


class NoAccess:
    """Says that workers may take tasks from the queues themselves, and lends nothing."""

    def grant(self, workflow_queue: str, activity_queue: str) -> QueueAccess:
        """See TaskAccess."""
        raise AssertionError(f"nobody asks for {workflow_queue} and {activity_queue}")


def queued(place: Place, count: int = 1) -> tuple[RunKey, list[DeliveredTask]]:
    """Start an execution with activities, and take the tasks of these."""
    run = place.start()
    place.commit(run, 1, *[ActivityScheduled(seq=seq, name="a", input={}) for seq in range(1, count + 1)])
    return run, poll(place.engine, ACTIVITY)


def lease(
    engine: Engine,
    queue: TaskQueue,
    *,
    extend: Sequence[DeliveredTask] = (),
    done: Sequence[DeliveredTask] = (),
    back: Sequence[DeliveredTask] = (),
    deployment: str = DEPLOYMENT,
) -> list[int]:
    """Say what becomes of leases. Returns which of those to extend are lost, by their position."""
    request = LeasesRequest(
        deployment_name=WorkerPool.parse(deployment),
        queue=queue,
        extend=tuple(task.receipt for task in extend),
        done=tuple(task.receipt for task in done),
        hand_back=tuple(HandBack(receipt=task.receipt, token=task.task.token) for task in back),
    )
    lost = engine.tasks.lease(SPACE, request)
    return [position for position, task in enumerate(extend) if task.receipt in lost]


# --- tasks that are handed back ---------------------------------------------------------------------------------------


def test_activity_when_it_is_handed_back_then_it_comes_at_once_as_new_and_is_to_be_checked(place: Place) -> None:
    """A worker that stops costs no attempt; a copy may be stale when it comes, so that nobody may trust it unasked."""
    run, (task,) = queued(place)
    assert lease(place.engine, ACTIVITY, back=[task]) == []
    (again,) = poll(place.engine, ACTIVITY)
    assert (again.receive_count, again.task.run_id, seqs([again])) == (1, run.run_id, [1])
    assert again.task.verify
    checked = place.engine.activities.check(place.attempt(run), again.task, again.receive_count)  # type: ignore[arg-type]
    assert checked is not None
    assert checked.attempt == 1
    place.clock.advance(LEASE_SECONDS + 1)
    assert [one.receive_count for one in poll(place.engine, ACTIVITY)] == [2], "the copy alone is left"


def test_workflow_task_when_it_is_handed_back_then_its_copy_is_to_be_checked(place: Place) -> None:
    """What a run was started with may not be its whole history by the time that the copy comes."""
    run = place.start()
    (task,) = poll(place.engine, WORKFLOW)
    lease(place.engine, WORKFLOW, back=[task])
    (again,) = poll(place.engine, WORKFLOW)
    assert (again.receive_count, again.task.run_id, again.task.verify) == (1, run.run_id, True)
    assert place.engine.capabilities.run(SPACE, again.task.token).next_index == 0, "it lets load the run, and no more"


@pytest.mark.parametrize("queue", list(TaskQueue))
def test_task_when_it_is_handed_back_then_its_message_says_itself_that_it_is_to_be_checked(
    place: Place, queue: TaskQueue
) -> None:
    """Workers may take it from the queue with nobody in between."""
    queued(place)
    place.clock.advance(LEASE_SECONDS + 1)
    lease(place.engine, queue, back=poll(place.engine, queue))
    (body,) = place.emptied(queue)
    assert delivered(body, "receipt", 1).task.verify


@pytest.mark.parametrize("queue", list(TaskQueue))
def test_task_when_it_is_handed_back_again_and_again_then_each_copy_comes(place: Place, queue: TaskQueue) -> None:
    """Workers may go one after the other within the time in which a queue drops repeats."""
    queued(place)
    place.clock.advance(LEASE_SECONDS + 1)
    for _ in range(3):
        (task,) = poll(place.engine, queue)
        lease(place.engine, queue, back=[task])
    assert len(poll(place.engine, queue)) == 1


def test_tasks_when_those_of_two_runs_of_an_execution_are_handed_back_then_both_come_again(place: Place) -> None:
    """A worker may have both in one receive; the copy of one is no repeat of the other's."""
    first = place.start(execution_id="e")
    place.engine.closing.terminate(SPACE, first.execution_id)
    second = place.start(execution_id="e")
    lease(place.engine, WORKFLOW, back=poll(place.engine, WORKFLOW))
    assert {task.task.run_id for task in poll(place.engine, WORKFLOW)} == {first.run_id, second.run_id}


def test_task_when_its_copy_cannot_be_sent_then_the_message_stays(place: Place) -> None:
    """The worker is gone after that: what it held comes back when its lease ends."""
    run, (task,) = queued(place)
    with pytest.raises(Unavailable):
        lease(another(place, Outage({SEND})), ACTIVITY, back=[task])
    place.clock.advance(LEASE_SECONDS + 1)
    (again,) = poll(place.engine, ACTIVITY)
    assert again.task.run_id == run.run_id


def other_deployment(place: Place) -> None:
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={})
    place.engine.catalogue.register(
        SPACE, RegisterRequest(definitions=(spec,), deployment_name=DeploymentName("o"), worker_name="w")
    )


@pytest.mark.parametrize(("queue", "deployment"), [(WORKFLOW, DEPLOYMENT), (ACTIVITY, "o")])
def test_tasks_when_one_of_them_is_of_another_queue_then_none_is_handed_back(
    place: Place, queue: TaskQueue, deployment: str
) -> None:
    """No worker puts tasks where others take theirs; a request that cannot be right changes nothing."""
    _, activities = queued(place)
    other_deployment(place)
    own = poll(place.engine, WORKFLOW) if queue is WORKFLOW else []
    with pytest.raises(InvalidInput, match="none of this queue") as refused:
        lease(place.engine, queue, back=[*own, *activities], deployment=deployment)
    assert refused.value.problems[0]["loc"] == ["body", "hand_back", len(own), "token"]
    assert poll(place.engine, queue, deployment) == []
    place.clock.advance(LEASE_SECONDS + 1)
    assert len(poll(place.engine, queue, deployment)) == len(own), "what was held comes again by itself"


# --- leases that are kept or ended ------------------------------------------------------------------------------------


def test_lease_when_it_is_extended_then_it_lasts_from_now_on_and_the_others_are_lost(place: Place) -> None:
    """Who does not ask in time has to know that somebody else may have the task."""
    queued(place)
    place.clock.advance(LEASE_SECONDS + 1)
    run, tasks = queued(place, 2)
    kept, late = [task for task in tasks if task.task.run_id == run.run_id]
    place.clock.advance(JUST_BEFORE_THE_END)
    assert lease(place.engine, ACTIVITY, extend=[kept]) == []
    place.clock.advance(JUST_BEFORE_THE_END)
    assert lease(place.engine, ACTIVITY, extend=[late, kept]) == [0]
    place.clock.advance(JUST_BEFORE_THE_END)
    assert kept.task not in [task.task for task in poll(place.engine, ACTIVITY)]


def test_lease_when_the_work_is_done_then_the_task_is_gone_from_its_own_queue_alone(place: Place) -> None:
    """Activities and workflow tasks are in queues of their own."""
    _, (task,) = queued(place)
    place.engine.tasks.done(SPACE, POOL, ACTIVITY, [task.receipt])
    place.clock.advance(LEASE_SECONDS + 1)
    assert poll(place.engine, ACTIVITY) == []
    assert len(poll(place.engine, WORKFLOW)) == 1


def test_receipt_when_it_is_of_another_queue_then_the_lease_is_lost_and_nothing_changes(place: Place) -> None:
    """A receipt grants one lease, in the queue that it came from."""
    _, (task,) = queued(place)
    assert lease(place.engine, WORKFLOW, extend=[task], done=[task]) == [0]
    place.clock.advance(LEASE_SECONDS + 1)
    assert len(poll(place.engine, ACTIVITY)) == 1


def test_receipt_when_it_is_the_queues_own_then_it_is_taken_from_workers_alone_that_were_lent_the_queue(
    place: Place,
) -> None:
    """Nobody else was ever given one: whoever names one has guessed it."""
    place.start()
    name = queue_name(SPACE, POOL, WORKFLOW)
    (message,) = place.queues.receive(name, limit=1, wait_seconds=0, visibility_seconds=LEASE_SECONDS)
    request = LeasesRequest(deployment_name=POOL, queue=WORKFLOW, extend=(message.receipt,))
    assert place.engine.tasks.lease(SPACE, request) == [message.receipt]
    lent = another(place, access=NoAccess())
    assert lent.tasks.lease(SPACE, request) == []
    done = LeasesRequest(deployment_name=POOL, queue=WORKFLOW, done=(message.receipt,))
    place.engine.tasks.lease(SPACE, done)
    assert place.queues.extend(name, [message.receipt], LEASE_SECONDS) == []
    lent.tasks.lease(SPACE, done)
    assert place.queues.extend(name, [message.receipt], LEASE_SECONDS) == [message.receipt]


def test_lease_when_the_queue_is_gone_then_it_is_lost_and_its_end_is_nothing_to_say(place: Place) -> None:
    """The queues are disposable: who worked meanwhile is told, and records what it did all the same."""
    _, (task,) = queued(place)
    queues = InProcessQueues(place.clock)
    place.clock.advance(RESTORED_WITHIN.total_seconds() + 1)
    engine = another(place, queues=queues)
    assert lease(engine, ACTIVITY, extend=[task], done=[task]) == [0]


# --- leases of an earlier process -------------------------------------------------------------------------------------


def restarted(place: Place) -> Engine:
    """Build the engine of the process that follows, whose queues are empty."""
    place.queues = InProcessQueues(place.clock)
    place.engine = another(place)
    for queue in TaskQueue:
        place.queues.ensure(queue_name(SPACE, POOL, queue))
    return place.engine


def test_lease_when_the_process_was_restarted_then_it_stands_again_and_holds_its_group(place: Place) -> None:
    """What a redrive sends for the same activity waits for the worker that has it, whose message was made anew."""
    _, (task,) = queued(place)
    engine = restarted(place)
    assert lease(engine, ACTIVITY, extend=[task]) == []
    engine.redrive.redrive()
    assert poll(engine, ACTIVITY) == []
    place.clock.advance(LEASE_SECONDS + 1)
    first, second = poll(engine, ACTIVITY)
    assert [(one.receive_count, one.task.verify, seqs([one])) for one in (first, second)] == [(2, True, [1]), (1, True, [1])]


def test_lease_when_it_is_presented_for_another_queue_after_a_restart_then_it_is_lost(place: Place) -> None:
    """A task must not get into a queue whose workers cannot run it."""
    _, (task,) = queued(place)
    engine = restarted(place)
    assert lease(engine, WORKFLOW, extend=[task]) == [0]
    assert lease(engine, ACTIVITY, extend=[task]) == []


def test_lease_when_somebody_has_the_task_after_a_restart_then_it_is_lost(place: Place) -> None:
    """One worker at a time: who presents its lease too late is told so."""
    _, tasks = queued(place, 2)
    engine = restarted(place)
    engine.redrive.redrive()
    assert len(poll(engine, ACTIVITY, worker="other")) == 2
    assert lease(engine, ACTIVITY, extend=tasks) == [0, 1]


def test_lease_when_only_some_can_be_restored_then_the_others_are_lost(place: Place) -> None:
    """Each lease stands for itself."""
    _, tasks = queued(place, 2)
    engine = restarted(place)
    run = tasks[0].task.run_id
    message = OutgoingMessage(tasks[0].task.model_dump_json(), f"{SPACE}:{run}:1", "sent anew")
    place.queues.send(queue_name(SPACE, POOL, ACTIVITY), [message])
    poll(engine, ACTIVITY, worker="other")
    assert lease(engine, ACTIVITY, extend=tasks) == [0]


def test_tasks_when_a_worker_is_gone_then_those_alone_come_back_that_it_had_with_its_key(place: Place) -> None:
    """A key can speak for those workers only that have polled with it."""
    place.start()
    poll(place.engine, WORKFLOW, key="theirs")
    place.queues.release_consumer(consumer_name(SPACE, "mine", "w"))
    assert poll(place.engine, WORKFLOW) == []
    place.queues.release_consumer(consumer_name(SPACE, "theirs", "w"))
    assert len(poll(place.engine, WORKFLOW)) == 1


# --- workflow tasks that fail -----------------------------------------------------------------------------------------


def test_workflow_task_when_it_fails_again_and_again_then_it_comes_after_1_2_4_and_at_most_60_seconds(place: Place) -> None:
    """Broken code is tried again, by any worker, and less and less often; its history says why."""
    run = place.start()
    delays = []
    for attempt in range(1, 9):
        (task,) = poll(place.engine, WORKFLOW)
        assert task.receive_count == attempt
        failure = Failure(message=f"attempt {attempt}")
        request = WorkflowTaskFailedRequest(
            token=task.task.token, receipt=task.receipt, attempt=task.receive_count, failure=failure
        )
        delays.append(place.engine.tasks.workflow_task_failed(place.grant(run), request))
        place.clock.advance(delays[-1] - 0.5)
        assert poll(place.engine, WORKFLOW) == []
        place.clock.advance(0.5)
        item = place.store.get(keys.task_failure(run))
        assert item is not None
        assert task_failure_of(item)[2] == failure
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
