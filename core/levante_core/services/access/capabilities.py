"""Capabilities of an installation: who was given a task may load and commit its run, report its attempt, keep its lease."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias, assert_never

from levante_core.domain.dispatch.plan import NEVER_FRESH
from levante_core.domain.dispatch.tasks import ActivityTask, WorkflowTask
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.limits import MOST_PLACES
from levante_core.domain.names import DeploymentName, ExecutionId, RunId, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import InvalidCapability, Unavailable, Unreadable
from levante_core.ports.item_store import Absent, ConditionFailed, Item, ItemStore, Matches, Put
from levante_core.ports.surroundings import Clock, Ids
from levante_core.protocol.capabilities import ATTEMPT, Capability, Claims, Statement
from levante_core.services.conflicts import Conflicts
from levante_core.services.executions.lookup import run_item_if_any
from levante_core.storage import keys
from levante_core.storage.decoding import reader

RUN = "run"
"""Lets its bearer load a run, and commit the batch with one index."""
RECEIPT = "receipt"
"""Lets its bearer keep, end and hand back the lease of one message."""
READ_ANEW_AFTER = timedelta(minutes=5)
"""Signing goes over to a key that another process made within this time."""
UNKNOWN_READ_AFTER = timedelta(seconds=1)
"""So often, at most, the keys are read because a capability names a version that is not known."""
OLD_AFTER = timedelta(hours=12)
"""A capability of a run is good for longer only while the run is kept: closed runs are, for days."""

_Claim: TypeAlias = str | int | None


@dataclass(frozen=True, slots=True)
class RunGrant:
    """What a token of a run grants: to load it, and to commit the batch at next_index; 0 lets load it alone.

    pool: whose worker was given the task.
    """

    run: RunKey
    pool: WorkerPool
    next_index: int


@dataclass(frozen=True, slots=True)
class AttemptGrant:
    """What a token of an activity attempt grants: to say how it goes, and how it ended.

    scheduled_in: index of the batch that schedules the activity. is_derived: the worker that holds the run made the token;
    nobody has checked that the run schedules such an activity.
    """

    run: RunKey
    pool: WorkerPool
    seq: int
    scheduled_in: int
    attempt: int
    is_derived: bool = False


@dataclass(frozen=True, slots=True)
class ReceiptGrant:
    """What the receipt of a delivered task grants: its lease.

    receipt: of the queue itself. consumer: to whom the queue handed the message. token: of the task.
    """

    queue: str
    receipt: str
    group: str | None
    consumer: str
    token: str


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of the installation by version. All of them are good; the last one signs."""

    by_version: Mapping[int, bytes]

    @property
    def current(self) -> int:
        return max(self.by_version)


