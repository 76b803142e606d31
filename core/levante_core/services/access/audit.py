"""The audit trail: which key changed what, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from pydantic import TypeAdapter

from levante_core.domain.frozen import wire_time
from levante_core.domain.names import Workspace
from levante_core.ports.item_store import AFTER_ALL, EXPIRES_AT, Item, ItemStore, Put, Query, Scalar, Update
from levante_core.ports.surroundings import Clock, Ids
from levante_core.services.paging import scan
from levante_core.storage import keys
from levante_core.storage.catalogue import ApiKey, Role
from levante_core.storage.decoding import moment, number, reader, text

KEPT_FOR = timedelta(days=400)
"""Longer than a year, so that what is done once a year can be compared."""
MOST_CHARACTERS = 1_000
"""Of a detail, as it is kept."""

_DETAILS = TypeAdapter(dict[str, str])


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change that somebody asked for. refused_with: the status of the answer if it was refused.

    operation: `operationId` of the API. target: what the path names. details: fields of the body; no payload is among them.
    """

    audit_id: str
    at: datetime
    key_id: str
    key_name: str
    role: Role
    operation: str
    target: Mapping[str, str]
    details: Mapping[str, str]
    refused_with: int | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted. since, until: a window that is half open. Texts: equal."""

    since: datetime | None = None
    until: datetime | None = None
    key_id: str | None = None
    operation: str | None = None

    def matches(self, entry: AuditEntry) -> bool:
        """Tell whether an entry of the window is wanted."""
        return self.key_id in {None, entry.key_id} and self.operation in {None, entry.operation}


class AuditService:
    """Keeps and lists what was changed by hand.

    An entry is written before the change is made: what happened is never missing, even if the process ends in between.
    """

    def __init__(self, store: ItemStore, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    def record(self, key: ApiKey, operation: str, target: Mapping[str, str], details: Mapping[str, str]) -> AuditEntry:
        """Keep that a change was asked for. Cost: a write; the entry expires after KEPT_FOR."""
        at = self._clock.now()
        shown = {name: value[:MOST_CHARACTERS] for name, value in details.items()}
        entry = AuditEntry(self._ids.uuid(), at, key.key_id, key.name, key.role, operation, dict(target), shown)
        self._store.write(Put(_item(key.workspace, entry)))
        return entry

    def refused(self, workspace: Workspace, entry: AuditEntry, status: int) -> None:
        """Keep that nothing came of it. Cost: a write."""
        key = keys.audit_entry(workspace, entry.at, entry.audit_id)
        self._store.write(Update(key, {"refused_with": status}))

    def list(
        self, workspace: Workspace, wanted: AuditFilter, limit: int, after: str | None
    ) -> tuple[list[AuditEntry], str | None]:
        """List entries, the newest first, and where to go on. Cost: that of a listing that filters."""
        first = wire_time(wanted.since) if wanted.since else ""
        last = wire_time(wanted.until) if wanted.until else AFTER_ALL
        query = partial(Query, keys.audit(workspace), first=first, last=last, descending=True)

        def keep(item: Item) -> AuditEntry | None:
            entry = _entry_of(item)
            return entry if wanted.matches(entry) else None

        return scan(lambda size, place: self._store.query(query(limit=size, after=place)), keep, limit, after)


def _item(workspace: Workspace, entry: AuditEntry) -> Item:
    attributes: dict[str, Scalar] = {
        "audit_id": entry.audit_id,
        "at": wire_time(entry.at),
        "key_id": entry.key_id,
        "key_name": entry.key_name,
        "role": entry.role.value,
        "operation": entry.operation,
        "target": _DETAILS.dump_json(dict(entry.target)).decode(),
        "details": _DETAILS.dump_json(dict(entry.details)).decode(),
        EXPIRES_AT: int((entry.at + KEPT_FOR).timestamp()),
    }
    return Item(keys.audit_entry(workspace, entry.at, entry.audit_id), attributes)


@reader
def _entry_of(item: Item) -> AuditEntry:
    attributes = item.attributes
    return AuditEntry(
        audit_id=text(attributes, "audit_id"),
        at=moment(attributes, "at"),
        key_id=text(attributes, "key_id"),
        key_name=text(attributes, "key_name"),
        role=Role(text(attributes, "role")),
        operation=text(attributes, "operation"),
        target=_DETAILS.validate_json(text(attributes, "target")),
        details=_DETAILS.validate_json(text(attributes, "details")),
        refused_with=number(attributes, "refused_with") if "refused_with" in attributes else None,
    )
