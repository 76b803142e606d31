"""All services, built on one set of adapters: what each program's composition root calls."""

from dataclasses import dataclass
from datetime import timedelta

from levante_core.ports.item_store import DocumentStore
from levante_core.ports.queues import Queues
from levante_core.ports.surroundings import ChangeWatch, Clock, Ids
from levante_core.ports.task_access import TaskAccess
from levante_core.services.access.api_keys import ApiKeyService
from levante_core.services.access.audit import AuditService
from levante_core.services.access.capabilities import Capabilities
from levante_core.services.access.tickets import TicketService
from levante_core.services.activities.rate_limits import RateLimitService
from levante_core.services.activities.reports import ActivityService
from levante_core.services.batch_jobs.acting import BatchActions
from levante_core.services.batch_jobs.jobs import BatchJobService
from levante_core.services.batch_jobs.steps import BatchJobSteps
from levante_core.services.catalogue.attendance import Attendance
from levante_core.services.catalogue.backlog import BacklogService
from levante_core.services.catalogue.builds import BuildService
from levante_core.services.catalogue.declared_schedules import DeclaredSchedules
from levante_core.services.catalogue.edits import WorkflowEdits
from levante_core.services.catalogue.register import CatalogueService
from levante_core.services.catalogue.worker_groups import WorkerGroups
from levante_core.services.children.lifecycle import ChildService
from levante_core.services.conflicts import Conflicts
from levante_core.services.dispatch.effects import EffectService
from levante_core.services.dispatch.parking import Parking
from levante_core.services.dispatch.redrive import RedriveService
from levante_core.services.dispatch.repair import RepairService
from levante_core.services.dispatch.sender import Dispatch
from levante_core.services.dispatch.tasks import TaskService
from levante_core.services.dispatch.timers import DueService
from levante_core.services.executions.blockers import BlockerService
from levante_core.services.executions.close import ClosingService
from levante_core.services.executions.expiry import ExpiryService
from levante_core.services.executions.explain import ExplainService
from levante_core.services.executions.interventions import InterventionService
from levante_core.services.executions.metrics import MetricsService
from levante_core.services.executions.pausing import PausingService
from levante_core.services.executions.reset import ResetService
from levante_core.services.executions.selection import SelectionService
from levante_core.services.executions.start import ExecutionService
from levante_core.services.history.commits import CommitService
from levante_core.services.history.pages import HistoryPages
from levante_core.services.history.showing import HistoryService
from levante_core.services.messages.accept import MessageService
from levante_core.services.messages.handler_checks import HandlerChecks
from levante_core.services.messages.input_validation import InputChecks, RunBlocking
from levante_core.services.messages.queries import QueryService
from levante_core.services.observability.costs import CostService
from levante_core.services.observability.export import SendSpans, TraceExport
from levante_core.services.observability.logs import LogService
from levante_core.services.observability.statistics import StatisticsService
from levante_core.services.observability.traces import TraceService
from levante_core.services.schedules.schedules import ScheduleService
from levante_core.services.streams.activity_events import TaskEventService
from levante_core.services.streams.external_events import OutsideEventService
from levante_core.services.streams.publish import StreamService
from levante_core.services.streams.tails import TailService


@dataclass(frozen=True, slots=True)
class Engine:
    """The services of an installation."""

    activities: ActivityService
    api_keys: ApiKeyService
    audit: AuditService
    backlog: BacklogService
    batch_jobs: BatchJobService
    batch_steps: BatchJobSteps
    blockers: BlockerService
    builds: BuildService
    capabilities: Capabilities
    catalogue: CatalogueService
    clock: Clock
    closing: ClosingService
    commits: CommitService
    costs: CostService
    dispatch: Dispatch
    due: DueService
    effects: EffectService
    executions: ExecutionService
    expiry: ExpiryService
    explanations: ExplainService
    histories: HistoryService
    history_pages: HistoryPages
    interventions: InterventionService
    logs: LogService
    messages: MessageService
    metrics: MetricsService
    outside_events: OutsideEventService
    parking: Parking
    pausing: PausingService
    queries: QueryService
    rate_limits: RateLimitService
    repair: RepairService
    redrive: RedriveService
    resets: ResetService
    schedules: ScheduleService
    selection: SelectionService
    declared_schedules: DeclaredSchedules
    statistics: StatisticsService
    streams: StreamService
    tails: TailService
    task_events: TaskEventService
    tasks: TaskService
    tickets: TicketService
    traces: TraceService
    trace_export: TraceExport
    worker_groups: WorkerGroups
    workflow_edits: WorkflowEdits


