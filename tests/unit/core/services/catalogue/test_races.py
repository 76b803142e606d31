"""Registrations and edits when somebody else registers or edits between the look and the write."""

from collections.abc import Callable
from typing import Any

import pytest

from levante_core.domain.catalogue.routing import LIVENESS_WINDOW
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ExecutionContinuedAsNew
from levante_core.domain.names import DeploymentName, ExecutionId, RunId, WorkflowName
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.item_store import Delete, Key, Write
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.workers import HeartbeatRequest, LeaveRequest, RegisterRequest, RegisterResponse
from levante_core.services.catalogue.edits import Edit
from levante_core.services.catalogue.worker_groups import BUILD_NOTED_EVERY
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from levante_core.storage.catalogue import Workflow
from levante_core.storage.runs import summary_of
from tests.support.place import DEPLOYMENT, HOUR, POOL, SPACE, Place
from tests.support.races import races

E, W = ExecutionId("e"), WorkflowName("w")
NEXT = RunId("next")
OLD, NEW, OTHER = (WorkerPool(DEPLOYMENT, build) for build in ("old", "new", "other"))


def register(
    place: Place, worker: str = "w", deployment: str = DEPLOYMENT, build: str | None = None, **more: Any
) -> RegisterResponse:
    """Register the workflow, as a worker does when it starts."""
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={}, **{"execution_timeout": 100 * HOUR, **more})
    request = RegisterRequest(
        definitions=(spec,), deployment_name=DeploymentName(deployment), worker_name=worker, build_id=build
    )
    return place.engine.catalogue.register(SPACE, request)


def shown(place: Place) -> Workflow:
    return place.engine.catalogue.get(SPACE, "w").workflow


def is_of(key: Key) -> Callable[[Write], bool]:
    return lambda write: write.key == key


# --- workflows --------------------------------------------------------------------------------------------------------


@races("register._registration Absent")
def test_workflow_when_another_deployment_registers_it_first_meanwhile_then_it_has_one_id(place: Place) -> None:
    """Whoever keeps the id of a workflow finds it, with both registrations."""
    workflow = is_of(keys.workflow(SPACE, W))
    ids: list[str] = []
    with place.racing.before_write(lambda: ids.append(id_of(register(place, deployment="other"))), of=workflow):
        ids.append(id_of(register(place)))
    assert ids == [shown(place).workflow_id] * 2
    entry = place.engine.catalogue.get(SPACE, ids[0])
    assert {one.deployment_name for one in entry.registrations} == {"other", DEPLOYMENT}


@races("register._registration Absent", "register._registration Matches")
@pytest.mark.parametrize("is_known", [True, False])
def test_registration_when_another_worker_registers_meanwhile_then_both_have_the_same(
    place: Place, *, is_known: bool
) -> None:
    """Workers of a new deployment start at once: the id that one of them was told leads to what all of them serve."""
    if is_known:
        register(place, deployment="other")
    responses: list[RegisterResponse] = []
    workflow = is_of(keys.workflow(SPACE, W))
    with place.racing.before_write(lambda: responses.append(register(place, "first")), of=workflow):
        responses.append(register(place, "second"))
    first, second = (one.workflow_registration_ids[0] for one in responses)
    assert first == second
    execution = place.engine.executions.start_registration(SPACE, first, StartRequest())
    assert execution.pool == POOL


@races("register._registration Matches")
def test_registration_when_a_user_edits_the_workflow_meanwhile_then_the_edit_stays(place: Place) -> None:
    """What users say outlives what code declares."""
    register(place)
    edits = place.engine.workflow_edits
    with place.racing.before_write(
        lambda: edits.edit(SPACE, "w", Edit({"description": "ours"}, tags=["a"])),
        of=is_of(keys.workflow(SPACE, W)),
    ):
        register(place, description="code's")
    assert (shown(place).description, shown(place).tags) == ("ours", ("a",))


@races("edits._change Matches")
def test_edit_when_new_code_registers_meanwhile_then_what_the_code_says_stays_too(place: Place) -> None:
    """What users say is kept beside what code declares, which each of them alone may change."""
    register(place, description="code's")
    with place.racing.before_write(lambda: register(place, description="code's new", display_name="Code's new name")):
        place.engine.workflow_edits.edit(SPACE, "w", Edit({"display_name": "Ours"}))
    assert (shown(place).display_name, shown(place).description) == ("Ours", "code's new")


@races("edits._change Matches")
def test_edit_when_another_is_made_meanwhile_then_both_stay(place: Place) -> None:
    """Two people edit different things."""
    register(place)
    edits = place.engine.workflow_edits
    with place.racing.before_write(lambda: edits.add_tags(SPACE, "w", ["first"])):
        edits.add_tags(SPACE, "w", ["second"])
    with place.racing.before_write(lambda: edits.archive(SPACE, "w", is_archived=True)):
        edits.edit(SPACE, "w", Edit({"description": "ours"}))
    workflow = shown(place)
    assert (workflow.tags, workflow.is_archived, workflow.description) == (("first", "second"), True, "ours")


def id_of(response: RegisterResponse) -> str:
    return response.workflow_registration_refs[0].workflow_id


# --- deployments and workers ------------------------------------------------------------------------------------------


@races("register._ensure_deployment Absent")
def test_deployment_when_another_worker_makes_it_meanwhile_then_it_keeps_its_id(place: Place) -> None:
    """The id leads to it from then on."""
    ids: list[str] = []

    def make() -> None:
        register(place, "first")
        ids.append(place.engine.catalogue.get_deployment(SPACE, DEPLOYMENT).deployment_id)

    with place.racing.before_write(make, of=is_of(keys.deployment(SPACE, DEPLOYMENT))):
        register(place, "second")
    assert place.engine.catalogue.get_deployment(SPACE, DEPLOYMENT).deployment_id == ids[0]


