"""A plant with one item of every kind that is stored: what one execution, its deployment and its workspace leave behind."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_type_hints

from levante_core.domain.activities.options import RateLimit
from levante_core.domain.batch_jobs.job import BatchFailure, PageOutcome, after_page
from levante_core.domain.batch_jobs.request import BatchRequest
from levante_core.domain.epoch import EPOCH
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ActivityScheduled,
    ChildScheduled,
    ExecutionCompleted,
    FactTaken,
    MessagesTaken,
    ParentClosePolicy,
    TimerFired,
    TimerStarted,
)
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, RunId, WorkflowName
from levante_core.domain.observability.statistics import ClosedRun, Totals
from levante_core.domain.schedules.spec import ScheduleDefinition
from levante_core.domain.streams.events import OutsideTask, StreamEventType
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.item_store import Item, Key, Put
from levante_core.ports.queues import OutgoingMessage
from levante_core.protocol.activities import PermitRequest
from levante_core.protocol.logs import LogLine, LogsRequest
from levante_core.protocol.specs import WorkflowSpec
from levante_core.protocol.workers import QueryAnswer, QueryRequest, RegisterRequest
from levante_core.services.access.capabilities import AttemptGrant
from levante_core.services.activities.reports import GrantedReport
from levante_core.services.dispatch.sender import TIMERS_QUEUE
from levante_core.services.observability.statistics import hour_start
from levante_core.services.schedules.schedules import Target
from levante_core.services.streams.external_events import OutsideEvent
from levante_core.storage import keys
from levante_core.storage.attempts import task_failure_item
from levante_core.storage.batch_jobs.failures import failures_item
from levante_core.storage.batch_jobs.jobs import progress_update
from levante_core.storage.catalogue import Role
from levante_core.storage.observability.statistics import (
    CountingPlace,
    HourStatistics,
    counting_place_item,
    hour_item,
)
from levante_core.storage.queries import query_item
from levante_core.storage.runs import Recorded, closed_run_entry, fact_item, outcome_fact
from tests.support.poison import HOME, NEIGHBOURS, VICTIM, Plant

OWN = NEIGHBOURS[0][1]
SECRETS = {"admin": "secret-of-admin-0123456789", "client": "secret-of-client-0123456789"}
"""Of the API keys of the home workspace, of which the first one is never damaged."""
_SPLIT = frozenset("XHSDW")
"""Partitions that hold items of several kinds, told apart by their sort keys."""


def kind_of(key: Key) -> str:
    """Name the kind of an item by its key."""
    partition, sort = key.partition.partition("#")[0], key.sort
    if partition == "H" and sort.startswith(keys.QUERY):
        return "H FQ"
    return f"{partition} {sort.partition('#')[0]}" if partition in _SPLIT else partition


def kinds_of_keys() -> dict[str, str]:
    """Return the kinds of all keys that `keys` makes, each with the name of what makes it."""
    sample: Mapping[str, Any] = {
        "key": RunKey(HOME, ExecutionId("e"), RunId("r")),
        "at": EPOCH,
        "due_at": EPOCH,
        "hour": EPOCH,
        "seq": 1,
        "index": 1,
        "first": 1,
        "registrations": ["r"],
        "build_id": "b",
    }
    made: dict[str, Key] = {name: value for name, value in vars(keys).items() if isinstance(value, Key)}
    for name, function in inspect.getmembers(keys, inspect.isfunction):
        if function.__module__ == keys.__name__ and get_type_hints(function)["return"] is Key:
            made[name] = function(*(sample.get(parameter, "x") for parameter in inspect.signature(function).parameters))
    return {kind_of(key): name for name, key in made.items()}


def live_in(plant: Plant) -> RunKey:
    """Let much happen, until something of each kind is there. Returns the run that most of it is of."""
    engine, clock = plant.engine, plant.clock
    for name, secret in SECRETS.items():
        engine.api_keys.ensure(HOME, Role.ADMIN, name, secret)
    admin, *_ = engine.api_keys.list(HOME)
    engine.tickets.issue(admin, "a purpose")
    engine.audit.refused(HOME, engine.audit.record(admin, "terminate_workflow_execution", {"execution_id": VICTIM}, {}), 404)
    _have_workers(plant)
    before = plant.start(HOME, OWN, VICTIM)
    plant.commit(before, OWN, ExecutionCompleted(seq=1, result=1))
    run = plant.start(HOME, OWN, VICTIM, user_id="u")
    plant.pump()
    now = clock.now()
    child = ChildScheduled(
        seq=1,
        workflow_name=WorkflowName("w-own"),
        execution_id=ExecutionId("child"),
        input=None,
        close_policy=ParentClosePolicy.ABANDON,
    )
    near, far = (TimerStarted(seq=seq, fire_at=now + timedelta(hours=hours)) for seq, hours in ((2, 0.1), (3, 0.8)))
    activities = [ActivityScheduled(seq=seq, name="a", input={}) for seq in (4, 5, 6)]
    plant.commit(run, OWN, child, near, far, *activities)
    engine.messages.signal(HOME, VICTIM, "s", {"a": 1}, "request")
    recorded = Recorded(run, WorkerPool(OWN), now)
    plant.items.write(Put(fact_item(recorded, outcome_fact(TimerFired(seq=2, at=now)))))
    plant.commit(run, OWN, MessagesTaken(until=1), FactTaken(fact=keys.outcome_fact(2)))
    plant.pump()
    _have_activities(plant, run)
    _have_queries(plant, run)
    plant.items.write(Put(task_failure_item(recorded, 1, Failure(message="no"))))
    _have_a_stream(plant, run)
    _have_a_schedule(plant)
    _have_a_batch_job(plant)
    plant.queues.send(TIMERS_QUEUE, [OutgoingMessage("{")])
    plant.fire()
    _have_a_walk(plant)
    _have_statistics(plant)
    plant.round()
    return run


def _have_workers(plant: Plant) -> None:
    engine = plant.engine
    spec = WorkflowSpec(name="w-built", task_queue=OWN, input_schema={})
    request = RegisterRequest(
        definitions=(spec,), deployment_name=OWN, worker_name="built", build_id="b1", session="session"
    )
    engine.catalogue.register(HOME, request)
    line = LogLine(at=plant.clock.now(), level="INFO", logger="l", message="m", execution_id=VICTIM)
    engine.logs.append(HOME, LogsRequest(deployment_name=OWN, worker_name="w", batch_id="0" * 32, lines=(line,)))
    limit = RateLimit(time_window_in_sec=60, max_execution=1)
    engine.rate_limits.permit(HOME, PermitRequest(deployment_name=WorkerPool(OWN), activity_name="a", rate_limit=limit))


def _have_activities(plant: Plant, run: RunKey) -> None:
    """Let one activity run, one go on elsewhere, and one wait for its next attempt."""
    running, elsewhere, failing = (AttemptGrant(run, WorkerPool(OWN), seq, 1, 1) for seq in (4, 5, 6))
    activities = plant.engine.activities
    activities.heartbeat(running, ["half"])
    activities.defer(elsewhere, timedelta(hours=2), None)
    activities.report([GrantedReport(failing, failure=Failure(message="no"))])


def _have_queries(plant: Plant, run: RunKey) -> None:
    later = int((plant.clock.now() + timedelta(hours=1)).timestamp())
    plant.items.write(Put(query_item(run, QueryRequest(query_id="q", name="n", input=None), later)))
    answer = QueryAnswer(query_id="q", result=1).model_dump_json()
    plant.items.write(Put(Item(keys.query_answer(run, "q"), {"expires_at": later}, {"answer": answer})))


def _have_a_stream(plant: Plant, run: RunKey) -> None:
    task = OutsideTask(
        "event", 1, StreamEventType.CUSTOM_TASK_STARTED, "t", {"custom_task_id": "c", "custom_task_type": "t"}
    )
    event = OutsideEvent((), VICTIM, run.run_id, VICTIM, None, "w-own", task)
    plant.engine.outside_events.append(HOME, [event])


def _have_a_schedule(plant: Plant) -> None:
    definition = ScheduleDefinition.model_validate(
        {"input": None, "cron_expressions": ["*/5 * * * *"], "schedule_id": "schedule"}
    )
    plant.engine.schedules.create(HOME, Target(WorkflowName("w-own"), OWN), definition)


def _have_a_batch_job(plant: Plant) -> None:
    """Leave a job in the middle, after a page on which the victim failed; its next step comes within a minute."""
    admin, *_ = plant.engine.api_keys.list(HOME)
    document = {"criteria": {"search": VICTIM}, "action": {"kind": "signal", "name": "no such signal"}}
    request = BatchRequest.model_validate(document)
    job = plant.engine.batch_jobs.start(admin, "batch", request, {"a": 1})
    now = plant.clock.now()
    failure = BatchFailure(execution_id=ExecutionId(VICTIM), run_id=RunId("r"), at=now, reason="it has none")
    after = after_page(job, PageOutcome("", failures=[failure]), now)
    after = replace(after, progress=replace(after.progress, due_at=now + timedelta(seconds=30)))
    plant.items.write(progress_update(job, after), Put(failures_item(job, [failure], now)))


def _have_a_walk(plant: Plant) -> None:
    """Leave the sweep in the middle of its walk over the open runs, as where there are many of them."""
    at = plant.clock.now().isoformat()
    place = f'{{"shard": 1, "after": null, "began_at": "{at}", "before": "{at}"}}'
    plant.items.write(Put(Item(keys.REPAIR, {}, {"place": place})))


def _have_statistics(plant: Plant) -> None:
    """Count a run, as if it had ended in the hour before."""
    ended_at = plant.clock.now() - timedelta(hours=1)
    place = closed_run_entry(RunKey(HOME, ExecutionId(VICTIM), RunId("r")), ended_at).sort
    totals = Totals()
    totals.count(ClosedRun(0, place, "w-own", ExecutionStatus.COMPLETED, ended_at, ended_at, activities=(("a", 1.0),)))
    hour = hour_start(ended_at)
    plant.items.write(Put(hour_item(HourStatistics(HOME, hour, totals, {0: place}))))
    plant.items.write(Put(counting_place_item(CountingPlace(places={0: place}, unchecked_since=hour))))


def all_items(plant: Plant) -> Iterator[Item]:
    """Read every item of the store, by the feed: so no kind can be forgotten."""
    seen: dict[Key, None] = {}
    after: str | None = None
    while changes := plant.raw.read_changes(after, 1000):
        after = changes[-1].sequence
        seen |= dict.fromkeys(change.key for change in changes)
    for key in seen:
        if item := plant.raw.get(key):
            yield item


def is_of_the_victim(item: Item) -> bool:
    """Tell whether an item is the victim's, or of its deployment, or of everybody; others are damaged elsewhere."""
    if item.attributes.get("name") == "admin":
        return False
    names = [*item.key.partition.split("#"), *item.key.sort.split("#")]
    neighbours = {str(one) for whose in NEIGHBOURS[1:] for one in whose} - {str(HOME), str(OWN)}
    return not any(name in neighbours or name.removeprefix("w-") in neighbours for name in names)


Shape = tuple[str, frozenset[str], frozenset[str], str]


def shape_of(item: Item) -> Shape:
    """Tell items apart that have different parts, or events of different kinds."""
    said = str(item.documents.get("batch") or item.documents.get("fact") or "")[:200]
    event = said.partition('"kind":"')[2].partition('"')[0]
    return kind_of(item.key), frozenset(item.attributes), frozenset(item.documents), event