def build_engine(  # noqa: PLR0913 - what every program has to say
    store: DocumentStore,
    queues: Queues,
    clock: Clock,
    ids: Ids,
    watch: ChangeWatch,
    *,
    fast_path: bool,
    access: TaskAccess | None = None,
    send_spans: SendSpans | None = None,
    retention: timedelta | None = None,
    run_blocking: RunBlocking = lambda blocking: blocking(),
) -> Engine:
    """Wire the services.

    fast_path: whether the API dispatches what it writes; the change feed does so in any case. access: how workers reach the
    queues themselves; None where they are reached through the API alone. send_spans: exports the traces of runs that end.
    retention: how long closed runs and what belongs to them are kept; None for ever. run_blocking: waits for a process.
    """
    capabilities = Capabilities(store, clock, ids)
    dispatch = Dispatch(store, queues, clock, capabilities, fast_path=fast_path)
    parking = Parking(store, clock)
    conflicts = Conflicts(clock, ids)
    closing = ClosingService(store, clock, ids, conflicts, retention=retention)
    groups = WorkerGroups(store, clock)
    builds = BuildService(store, clock, groups)
    catalogue = CatalogueService(store, queues, clock, ids, builds=builds, groups=groups, conflicts=conflicts)
    checks = HandlerChecks(catalogue, inputs := InputChecks(run_blocking))
    traces = TraceService(store)
    trace_export = TraceExport(traces, clock, send_spans)
    blockers = BlockerService(store, clock, attendance := Attendance(queues, groups, clock))
    executions = ExecutionService(
        store, clock, ids, watch, dispatch=dispatch, catalogue=catalogue, inputs=inputs, is_traced=trace_export.is_on
    )
    messages = MessageService(store, clock, watch, dispatch=dispatch, checks=checks, conflicts=conflicts)
    children = ChildService(store, clock, dispatch=dispatch, executions=executions, closing=closing, messages=messages)
    activities = ActivityService(store, clock, dispatch)
    schedules = ScheduleService(
        store, clock, ids, dispatch=dispatch, executions=executions, closing=closing, messages=messages, conflicts=conflicts
    )
    streams = StreamService(store, conflicts)
    expiry = ExpiryService(store, clock, streams)
    effects = EffectService(
        store, clock, dispatch=dispatch, activities=activities, children=children, schedules=schedules, expiry=expiry
    )
    interventions = InterventionService(store, clock, dispatch=dispatch, conflicts=conflicts)
    resets = ResetService(store, clock, ids, effects=effects, builds=builds, conflicts=conflicts, retention=retention)
    selection = SelectionService(catalogue, blockers)
    actions = BatchActions(store, executions, closing, messages, resets, interventions)
    steps = BatchJobSteps(store, clock, dispatch=dispatch, selection=selection, actions=actions)
    return Engine(
        activities=activities,
        api_keys=ApiKeyService(store, clock, ids),
        audit=AuditService(store, clock, ids),
        backlog=BacklogService(queues, builds),
        batch_jobs=BatchJobService(store, clock, ids, catalogue=catalogue, selection=selection, conflicts=conflicts),
        batch_steps=steps,
        blockers=blockers,
        builds=builds,
        capabilities=capabilities,
        catalogue=catalogue,
        clock=clock,
        closing=closing,
        costs=CostService(store),
        commits=CommitService(store, clock, dispatch, capabilities, retention=retention),
        dispatch=dispatch,
        due=DueService(
            store, clock, dispatch=dispatch, closing=closing, schedules=schedules, batch_jobs=steps, parking=parking
        ),
        effects=effects,
        executions=executions,
        expiry=expiry,
        explanations=ExplainService(store, queues, clock, blockers),
        histories=HistoryService(store),
        history_pages=HistoryPages(store, clock, watch),
        interventions=interventions,
        logs=LogService(store, clock),
        messages=messages,
        metrics=MetricsService(executions, clock, blockers),
        outside_events=OutsideEventService(store, streams, conflicts),
        parking=parking,
        pausing=PausingService(store, clock, ids, dispatch=dispatch, conflicts=conflicts),
        queries=QueryService(store, clock, ids, watch, dispatch=dispatch, checks=checks, attendance=attendance),
        rate_limits=RateLimitService(store, clock, conflicts),
        repair=RepairService(store, clock, effects=effects, activities=activities, builds=builds, parking=parking),
        redrive=RedriveService(store, clock, ids, effects=effects, batch_jobs=steps, parking=parking),
        resets=resets,
        schedules=schedules,
        selection=selection,
        declared_schedules=DeclaredSchedules(schedules, executions),
        statistics=StatisticsService(store, clock, conflicts),
        streams=streams,
        tails=TailService(streams, clock, watch),
        task_events=TaskEventService(store, streams, conflicts),
        tasks=TaskService(
            store,
            queues,
            clock,
            ids,
            dispatch=dispatch,
            capabilities=capabilities,
            builds=builds,
            parking=parking,
            access=access,
        ),
        tickets=TicketService(store, clock, ids),
        traces=traces,
        trace_export=trace_export,
        worker_groups=groups,
        workflow_edits=WorkflowEdits(store, catalogue, conflicts),
    )
