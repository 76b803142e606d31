"""Tasks as workers get them: whose queues are polled, what cannot be read, what has to be checked, what may be loaded."""

import json
from datetime import UTC, datetime

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ActivityScheduled, ExecutionCompleted, TimerStarted
from levante_core.domain.names import Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import InconsistentHistory, InvalidInput, NotFound
from levante_core.ports.queues import OutgoingMessage
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.queue_access import QueueAccess, QueueCredentials
from levante_core.protocol.workers import LEASE_SECONDS, LoadRequest, RegisterRequest, TaskQueue
from levante_core.services.dispatch.sender import queue_name
from levante_core.services.history import loading
from levante_core.storage.parked import Owner, ParkedKind
from levante_local.queues.queues import InProcessQueues
from tests.support.engines import another, carry_out_changes, poll
from tests.support.place import DEPLOYMENT, POOL, SPACE, Place

WORKFLOW, ACTIVITY = TaskQueue
TEXT = "no task at all"


def registered(place: Place, build: str | None = None, session: str | None = None) -> None:
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={})
    place.engine.catalogue.register(
        SPACE,
        RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w", build_id=build, session=session),
    )


def sent(place: Place, queue: TaskQueue, body: str) -> None:
    """Put a message into a queue of the deployment."""
    message = OutgoingMessage(body, f"group of {body[:20]}", f"id of {body[:20]}")
    place.queues.send(queue_name(SPACE, POOL, queue), [message])


# --- polls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unknown", "unknown@b", "d@unknown", "d~unknown", "d@b~unknown"])
def test_poll_when_no_worker_has_registered_for_the_pool_then_not_found(place: Place, name: str) -> None:
    """Made up names make no queues."""
    registered(place, build="b", session="s")
    for queue in TaskQueue:
        with pytest.raises(NotFound):
            poll(place.engine, queue, name)
        with pytest.raises(NotFound):
            place.queues.is_attended(queue_name(SPACE, WorkerPool.parse(name), queue))


@pytest.mark.parametrize("name", ["d", "d@b", "d~s"])
def test_poll_when_the_queue_of_a_known_pool_is_gone_then_it_is_made_anew(place: Place, name: str) -> None:
    """Queues are disposable: workers need not register again for them."""
    registered(place, build="b", session="s")
    engine = another(place, queues=InProcessQueues(place.clock))
    assert poll(engine, ACTIVITY, name) == []


def test_poll_when_a_session_has_ended_then_its_queue_is_not_made_again(place: Place) -> None:
    """A worker that is gone comes back with another session."""
    registered(place, session="s")
    place.clock.advance(3600)
    with pytest.raises(NotFound, match="session 's'"):
        poll(another(place, queues=InProcessQueues(place.clock)), ACTIVITY, "d~s")


def test_poll_when_a_message_cannot_be_read_then_it_is_parked_for_its_deployment_and_the_others_come(place: Place) -> None:
    """It is in nobody's way, and stays in sight of those whose queue it was in, whatever it says of itself."""
    run = place.start()
    foreign = json.dumps({"workspace": "other", "deployment_name": "o", "execution_id": run.execution_id})
    sent(place, WORKFLOW, foreign)
    sent(place, WORKFLOW, TEXT)
    assert [task.task.run_id for task in poll(place.engine, WORKFLOW)] == [run.run_id]
    parked = place.engine.parking.list(SPACE, 10, None).items
    assert {(one.kind, one.owner.workspace, one.owner.pool) for one in parked} == {(ParkedKind.TASK, SPACE, POOL)}
    assert len(parked) == 2
    assert place.engine.parking.list(Workspace("other"), 10, None).items == ()
    place.clock.advance(LEASE_SECONDS + 1)
    assert len(place.emptied(WORKFLOW)) == 1, "what is parked has left the queue"


def test_parked_task_when_it_is_sent_again_then_it_goes_to_the_queue_it_was_in_and_is_to_be_checked(place: Place) -> None:
    """It cannot lead into another workspace; and it is no repeat of what the queue had before."""
    place.start()
    (task,) = place.tasks(WORKFLOW)
    foreign = task.model_copy(update={"workspace": Workspace("other"), "deployment_name": WorkerPool.parse("o")})
    for _ in range(2):
        place.engine.tasks.send_again(Owner(SPACE, pool=POOL), foreign.model_dump_json())
    place.clock.advance(LEASE_SECONDS + 1)
    _, *again = place.tasks(WORKFLOW)
    assert [(one.run_id, one.workspace, one.deployment_name, one.verify) for one in again] == [
        (task.run_id, SPACE, POOL, True)
    ] * 2


def test_parked_task_when_nobody_knows_its_deployment_then_that_is_said(place: Place) -> None:
    """It can only be dropped."""
    with pytest.raises(InconsistentHistory, match="drop it"):
        place.engine.tasks.send_again(Owner(SPACE), TEXT)


