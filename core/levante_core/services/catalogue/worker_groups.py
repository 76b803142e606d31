"""Which workers of a deployment are there, without a look at each of them.

Workers of one build that serve the same workflows are a group. While one of them is alive, that is noted of the group, every
now and then; so it costs the same to find out with five hundred workers as with one.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from cachetools import LRUCache

from levante_core.domain.catalogue.routing import is_live
from levante_core.domain.names import DeploymentName, WorkflowName, Workspace
from levante_core.ports.item_store import (
    EXPIRES_AT,
    ConditionFailed,
    Delete,
    ItemStore,
    Key,
    Matches,
    Put,
    Query,
    Update,
    Write,
)
from levante_core.ports.surroundings import Clock
from levante_core.storage import keys
from levante_core.storage.catalogue import WorkerGroup, expires_at, registration_of, worker_group_item, worker_group_of
from levante_core.storage.decoding import readable

NOTED_EVERY = timedelta(seconds=20)
"""Between two notes there may be heartbeats that are in none: a group counts as live for so much longer than a worker."""
GROUP_KEPT_FOR = timedelta(days=1)
BUILD_KEPT_FOR = timedelta(days=30)
"""A build without workers and open executions is forgotten after this; if it comes back, it is a new one."""
BUILD_NOTED_EVERY = timedelta(days=1)
MOST_GROUPS = 1_000
MOST_NOTES_REMEMBERED = 10_000


class WorkerGroups:
    """The groups of all deployments."""

    def __init__(self, store: ItemStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._noted: LRUCache[Key, datetime] = LRUCache(MOST_NOTES_REMEMBERED)
        """When this process noted something last."""

    def note(self, workspace: Workspace, worker: Write, group: WorkerGroup, *, is_new: bool = False) -> None:
        """Write a worker's item, and that its group and build are in use, unless this process has just noted that.

        is_new: another process may have forgotten the group since. Raises: ConditionFailed where the worker, or its build,
        is not known. Cost: one write; one more every NOTED_EVERY, and one every BUILD_NOTED_EVERY.
        """
        now = self._clock.now()
        item = worker_group_item(workspace, group, heard_until=now + NOTED_EVERY, expires=now + GROUP_KEPT_FOR)
        notes: list[Write] = [Put(item)] if is_new or self._is_due(item.key, now, NOTED_EVERY) else []
        if group.build_id:
            notes += self._build_notes(workspace, group.deployment_name, group.build_id, now)
        self._store.write(worker)  # alone: in a transaction, each item would cost twice as much
        for refused in self._store.write_each([[note] for note in notes]) if notes else ():
            if refused:
                raise refused
        self._noted.update({note.key: now for note in notes})

    def forget(self, workspace: Workspace, group: WorkerGroup) -> None:
        """Note that no worker of a group is left. Cost: one write."""
        now = self._clock.now()
        key = worker_group_item(workspace, group, heard_until=now, expires=now).key
        self._noted.pop(key, None)
        self._store.write(Delete(key))

    def keep_build(self, workspace: Workspace, deployment: DeploymentName, build_id: str) -> None:
        """Keep a build that open executions are pinned to. Cost: none, or a write every BUILD_NOTED_EVERY."""
        now = self._clock.now()
        notes: list[Write] = [*self._build_notes(workspace, deployment, build_id, now)]
        if notes:
            with suppress(ConditionFailed):
                self._store.write(*notes)
            self._noted.update({note.key: now for note in notes})

    def live(self, workspace: Workspace, deployment: DeploymentName) -> list[WorkerGroup]:
        """List the groups of a deployment that have live workers. Cost: one query, whatever the number of workers."""
        now = self._clock.now()
        return [group for group, heard_until in self._all(workspace, deployment) if is_live(heard_until, now)]

    def registration_id(self, workspace: Workspace, workflow: WorkflowName, deployment: DeploymentName) -> str | None:
        """Return the id under which a deployment has registered a workflow, if it has. Cost: one read."""
        item = self._store.get(keys.registration(workspace, workflow, deployment))
        found = readable([item] if item else [], registration_of)
        return next((registration.registration_id for registration in found), None)

    def last_heard(self, workspace: Workspace, deployment: DeploymentName, registration_id: str) -> datetime | None:
        """Return until when workers may have been heard of that serve a registration. Cost: one query."""
        times = (
            heard_until for group, heard_until in self._all(workspace, deployment) if registration_id in group.registrations
        )
        return max(times, default=None)

    def _all(self, workspace: Workspace, deployment: DeploymentName) -> Iterator[tuple[WorkerGroup, datetime]]:
        first, last = keys.prefixed(keys.WORKER_GROUP)
        partition = keys.deployment(workspace, deployment).partition
        items = self._store.query(Query(partition, first=first, last=last, limit=MOST_GROUPS)).items
        yield from readable(items, worker_group_of)

    def _build_notes(
        self, workspace: Workspace, deployment: DeploymentName, build_id: str, now: datetime
    ) -> Iterator[Update]:
        key = keys.build(workspace, deployment, build_id)
        if self._is_due(key, now, BUILD_NOTED_EVERY):
            kept: dict[str, int] = {EXPIRES_AT: expires_at(now + BUILD_KEPT_FOR)}
            yield Update(key, set_attributes=kept, condition=Matches())

    def _is_due(self, key: Key, now: datetime, every: timedelta) -> bool:
        last = self._noted.get(key)
        return last is None or now - last >= every