@races("register.heartbeat Matches")
def test_heartbeat_when_the_worker_is_forgotten_meanwhile_then_it_is_told_to_register_and_nothing_is_left(
    place: Place,
) -> None:
    """Half a worker could be read by nobody."""
    known = register(place)
    key = keys.worker(SPACE, DEPLOYMENT, "w")
    request = HeartbeatRequest(
        workflow_registration_refs=known.workflow_registration_refs, deployment_name=DEPLOYMENT, worker_name="w"
    )
    with place.racing.before_write(lambda: place.store.write(Delete(key)), of=is_of(key)):
        assert not place.engine.catalogue.heartbeat(SPACE, request)
    assert place.store.get(key) is None


@races("register.leave Matches")
def test_leave_when_the_worker_is_forgotten_meanwhile_then_nothing_is_left(place: Place) -> None:
    """A row with nothing but the time at which it left would be no worker."""
    refs = register(place).workflow_registration_refs
    key = keys.worker(SPACE, DEPLOYMENT, "w")
    leave = LeaveRequest(workflow_registration_refs=refs, deployment_name=DEPLOYMENT, worker_name="w")
    with place.racing.before_write(lambda: place.store.write(Delete(key)), of=is_of(key)):
        place.engine.catalogue.leave(SPACE, leave)
    assert place.store.get(key) is None


# --- builds -----------------------------------------------------------------------------------------------------------


@races("builds.register Absent")
def test_build_when_another_worker_registers_it_meanwhile_then_it_is_as_old_as_that(place: Place) -> None:
    """The newest build gets new executions: one registers for the first time once."""
    key = keys.build(SPACE, DEPLOYMENT, "b")

    def first() -> None:
        place.clock.advance(60)
        register(place, build="b")

    with place.racing.before_write(first, of=is_of(key)):
        register(place, "other", build="b")
    (build,) = place.engine.builds.all(SPACE, DEPLOYMENT)
    assert build.registered_at == place.clock.now()


@races("worker_groups._build_notes Matches")
@pytest.mark.parametrize("by_worker", [True, False])
def test_build_when_it_is_forgotten_meanwhile_then_nothing_is_left_of_it(place: Place, *, by_worker: bool) -> None:
    """Half a build could be read by nobody; its workers are told to register again."""
    known = register(place, build="b")
    run = place.engine.executions.start(SPACE, "w", StartRequest()).key
    place.clock.advance(BUILD_NOTED_EVERY.total_seconds())
    key = keys.build(SPACE, DEPLOYMENT, "b")
    request = HeartbeatRequest(
        workflow_registration_refs=known.workflow_registration_refs,
        deployment_name=DEPLOYMENT,
        worker_name="w",
        build_id="b",
    )
    item = place.store.get(keys.execution(SPACE, run.execution_id))
    assert item
    with place.racing.before_write(lambda: place.store.write(Delete(key)), of=is_of(key)):
        if by_worker:
            assert not place.engine.catalogue.heartbeat(SPACE, request)
        else:
            place.engine.builds.keep(summary_of(item))
    assert place.store.get(key) is None


@pytest.fixture
def left(place: Place) -> RunKey:
    """Start a run whose build has no workers left, while there are some of a newer build."""
    register(place, build="old")
    run = place.engine.executions.start(SPACE, "w", StartRequest(execution_id=E)).key
    place.clock.advance(LIVENESS_WINDOW.total_seconds() * 3)
    register(place, build="new")
    return run


def belongs_to(place: Place) -> WorkerPool:
    return place.engine.executions.get(SPACE, E).pool


@races("builds.take_over open_run")
def test_run_when_its_build_is_left_then_the_newer_build_takes_it_over(place: Place, left: RunKey) -> None:
    """Whoever looks at the same time comes to the same."""
    assert belongs_to(place) == OLD
    with place.racing.before_write(lambda: place.engine.builds.take_over(left, OLD)):
        assert place.engine.builds.take_over(left, OLD) == NEW
    assert belongs_to(place) == NEW


@races("builds.take_over open_run")
def test_run_when_it_ends_or_goes_on_as_new_meanwhile_then_what_is_there_stays_where_it_is(
    place: Place, left: RunKey
) -> None:
    """The run that followed is somebody else's to move."""
    event = ExecutionContinuedAsNew(seq=1, run_id=NEXT, input=None)
    with place.racing.before_write(lambda: place.commit(left, 1, event)):
        place.engine.builds.take_over(left, OLD)
    assert belongs_to(place) == OLD
    new = place.engine.executions.get(SPACE, E).key
    with place.racing.before_write(lambda: place.engine.closing.terminate(SPACE, E)):
        place.engine.builds.take_over(new, OLD)
    assert belongs_to(place) == OLD


@races("builds.take_over open_run")
def test_run_when_a_still_newer_build_takes_it_over_meanwhile_then_it_belongs_to_that(place: Place, left: RunKey) -> None:
    """Tasks go to the workers that the run belongs to: those of another build would leave them."""

    def roll_out() -> None:
        place.clock.advance(1)
        register(place, build="other")
        assert place.engine.builds.take_over(left, OLD) == OTHER

    with place.racing.before_write(roll_out):
        assert place.engine.builds.take_over(left, OLD) == OTHER
    assert belongs_to(place) == OTHER
