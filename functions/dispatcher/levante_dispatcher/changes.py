"""The change feed: what each record of the stream asks for is carried out, or the record is parked."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from levante_core.adapters.dynamodb.images import change_of, key_of
from levante_core.domain.dispatch.plan import Record, RunClosed, plan
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import Unavailable, loggable
from levante_core.ports.item_store import Change, Item
from levante_core.services.dispatch.containment import each_by_itself
from levante_core.services.engine import Engine
from levante_core.storage.changes import records_of
from levante_core.storage.parked import Owner, ParkedKind, owner_in, owner_of

StreamRecord: TypeAlias = Mapping[str, Any]
Resolve: TypeAlias = Callable[[Item], Item]

logger = logging.getLogger("levante.dispatcher")

MOST_TRIES = 3
"""So often the records of one execution, alone in their batch, may fail as Unavailable before they are parked."""


class ChangeFeed:
    """Carries out what batches of records ask for."""

    def __init__(self, engine: Engine, resolve: Resolve) -> None:
        """resolve: finds the documents that an image only refers to."""
        self._engine = engine
        self._resolve = resolve
        self._failed_last = ("", 0)

    def handle(self, records: Sequence[StreamRecord]) -> None:
        """Carry out what a batch asks for, all at once; where that fails, record by record, and park those that fail.

        Raises: Unavailable if everything in the batch is, of several executions: it is no record's fault, and the batch is
        to come again. One execution alone is parked after MOST_TRIES, as nobody can tell whether others would get through.
        """
        try:
            self._export(self._carry_out(records))
        except Exception as error:  # noqa: BLE001 - met again below, with the record that it comes from
            logger.warning("a batch of %d stream records fails as a whole (%s)", len(records), loggable(error))
            self._handle_each(records)

    def again(self, content: str) -> None:
        """Carry out what a parked record asks for; if it cannot be read, what the item does that is in its place by now."""
        record = json.loads(content)
        try:
            meant = self._carry_out([record])
        except Unavailable:
            raise
        except Exception:
            change = change_of({"dynamodb": {**record["dynamodb"], "NewImage": None}})
            mended = self._engine.parking.current(change.key)
            if mended is None:
                raise
            meant = self._carry_out_changes([replace(change, new=mended)])
        self._export(meant)

    def _handle_each(self, records: Sequence[StreamRecord]) -> None:
        done: list[Record] = []
        try:
            each_by_itself(
                _in_turns(records),
                lambda record: done.extend(self._carry_out([record])),
                self._park,
                group=lambda record: _owner(record).pool,
            )
        except Unavailable as error:
            if self._may_pass(records):
                raise
            for record in records:
                self._park(record, error)
        self._export(done)

    def _may_pass(self, records: Sequence[StreamRecord]) -> bool:
        """Whether to let a batch come again in which everything is unavailable."""
        if len({_owner(record).execution_id for record in records}) > 1:
            return True
        name, count = _identity(records[0]), 1
        if self._failed_last[0] == name:
            count = self._failed_last[1] + 1
        self._failed_last = (name, count)
        return count < MOST_TRIES

    def _carry_out(self, records: Iterable[StreamRecord]) -> list[Record]:
        return self._carry_out_changes(self._resolved(change_of(record)) for record in records)

    def _carry_out_changes(self, changes: Iterable[Change]) -> list[Record]:
        meant = [record for change in changes for record in records_of(change)]
        self._engine.effects.carry_out(effect for record in meant for effect in plan(record))
        return meant

    def _resolved(self, change: Change) -> Change:
        if change.new is None:
            return change
        return Change(change.sequence, change.key, change.old, self._resolve(change.new))

    def _park(self, record: StreamRecord, error: Exception) -> None:
        content = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        self._engine.parking.park(ParkedKind.CHANGE, _owner(record), content, error, identity=_identity(record) or None)

    def _export(self, meant: Iterable[Record]) -> None:
        self._engine.trace_export.export(record for record in meant if isinstance(record, RunClosed))


def _in_turns(records: Sequence[StreamRecord]) -> list[StreamRecord]:
    """Put records in an order in which deployments take turns, so that what is down for one is not met by it alone."""
    turns: Counter[WorkerPool | None] = Counter()
    places: list[int] = []
    for record in records:
        pool = _owner(record).pool
        places.append(turns[pool])
        turns[pool] += 1
    return [record for _, record in sorted(zip(places, records, strict=True), key=lambda pair: pair[0])]


def _identity(record: StreamRecord) -> str:
    return str(record.get("eventID") or "")


def _owner(record: StreamRecord) -> Owner:
    """Read whose a record is, from whatever can be read of it."""
    data = record.get("dynamodb")
    images = [data.get(name) for name in ("NewImage", "OldImage")] if isinstance(data, Mapping) else []
    for image in images:
        if isinstance(image, Mapping):
            said = {name.removeprefix("a."): value.get("S") for name, value in image.items() if isinstance(value, Mapping)}
            return _owner_of(record["dynamodb"], said)
    return Owner()


def _owner_of(data: Mapping[str, Any], attributes: Mapping[str, Any]) -> Owner:
    """Read the key too, which says more of an item whose attributes are damaged."""
    try:
        return owner_of(key_of(data["Keys"]), attributes)
    except (KeyError, TypeError):
        return owner_in(attributes)
