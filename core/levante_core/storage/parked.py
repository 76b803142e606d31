"""Parked items: what a loop could not handle, why, and when it is tried again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from pydantic_core import from_json

from levante_core.domain import names
from levante_core.domain.epoch import EPOCH
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.frozen import Json, wire_time
from levante_core.domain.names import ExecutionId, RunId, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.item_store import Item, Key, Scalar
from levante_core.storage import keys
from levante_core.storage.decoding import number, reader
from levante_core.storage.large_documents import is_large
from levante_core.storage.runs import LEAVES_MORE

NOBODY = Workspace("")
"""Workspace of items that do not say whose they are. Admins of every workspace see them."""
NEVER = "9999"
"""Where items stand in the index DUE that wait for somebody, and for no time: behind all others."""
MOST_CHARACTERS = 256
"""Of a name or an id that says whose an item is; what is longer says nothing."""
_CHECKED = ("workspace", "execution_id")
"""What the keys of parked items are made of."""


class ParkedKind(StrEnum):
    """What was parked, and so how it is tried again."""

    CHANGE = "change"
    """A record of the change feed, as the stream hands it over."""
    TIMER = "timer"
    """A message of the timers queue, or a timer that was out of its reach."""
    TASK = "task"
    """A message of one of a deployment's task queues."""
    DEADLINE = "deadline"
    """An open run whose execution timeout is over."""
    RUN = "run"
    """An open run that could not be looked after."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an item is, as far as it says so."""

    workspace: Workspace = NOBODY
    execution_id: ExecutionId | None = None
    run_id: RunId | None = None
    pool: WorkerPool | None = None

    @property
    def run(self) -> RunKey | None:
        """The run, if the owner is one."""
        if self.execution_id is None or self.run_id is None:
            return None
        return RunKey(self.workspace, self.execution_id, self.run_id)


def owner_in(values: object) -> Owner:
    """Read whose something is from its attributes or its JSON. What is not there, or has not the right form, is left out."""
    fields: Mapping[str, Json] = values if isinstance(values, Mapping) else {}
    workspace, execution_id = (_named(fields, form) for form in ("workspace", "execution_id"))
    if workspace is None:
        return Owner()
    run_id, pool = (_named(fields, form) for form in ("run_id", "deployment_name"))
    return Owner(
        Workspace(workspace),
        ExecutionId(execution_id) if execution_id else None,
        RunId(run_id) if run_id else None,
        WorkerPool.parse(pool) if pool else None,
    )


def owner_of(key: Key, attributes: Mapping[str, Json], listed: Key | None = None) -> Owner:
    """Read whose an item is: from its key, where that says so, and else from its attributes, which may be damaged.

    listed: its place in the index DUE.
    """
    kind, _, rest = key.partition.partition("#")
    workspace, _, name = rest.partition("#")
    known = dict(attributes)
    if kind == "X":
        known |= {"workspace": workspace, "execution_id": name}
        if listed:
            known["run_id"] = listed.sort.partition("#")[2]
        elif key.sort.startswith(keys.EARLIER_RUN):
            known["run_id"] = key.sort.removeprefix(keys.EARLIER_RUN)
    elif kind == "H":
        known |= {"workspace": workspace, "run_id": name}
    return owner_in(known)


def owner_of_item(item: Item) -> Owner:
    """Read whose an item is."""
    return owner_of(item.key, item.attributes, item.indexes.get(keys.DUE))


def owner_of_text(text: str, workspace: Workspace | None = None, pool: WorkerPool | None = None) -> Owner:
    """Read whose a message is. workspace, pool: whose queue it was in, whatever it says."""
    try:
        parsed = from_json(text)
    except ValueError:
        parsed = None
    fields = parsed if isinstance(parsed, Mapping) else {}
    known = {"workspace": workspace, "deployment_name": str(pool) if pool else None}
    return owner_in({**fields, **{name: value for name, value in known.items() if value is not None}})