class Capabilities:
    """Signs and reads capabilities with the keys of the installation: the current one and the one before it.

    The keys are an item of the table, made when they are first needed. Cost: one read per process and five minutes.
    """

    def __init__(self, store: ItemStore, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._keys: _Keys | None = None
        self._read_at = clock.now()

    def sign(self, kind: str, claims: Claims) -> str:
        """Make a capability."""
        return str(self._signed(kind, claims))

    def read(self, kind: str, text: str) -> list[Any]:
        """Return the claims of a capability that sign made. Raises: InvalidCapability."""
        statements = self._verified(text)
        if len(statements) != 1 or statements[0].kind != kind:
            raise InvalidCapability
        return statements[0].read()

    def ensure_key(self) -> None:
        """Make the first key, or read those that there are, before anybody waits for one."""
        self._read()

    def rotate(self) -> int:
        """Make a new key, which signs from now on; the one that signed until now is still good, those before are not.

        Returns its version. Capabilities under keys that are no longer good are refused: tasks in queues are sent anew by
        the sweep, tokens of activities that go on elsewhere are lost. Where the stored keys cannot be read, none of them is
        kept. Raises: Unavailable. Cost: a read and a write.
        """
        for _ in Conflicts(self._clock, self._ids).attempts():
            item = self._store.get(keys.CAPABILITY_KEYS)
            known = _keys_if_readable(item) if item else {}
            current = max(known, default=int(self._clock.now().timestamp()))  # no version comes twice
            made = {version: key for version, key in known.items() if version == current} | {current + 1: self._new_key()}
            unchanged = Matches(item.attributes) if item else Absent()
            with suppress(ConditionFailed):
                self._store.write(Put(_item(made), unchanged))
                self._keys = _Keys(made)
                return current + 1
        raise Unavailable("the signing key is rotated by many at once: try again")

    # --- tasks --------------------------------------------------------------------------------------------------------

    def run_token(self, grant: RunGrant) -> str:
        """Write what is granted of a run."""
        return self.sign(RUN, (*self._run_claims(grant), grant.next_index))

    def run(self, workspace: Workspace, token: str) -> RunGrant:
        """Read the token of a run. Raises: InvalidCapability, for one of another workspace too.

        Cost: one or two reads if it is old.
        """
        return self._run_grant(workspace, self.read(RUN, token))

    def attempt_token(self, grant: AttemptGrant) -> str:
        """Write what is granted of an attempt."""
        return self.sign(ATTEMPT, (*self._run_claims(grant), grant.seq, grant.scheduled_in, grant.attempt))

    def attempt(self, workspace: Workspace, token: str) -> AttemptGrant:
        """Read the token of an attempt, derived or not. Raises: InvalidCapability, for one of another workspace too.

        Cost: one or two reads if it is old.
        """
        first, *derived = self._verified(token)
        if not derived and first.kind == ATTEMPT:
            claims = first.read()
            run = self._run_grant(workspace, [*claims[:-3], 0])
            seq, scheduled_in, attempt = _numbers(claims[-3:])
        elif derived and (first.kind, derived[0].kind) == (RUN, ATTEMPT):
            run = self._run_grant(workspace, first.read())
            seq, scheduled_in, attempt = _numbers(_written(derived[0]))
        else:
            raise InvalidCapability
        return AttemptGrant(run.run, run.pool, seq, scheduled_in, attempt, is_derived=bool(derived))

    def granted(self, task: WorkflowTask | ActivityTask) -> WorkflowTask | ActivityTask:
        """Return a task with the token that lets its worker deal with it."""
        match task:
            case WorkflowTask():
                is_at_start = task.start is not None and task.start.reset is None
                token = self.run_token(RunGrant(task.run, task.deployment_name, 1 if is_at_start else 0))
            case ActivityTask():
                where = task.seq, task.scheduled_in, task.attempt
                token = self.attempt_token(AttemptGrant(task.run, task.deployment_name, *where))
            case _:
                assert_never(task)
        return task.model_copy(update={"token": token})

    def task(self, workspace: Workspace, token: str) -> WorkflowTask | ActivityTask:
        """Return the task that a token was given for, to be checked by who receives it. Raises: InvalidCapability."""
        try:
            run = self.run(workspace, token)
        except InvalidCapability:
            attempt = self.attempt(workspace, token)
            return ActivityTask.of(
                attempt.run,
                attempt.pool,
                NEVER_FRESH,
                seq=attempt.seq,
                scheduled_in=attempt.scheduled_in,
                attempt=attempt.attempt,
                verify=True,
            )
        return WorkflowTask.of(run.run, run.pool, NEVER_FRESH, verify=True)

    def deployment_if_any(self, workspace: Workspace, token: str) -> DeploymentName | None:
        """Return the deployment that a token of a task is for; None if it is good for nothing here."""
        with suppress(InvalidCapability):
            return self.task(workspace, token).deployment_name.deployment
        return None

    def receipt(self, grant: ReceiptGrant) -> str:
        """Write what is granted of a delivered task."""
        return self.sign(RECEIPT, (grant.queue, grant.receipt, grant.group, grant.consumer, grant.token))

    def received(self, text: str) -> ReceiptGrant:
        """Read a receipt. Raises: InvalidCapability."""
        queue, receipt, group, consumer, token = self.read(RECEIPT, text)
        return ReceiptGrant(queue, receipt, group, consumer, token)

    def _run_claims(self, grant: RunGrant | AttemptGrant) -> Claims:
        run, now = grant.run, int(self._clock.now().timestamp())
        return (run.workspace, run.execution_id, run.run_id, str(grant.pool), now)

    def _run_grant(self, workspace: Workspace, claims: list[_Claim]) -> RunGrant:
        of, execution_id, run_id, pool, made_at, next_index = claims
        run = RunKey(workspace, ExecutionId(str(execution_id)), RunId(str(run_id)))
        is_old = self._clock.now().timestamp() - int(str(made_at)) > OLD_AFTER.total_seconds()
        if of != workspace or (is_old and run_item_if_any(self._store, run) is None):
            raise InvalidCapability
        return RunGrant(run, WorkerPool.parse(str(pool)), int(str(next_index)))

    # --- keys ---------------------------------------------------------------------------------------------------------

    def _signed(self, kind: str, claims: Claims) -> Capability:
        known = self._keys
        if known is None or self._clock.now() - self._read_at > READ_ANEW_AFTER:
            known = self._read()
        return Capability.signed(known.current, known.by_version[known.current], Statement.of(kind, claims))

    def _verified(self, text: str) -> tuple[Statement, ...]:
        try:
            capability = Capability.parse(text)
        except ValueError:
            raise InvalidCapability from None
        known = self._keys or self._read()
        if capability.version not in known.by_version and self._clock.now() - self._read_at > UNKNOWN_READ_AFTER:
            known = self._read()
        key = known.by_version.get(capability.version)
        if key is None or not capability.is_signed_with(key):
            raise InvalidCapability
        return capability.statements

    def _read(self) -> _Keys:
        item = self._store.get(keys.CAPABILITY_KEYS)
        if item is None:
            made = {1: self._new_key()}
            try:
                self._store.write(Put(_item(made), Absent()))
            except ConditionFailed:
                return self._read()
            known = _Keys(made)
        else:
            try:
                known = _Keys(_keys_of(item))
            except Unreadable as error:  # as good as down for everybody: nothing is to be parked for it
                raise Unavailable(f"no task can be given out: {error}; or rotate the signing key") from error
        self._keys, self._read_at = known, self._clock.now()
        return known

    def _new_key(self) -> bytes:
        return self._ids.secret().encode()


def _item(by_version: Mapping[int, bytes]) -> Item:
    document = json.dumps({version: key.hex() for version, key in by_version.items()})
    return Item(keys.CAPABILITY_KEYS, {"current": max(by_version)}, {"keys": document})


def _keys_if_readable(item: Item) -> dict[int, bytes]:
    try:
        return _keys_of(item)
    except Unreadable:
        return {}


@reader
def _keys_of(item: Item) -> dict[int, bytes]:
    by_version = {int(version): bytes.fromhex(key) for version, key in json.loads(item.documents["keys"]).items()}
    if not by_version:
        raise ValueError("there is no key")
    return by_version


def _written(derived: Statement) -> list[_Claim]:
    """Read what a worker has written. Raises: InvalidCapability."""
    try:
        return derived.read()
    except ValueError:
        raise InvalidCapability from None


def _numbers(claims: list[_Claim]) -> tuple[int, int, int]:
    match claims:
        case [int(seq), int(scheduled_in), int(attempt)] if all(
            0 < number <= MOST_PLACES for number in (seq, scheduled_in, attempt)
        ):
            return seq, scheduled_in, attempt
        case _:
            raise InvalidCapability
