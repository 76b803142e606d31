"""Metrics of the host for Prometheus: counted as changes are committed, or read when it asks."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from pydantic_core import from_json

from levante_core.errors import Unauthenticated
from levante_core.ports.item_store import Change, Item
from levante_core.protocol.workers import TaskQueue
from levante_core.services.access.api_keys import require
from levante_core.services.dispatch.sender import TIMERS_QUEUE
from levante_core.storage import keys
from levante_core.storage.catalogue import ApiKey, Role
from levante_core.storage.runs import is_open
from levante_local.queues.queues import InProcessQueues
from levante_local.queues.state import QueueSizes
from levante_local.sqlite.store import SqliteItemStore
from levante_local.supervision import Supervisor

METRICS = "/metrics"
"""The path."""
UNKNOWN = "UNKNOWN"
KINDS = {
    "workflow": f"{TaskQueue.WORKFLOW.value}-tasks.fifo",
    "activity": f"{TaskQueue.ACTIVITY.value}-tasks.fifo",
    "timers": TIMERS_QUEUE,
}
"""Queues by the ends of their names."""


class HostMetrics(Collector):
    """The metrics of one host. Counters begin at 0 with each process, as Prometheus expects."""

    def __init__(self, store: SqliteItemStore, queues: InProcessQueues, supervisor: Supervisor) -> None:
        self._store = store
        self._queues = queues
        self._supervisor = supervisor
        self._registry = CollectorRegistry(auto_describe=False)
        self._started = Counter(
            "levante_executions_started", "Executions started, or opened again.", registry=self._registry
        )
        self._closed = Counter(
            "levante_executions_closed", "Executions that ended, by status.", ["status"], registry=self._registry
        )
        self._events = Counter(
            "levante_history_events",
            "History events that were recorded, by kind; those of batches over 64 KiB are not counted.",
            ["kind"],
            registry=self._registry,
        )
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        store.listen(self.notice)

    async def answer(self, key: ApiKey | None) -> dict[str, Any]:
        """Write all metrics as an answer, in the OpenMetrics text format, in a thread: many open executions take a moment.

        Raises: Unauthenticated; Forbidden, unless the key is a viewer's or an admin's. Cost: counts in two indexes.
        """
        if key is None:
            raise Unauthenticated("metrics need an API key")
        require(key, Role.VIEWER)
        content = await asyncio.to_thread(generate_latest, self._registry)
        headers = {"content-type": CONTENT_TYPE_LATEST, "cache-control": "no-store"}
        return {"statusCode": 200, "headers": headers, "body": content.decode()}

    def notice(self, changes: Sequence[Change]) -> None:
        """Count what was committed. Meant for `SqliteItemStore.listen`: quick, and without any reading."""
        for change in changes:
            if change.new is None:
                continue
            if change.key.partition.startswith("X#") and change.key.sort == keys.EXECUTION:
                self._notice_execution(change.new, change.old)
            elif change.old is None and change.key.sort.startswith(keys.BATCH):
                self._notice_batch(change.new)

    def collect(self) -> Iterator[Metric]:
        """Read the gauges: see `Collector`."""
        yield GaugeMetricFamily(
            "levante_executions_open",
            "Executions that are open.",
            self._listed(keys.open_runs),
        )
        yield GaugeMetricFamily(
            "levante_parked_items",
            "What could not be handled and was set aside.",
            self._listed(keys.parked_due),
        )
        queues = GaugeMetricFamily("levante_queue_messages", "Tasks and timers in queues.", labels=["queue", "state"])
        for kind, sizes in sorted(_by_kind(self._queues.sizes()).items()):
            for state in ("waiting", "in_flight", "delayed"):
                queues.add_metric([kind, state], getattr(sizes, state))
        yield queues
        problems = GaugeMetricFamily("levante_loop_failures", "Failures in a row of a loop of the host.", labels=["loop"])
        for problem in self._supervisor.problems:
            problems.add_metric([problem.part], problem.count)
        yield problems
        yield GaugeMetricFamily("levante_database_bytes", "Size of the database and its log.", self._store.size_bytes)
        yield CounterMetricFamily("levante_database_commits", "Commits that changed anything.", self._store.commits)

    def _listed(self, partition: Callable[[int], str]) -> int:
        return sum(self._store.count(keys.DUE, partition(shard)) for shard in range(keys.SHARDS))

    def _notice_execution(self, new: Item, old: Item | None) -> None:
        was_open = old is not None and is_open(old)
        if is_open(new) and not was_open:
            self._started.inc()
        elif was_open and not is_open(new):
            self._closed.labels(str(new.attributes.get("status", UNKNOWN))).inc()

    def _notice_batch(self, item: Item) -> None:
        batch = item.documents.get("batch")
        if not isinstance(batch, str):
            return  # kept as a payload
        for event in from_json(batch).get("events", []):
            self._events.labels(event["kind"]).inc()


def _by_kind(queues: Mapping[str, QueueSizes]) -> dict[str, QueueSizes]:
    """Add up the queues of one kind: there may be one for each build and each session."""
    kinds: dict[str, QueueSizes] = {kind: QueueSizes() for kind in KINDS}
    for name, sizes in queues.items():
        kind = next((kind for kind in KINDS if name.endswith(KINDS[kind])), None)
        if kind:
            kinds[kind] += sizes
    return kinds