def test_task_when_it_came_due_before_the_queues_began_then_it_is_to_be_checked(place: Place) -> None:
    """Queues that have forgotten what they had accept a repeat of it."""
    before = place.start()
    place.clock.advance(10)
    place.queues = InProcessQueues(place.clock)
    place.engine = another(place)
    place.clock.advance(10)
    fresh = place.start()
    assert [(task.task.run_id, task.task.verify) for task in poll(place.engine, WORKFLOW)] == [(fresh.run_id, False)]
    carry_out_changes(place, place.engine)
    assert [(task.task.run_id, task.task.verify) for task in poll(place.engine, WORKFLOW)] == [(before.run_id, True)]


# --- access to the queues ---------------------------------------------------------------------------------------------


class Lender:
    """Lends access to queues that are there. lent: which."""

    def __init__(self, place: Place) -> None:
        self.lent: list[tuple[str, str]] = []
        self._queues = place.queues

    def grant(self, workflow_queue: str, activity_queue: str) -> QueueAccess:
        """See TaskAccess."""
        for queue in (workflow_queue, activity_queue):
            self._queues.is_attended(queue)
        self.lent.append((workflow_queue, activity_queue))
        credentials = QueueCredentials(
            access_key_id="a", secret_access_key="b", session_token="c", expires_at=datetime(2026, 1, 1, tzinfo=UTC)
        )
        return QueueAccess(region="r", workflow_queue=workflow_queue, activity_queue=activity_queue, credentials=credentials)


def test_access_when_it_is_lent_then_both_queues_are_there_and_are_the_deployments(place: Place) -> None:
    """Credentials are for these two queues, and nothing else."""
    registered(place, session="s")
    lender = Lender(place)
    engine = another(place, access=lender)
    for_session = WorkerPool.parse("d~s")
    assert engine.tasks.lends_access
    assert engine.tasks.access(SPACE, for_session) is not None
    assert lender.lent == [(queue_name(SPACE, for_session, WORKFLOW), queue_name(SPACE, for_session, ACTIVITY))]
    with pytest.raises(NotFound):
        engine.tasks.access(SPACE, WorkerPool.parse("unknown"))


def test_access_when_nobody_lends_any_then_there_is_none(place: Place) -> None:
    """Workers poll through the API then."""
    assert not place.engine.tasks.lends_access
    assert place.engine.tasks.access(SPACE, POOL) is None


# --- loading ----------------------------------------------------------------------------------------------------------


def advanced(place: Place, batches: int) -> RunKey:
    """Start an execution, and commit so many batches."""
    run = place.start()
    for index in range(1, batches + 1):
        place.commit(run, index, TimerStarted(seq=index, fire_at=place.clock.now()))
    return run


def next_index(place: Place, token: str | None) -> int | None:
    return None if token is None else place.engine.capabilities.run(SPACE, token).next_index


def test_load_when_it_is_complete_then_its_token_lets_commit_the_batch_that_follows(place: Place) -> None:
    """Whoever has seen all up to an index may write the next one, and no other."""
    run = advanced(place, 3)
    assert next_index(place, place.load(run).token) == 4
    assert next_index(place, place.load(run, after_index=3).token) == 4
    assert next_index(place, place.load(place.start()).token) == 1


def test_load_when_it_is_a_part_then_the_last_part_alone_has_a_token(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may commit who has not read all."""
    run = advanced(place, 4)
    monkeypatch.setattr(loading, "PAGE_BYTES", 1)
    tokens: list[int | None] = []
    after = None
    while not tokens or after:
        part = place.load(run, after=after)
        tokens.append(next_index(place, part.token))
        after = part.next
    assert tokens == [None] * 3 + [5]


def test_load_when_the_run_is_closed_then_it_has_no_token(place: Place) -> None:
    """Nothing follows on an end."""
    run = advanced(place, 1)
    place.commit(run, 2, ExecutionCompleted(seq=2, result=None))
    assert place.load(run).token is None


def test_load_when_it_begins_beyond_what_its_token_is_for_then_it_is_refused(place: Place) -> None:
    """A worker that skips batches would have a token for an index before which it has not read everything."""
    run = advanced(place, 4)

    def loaded(after_index: int) -> list[int]:
        request = LoadRequest(token="not read here", after_index=after_index)
        return [batch.index for batch in place.engine.tasks.load(place.grant(run, 3), request).batches]

    assert loaded(2) == [3, 4]
    for beyond in (3, 4):
        with pytest.raises(InvalidInput, match="batch 3"):
            loaded(beyond)


def test_load_when_the_part_is_of_another_run_then_it_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a part ends means something in its own history alone."""
    run, other = advanced(place, 4), advanced(place, 4)
    monkeypatch.setattr(loading, "PAGE_BYTES", 1)
    part = place.load(run)
    assert place.load(run, after=part.next).batches
    with pytest.raises(InvalidInput, match="next"):
        place.load(other, after=part.next)


def test_load_when_the_id_is_used_by_another_run_then_the_earlier_one_is_read_all_the_same(place: Place) -> None:
    """A worker that still has it learns that it has ended."""
    first = place.start(execution_id="e")
    place.commit(first, 1, ActivityScheduled(seq=1, name="a", input={}))
    place.engine.closing.terminate(SPACE, first.execution_id)
    place.start(execution_id="e")
    loaded = place.load(first)
    assert (loaded.status, [batch.index for batch in loaded.batches]) == ("TERMINATED", [1, 2])
