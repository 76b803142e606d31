"""The item store in one DynamoDB table. How items are laid out: `images`; keys and indexes: `dynamodb_table`."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

from levante_core.adapters.dynamodb.calls import (
    CONDITION,
    PARALLEL_CALLS,
    DynamoDBClient,
    OnCapacity,
    Patience,
    Rejected,
    StoreRefused,
    TableCalls,
    cancellation_reasons,
)
from levante_core.adapters.dynamodb.expressions import is_empty, query_request, write_request
from levante_core.adapters.dynamodb.images import image_of, is_same_image, item_of, key_image
from levante_core.adapters.dynamodb.paging import page_token, start_key
from levante_core.adapters.item_sizes import can_exist, check_sizes
from levante_core.adapters.write_rules import bears_new_call, bears_plain_request, check_group
from levante_core.errors import NotStorable
from levante_core.ports.item_store import ConditionFailed, Item, Key, Page, Put, Query, Update, Write

_OPERATIONS = {"Put": "put_item", "Update": "update_item", "Delete": "delete_item"}


class DynamoItemStore:
    """An item store in one table, for any number of threads and processes.

    Requests are repeated for a while, and then Unavailable is raised. A write may have been carried out by then; repeating
    it is safe all the same: a put or a condition finds what it left. Only where that is not so, which is where an update
    adds without a condition that ends with it, OutcomeUnknown is raised instead (`write_rules`).
    """

    def __init__(
        self,
        table: str,
        client: DynamoDBClient,
        *,
        patience: Patience | None = None,
        on_capacity: OnCapacity | None = None,
        new_token: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        """Use a table that was made with `table_definition`.

        on_capacity: hears of what each answered request consumed. Refused ones consume too, but do not say how much.
        new_token: makes the tokens of transactions, 36 characters at most, never the same twice.
        """
        self._table = table
        self._calls = TableCalls(client, patience or Patience(), on_capacity)
        self._new_token = new_token
        self._pool = ThreadPoolExecutor(PARALLEL_CALLS, "levante-write")

    def get(self, key: Key) -> Item | None:
        """Read one item as of its last acknowledged write. Cost: one consistent read, 1 read unit per 4 KiB."""
        if not can_exist(key):
            return None
        parameters = {"TableName": self._table, "Key": key_image(key), "ConsistentRead": True}
        image = self._read("get_item", parameters).get("Item")
        return item_of(image) if image else None

    def write(self, *writes: Write) -> None:
        """Carry out all writes or none; durable on return.

        Raises: ConditionFailed; Unavailable; OutcomeUnknown; StoreRefused; NotStorable for what no store could hold;
        ValueError for what DynamoDB would never carry out.
        Cost: 1 write unit per KiB and item, in a transaction 2; a check costs as a write.
        """
        outcome = self._write(writes)
        if outcome is not None:
            raise outcome

    def write_each(self, groups: Sequence[Sequence[Write]]) -> list[ConditionFailed | None]:
        """Carry out every group as `write` would, several at a time; durable on return.

        If one fails otherwise than by its condition, that is raised when all have ended. Cost: that of each `write`.
        """
        if len(groups) == 1:
            return [self._write(groups[0])]
        for group in groups:
            check_group(group)
        sent = [self._pool.submit(self._write, group) for group in groups]
        wait(sent)
        return [one.result() for one in sent]

    def query(self, query: Query) -> Page:
        """Page through items as of their last acknowledged writes, or through an index, which follows them.

        A page ends at its limit or at 1 MB, whichever comes first. Raises: InvalidInput if `after` is no token of this
        query. Cost: one request, 1 read unit per 4 KiB read, which is one item more than the limit; half of an index.
        """
        page = self._page(query)
        return page if query.index is None else Page([replace(item, documents={}) for item in page.items], page.next)

    def close(self) -> None:
        """Let the threads of `write_each` end."""
        self._pool.shutdown()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _write(self, group: Sequence[Write]) -> ConditionFailed | None:
        check_group(group)
        if not group:
            return None
        check_sizes(group)
        requests = [write_request(self._table, write) for write in group]
        if len(group) == 1 and bears_plain_request(group[0]):
            ((kind, parameters),) = requests
            operation = _OPERATIONS[kind]
        else:
            operation = "transact_write_items"
            parameters = {"TransactItems": [{kind: one} for kind, one in requests], "ClientRequestToken": self._new_token()}
        try:
            self._calls.call(operation, parameters, bears_new_call=bears_new_call(group))
        except Rejected as rejected:
            return _refusal(group, rejected)
        return None

    def _page(self, query: Query) -> Page:
        """Ask for one item beyond the page, which tells whether there is a next one."""
        limit = query.limit
        if limit is not None and limit < 1:
            raise ValueError(f"limit {limit}: a page holds at least one item")
        start = None if query.after is None else start_key(query, query.after)
        if is_empty(query) or not can_exist(Key(query.partition, query.last)):
            return Page([])
        parameters = query_request(self._table, query)
        if limit is not None:
            parameters["Limit"] = limit + 1
        if start is not None:
            parameters["ExclusiveStartKey"] = start
        answer = self._read("query", parameters)
        images = answer["Items"]
        last = images[limit - 1] if limit is not None and len(images) > limit else answer.get("LastEvaluatedKey")
        return Page([item_of(image) for image in images[:limit]], page_token(query, last) if last else None)

    def _read(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return self._calls.call(operation, parameters)
        except Rejected as rejected:
            raise StoreRefused(f"cannot read from table {self._table}: {rejected}") from rejected


def _refusal(group: Sequence[Write], rejected: Rejected) -> ConditionFailed | None:
    """Say which conditions did not hold; None if the group was carried out all the same. Raises whatever else it was."""
    if rejected.code == CONDITION:
        image = rejected.response.get("Item")
        if rejected.was_repeated and image and isinstance(group[0], Put) and is_same_image(image, image_of(group[0].item)):
            return None
        return ConditionFailed([0], [item_of(image) if image else None])
    reasons = cancellation_reasons(rejected.response)
    if reasons and set(reasons) <= {"None", CONDITION}:
        images = [reason.get("Item") for reason in rejected.response["CancellationReasons"]]
        failed = [position for position, reason in enumerate(reasons) if reason == CONDITION]
        return ConditionFailed(failed, [item_of(image) if image else None for image in images])
    if rejected.code == "Validation" or "ValidationError" in reasons:
        explained = _explained(rejected)
        refused = NotStorable if "size" in explained else ValueError
        raise refused(f"{_named(group)} cannot be carried out: {explained}") from rejected
    raise StoreRefused(f"{_named(group)} was refused: {rejected}") from rejected


def _named(group: Sequence[Write]) -> str:
    """Name what a group writes: DynamoDB does not say which part of it was wrong."""
    parts = [f"{type(write).__name__.lower()} of {write.key.partition}/{write.key.sort}" for write in group]
    added = sorted({name for write in group if isinstance(write, Update) for name in write.add})
    return ", ".join(parts) + (f", adding to {', '.join(added)}," if added else "")


def _explained(rejected: Rejected) -> str:
    messages = [
        str(reason["Message"]) for reason in rejected.response.get("CancellationReasons", ()) if reason.get("Message")
    ]
    text = "; ".join(messages) or rejected.message
    if "size" in text:
        text += " (an item holds 400 KB, a transaction 4 MB: large documents belong in the payload store)"
    return text