def _named(values: Mapping[str, Json], name: str) -> str | None:
    text = values.get(name)
    if not isinstance(text, str) or not 0 < len(text) <= MOST_CHARACTERS:
        return None
    return text if name not in _CHECKED or names.has_form(name, text) else None


@dataclass(frozen=True, slots=True)
class Parked:
    """Something that could not be handled, without the thing itself.

    parked_id: the same for every failure of the same thing. kind: a ParkedKind, or one of another version. error: what was
    wrong, without payloads. since: its first failure. count: how often it failed; tries: of these, since somebody asked for
    it. retry_at: when it is tried again by itself; None if only when somebody asks.
    """

    parked_id: str
    kind: str
    owner: Owner
    error: str
    since: datetime
    failed_at: datetime
    retry_at: datetime | None
    count: int = 1
    tries: int = 1

    @property
    def key(self) -> Key:
        """Where it is."""
        return keys.parked(self.owner.workspace, self.parked_id)


def parked_id(kind: str, owner: Owner, identity: str) -> str:
    """Return the id of what fails. identity: tells it from everything else of its kind and owner."""
    name = f"{kind}\0{owner.workspace}\0{owner.run_id}\0{identity}"
    digest = sha256(name.encode(errors="surrogatepass")).hexdigest()[:32]
    return f"{keys.parked_prefix(owner.execution_id)}{digest}"


def parked_item(parked: Parked, content: str) -> Item:
    """Write a parked item, and the thing itself. The index has all of them, in the order in which they are tried again."""
    owner = parked.owner
    attributes: dict[str, Scalar] = {
        "workspace": owner.workspace,
        "execution_id": owner.execution_id,
        "run_id": owner.run_id,
        "deployment_name": str(owner.pool) if owner.pool else None,
        "kind": parked.kind,
        "since": wire_time(parked.since),
        LEAVES_MORE: is_large(content),
        **failure_attributes(parked),
    }
    return Item(parked.key, attributes, {"item": content}, {keys.DUE: retry_entry(parked.parked_id, parked.retry_at)})


def failure_attributes(parked: Parked) -> dict[str, Scalar]:
    """Write how it failed last, and when it is tried again."""
    return {
        "error": parked.error,
        "failed_at": wire_time(parked.failed_at),
        "retry_at": wire_time(parked.retry_at) if parked.retry_at else None,
        "count": parked.count,
        "tries": parked.tries,
    }


def retry_entry(name: str, retry_at: datetime | None) -> Key:
    """Return the place of a parked item in the index DUE."""
    return Key(keys.parked_due(keys.shard(name)), f"{wire_time(retry_at) if retry_at else NEVER}#{name}")


def parked_of(item: Item) -> Parked:
    """Read a parked item, without the thing itself. A damaged one is listed all the same, and can be dropped."""
    attributes = item.attributes
    since = _time(attributes.get("since")) or EPOCH
    count, tries = (attributes.get(name) for name in ("count", "tries"))
    return Parked(
        parked_id=item.key.sort,
        kind=str(attributes.get("kind")),
        owner=owner_in({**attributes, "workspace": item.key.partition.partition("#")[2]}),
        error=str(attributes.get("error")),
        since=since,
        failed_at=_time(attributes.get("failed_at")) or since,
        retry_at=_time(attributes.get("retry_at")),
        count=count if isinstance(count, int) else 1,
        tries=tries if isinstance(tries, int) else 1,
    )


def parked_count_item(workspace: Workspace, count: int) -> Item:
    """Write how many items a workspace has parked."""
    return Item(keys.parked_count(workspace), {"count": count})


@reader
def parked_count_of(item: Item) -> int:
    """Read how many items a workspace has parked."""
    return number(item.attributes, "count")


def _time(value: Scalar) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def content_of(item: Item) -> str:
    """Read the thing itself."""
    return str(item.documents["item"])
