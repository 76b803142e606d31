from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, ReadTimeoutError

from levante_core.adapters.dynamodb.calls import OutcomeUnknown, Patience, StoreRefused
from levante_core.adapters.dynamodb.images import image_of
from levante_core.adapters.dynamodb.store import DynamoItemStore
from levante_core.errors import Unavailable
from levante_core.ports.item_store import (
    Absent,
    Check,
    ConditionFailed,
    Delete,
    Item,
    Key,
    Matches,
    Put,
    Query,
    Update,
    Write,
)

KEY, OTHER = Key("p", "s"), Key("p", "t")
ITEM = Item(KEY, {"owner": "me", "count": 1, "ratio": 1.0}, {"batch": {"events": [1]}})
FENCED = Put(ITEM, Absent())
ADDING = Update(KEY, add={"count": 1})

LOST = ReadTimeoutError(endpoint_url="http://table")


def error(code: str, status: int = 400, *, retries: int = 0, **more: Any) -> ClientError:
    """Build an error as botocore parses it from an answer."""
    metadata = {"HTTPStatusCode": status, "RetryAttempts": retries}
    return ClientError({"Error": {"Code": code, "Message": "of old"}, "ResponseMetadata": metadata, **more}, "Op")


def cancelled(*codes: str, **more: Any) -> ClientError:
    """Build the error of a transaction. more: items by the number of the write that they stood in the way of."""
    reasons = [{"Code": code, **({"Item": more[f"_{n}"]} if f"_{n}" in more else {})} for n, code in enumerate(codes)]
    return error("TransactionCanceledException", CancellationReasons=reasons)


REFUSED_BY_MINE: dict[str, Any] = {"Item": image_of(ITEM)}
REFUSED_BY_OTHER: dict[str, Any] = {"Item": image_of(Item(KEY, {"owner": "you"}))}
THROTTLED = error("ProvisionedThroughputExceededException")
CONFLICT = error("TransactionConflictException")
BROKEN = error("InternalServerError", 500)


@dataclass
class ScriptedClient:
    """Answers with what it is given, in order, the last of it for ever, and keeps what it was asked."""

    answers: Sequence[Mapping[str, Any] | Exception]
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def __getattr__(self, operation: str) -> Any:
        def call(**parameters: Any) -> Mapping[str, Any]:
            self.asked.append((operation, parameters))
            answer = self.answers[min(next(self._numbers), len(self.answers) - 1)]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


@dataclass
class Site:
    """A store on a scripted client, whose time passes only in its pauses."""

    client: Any
    store: DynamoItemStore
    pauses: list[float]
    consumed: list[tuple[str, Mapping[str, Any]]]


def site(*answers: Mapping[str, Any] | Exception, meter: bool = False) -> Site:
    pauses: list[float] = []
    consumed: list[tuple[str, Mapping[str, Any]]] = []
    client, tokens = ScriptedClient(answers), count()
    store = DynamoItemStore(
        "table",
        client,
        patience=Patience(10, lambda: sum(pauses), pauses.append),
        on_capacity=(lambda operation, one: consumed.append((operation, one))) if meter else None,
        new_token=lambda: f"token-{next(tokens)}",
    )
    return Site(client, store, pauses, consumed)


@pytest.mark.parametrize(
    "passing",
    [
        THROTTLED,
        CONFLICT,
        BROKEN,
        LOST,
        error("ThrottlingException"),
        error("RequestLimitExceeded"),
        error("TransactionInProgressException"),
        error("anything", 503),
        cancelled("TransactionConflict", "None"),
        cancelled("ConditionalCheckFailed", "TransactionConflict"),
        cancelled("ThrottlingError"),
        cancelled("ProvisionedThroughputExceeded"),
    ],
    ids=str,
)
def test_write_when_a_failure_passes_succeeds_on_repeat(passing: Exception) -> None:
    """Throttling, conflicts, failures of the service and lost answers are no business of the caller while they pass."""
    at = site(passing, passing, {})
    at.store.write(FENCED, Delete(OTHER))
    assert len(at.client.asked) == 3
    assert 0 < at.pauses[0] <= at.pauses[1]


def test_write_when_failures_do_not_pass_raises_unavailable_at_the_deadline() -> None:
    """A call ends: no request is sent after the deadline, and pauses grow to a second at most."""
    at = site(THROTTLED)
    with pytest.raises(Unavailable, match="put_item failed until 10 s had passed"):
        at.store.write(FENCED)
    assert 8 < sum(at.pauses) <= 10
    assert max(at.pauses) <= 1
    assert 10 < len(at.client.asked) < 40


def test_read_when_failures_do_not_pass_raises_unavailable() -> None:
    """Reads are repeated like writes, and end like them."""
    store = site(BROKEN).store
    for read in (lambda: store.get(KEY), lambda: store.query(Query("p")), lambda: store.query(Query("p", index="i"))):
        with pytest.raises(Unavailable):
            read()


def test_transaction_when_repeated_keeps_its_token() -> None:
    """The token is what lets DynamoDB know a request that comes again; every call has its own."""
    at = site(LOST, CONFLICT, {})
    at.store.write(ADDING)
    at.store.write(ADDING)
    assert [parameters["ClientRequestToken"] for _, parameters in at.client.asked] == ["token-0"] * 3 + ["token-1"]


@pytest.mark.parametrize(
    ("write", "operation"),
    [
        (FENCED, "put_item"),
        (Update(KEY, {"at": 1}, condition=Matches()), "update_item"),
        (Delete(KEY), "delete_item"),
        (ADDING, "transact_write_items"),
        (Update(KEY, {"is_open": False}, condition=Matches({"is_open": True})), "transact_write_items"),
        (Delete(KEY, Matches()), "transact_write_items"),
        (Check(KEY, Absent()), "transact_write_items"),
    ],
)
def test_write_alone_goes_as_the_cheapest_request_that_may_be_repeated(write: Write, operation: str) -> None:
    """A transaction costs twice; only what cannot be repeated without its token pays for it."""
    at = site({})
    at.store.write(write)
    assert [name for name, _ in at.client.asked] == [operation]


@pytest.mark.parametrize(
    "answers",
    [
        (LOST, error("ConditionalCheckFailedException", **REFUSED_BY_MINE)),
        (BROKEN, THROTTLED, error("ConditionalCheckFailedException", **REFUSED_BY_MINE)),
        (error("ConditionalCheckFailedException", retries=1, **REFUSED_BY_MINE),),
    ],
    ids=["no answer", "no answer, then throttled", "repeated by the SDK"],
)
def test_put_when_its_answer_was_lost_and_its_own_item_stands_there_succeeds(answers: Sequence[Exception]) -> None:
    """Whoever finds the very item that it was writing has written it."""
    at = site(*answers)
    at.store.write(FENCED)
    assert len(at.client.asked) == len(answers)


@pytest.mark.parametrize(
    ("answers", "stands"),
    [
        ((error("ConditionalCheckFailedException", **REFUSED_BY_MINE),), ITEM),
        ((THROTTLED, error("ConditionalCheckFailedException", **REFUSED_BY_MINE)), ITEM),
        ((LOST, error("ConditionalCheckFailedException", **REFUSED_BY_OTHER)), Item(KEY, {"owner": "you"})),
        ((LOST, error("ConditionalCheckFailedException")), None),
    ],
    ids=["first answer", "throttled before", "another's item", "nothing there"],
)
def test_put_when_it_cannot_have_been_its_own_that_stands_there_is_refused(
    answers: Sequence[Exception], stands: Item | None
) -> None:
    """An equal item is only our own if an earlier request may have written it: a throttled one has not."""
    with pytest.raises(ConditionFailed) as caught:
        site(*answers).store.write(FENCED)
    assert (caught.value.failed, caught.value.existing) == ((0,), (stands,))


def test_transaction_when_refused_says_which_conditions_failed() -> None:
    """`failed` and `existing` line up with the writes."""
    other = Item(OTHER, {"status": "B"})
    at = site(cancelled("None", "ConditionalCheckFailed", "ConditionalCheckFailed", _1=image_of(other)))
    with pytest.raises(ConditionFailed) as caught:
        at.store.write(FENCED, Delete(OTHER, Matches({"status": "A"})), Check(Key("p", "u"), Matches()))
    assert (caught.value.failed, caught.value.existing) == ((1, 2), (None, other, None))


@pytest.mark.parametrize(
    ("group", "answers", "expected"),
    [
        ([FENCED], (LOST,), Unavailable),
        ([ADDING], (LOST,), OutcomeUnknown),
        ([ADDING], (LOST, THROTTLED), OutcomeUnknown),
        ([ADDING], (error("TransactionInProgressException"),), OutcomeUnknown),
        ([ADDING], (THROTTLED,), Unavailable),
        ([ADDING], (cancelled("TransactionConflict"),), Unavailable),
        ([ADDING, Put(Item(OTHER), Absent())], (LOST,), Unavailable),
    ],
)
def test_write_when_it_stays_unanswered_is_unavailable_only_if_repeating_it_is_safe(
    group: Sequence[Write], answers: Sequence[Exception], expected: type[Exception]
) -> None:
    """Unavailable promises that the same call may be repeated; what might then be counted twice does not promise that."""
    with pytest.raises(expected) as caught:
        site(*answers).store.write(*group)
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("answer", "expected", "says"),
    [
        (error("ValidationException"), ValueError, "put of p/s cannot be carried out: of old"),
        (error("ResourceNotFoundException"), StoreRefused, "put of p/s was refused"),
        (error("AccessDeniedException"), StoreRefused, "AccessDenied"),
        (error("SomethingNew"), StoreRefused, "SomethingNew"),
        (cancelled("SomethingNew"), StoreRefused, "put of p/s was refused"),
        (cancelled("ThrottlingError", "ItemCollectionSizeLimitExceeded"), StoreRefused, "was refused"),
        (cancelled("ValidationError", "TransactionConflict"), ValueError, "cannot be carried out"),
        (NoCredentialsError(), StoreRefused, "could not be sent"),
    ],
)
def test_write_when_repeating_would_not_help_fails_at_once(answer: Exception, expected: type[Exception], says: str) -> None:
    """What is unknown fails closed: one request, and an error that says what was refused."""
    at = site(answer)
    with pytest.raises(expected, match=says) as caught:
        at.store.write(FENCED)
    assert not isinstance(caught.value, Unavailable)
    assert len(at.client.asked) == 1


def test_read_when_refused_names_the_table() -> None:
    """A missing table, or a missing permission, is told from a passing failure."""
    with pytest.raises(StoreRefused, match="cannot read from table table"):
        site(error("ResourceNotFoundException")).store.get(KEY)


def test_write_each_when_one_group_fails_waits_for_the_others_and_says_so() -> None:
    """Nothing goes on behind the caller's back."""
    at = site(error("ValidationException"), {})
    with pytest.raises(ValueError, match="cannot be carried out"):
        at.store.write_each([[Put(Item(Key("p", str(number))))] for number in range(40)])
    assert len(at.client.asked) == 40


def test_meter_when_given_hears_of_what_each_answer_consumed() -> None:
    """A cost meter counts from the calls really made; without one nothing is asked for."""
    plain = site({})
    plain.store.write(FENCED)
    assert "ReturnConsumedCapacity" not in plain.client.asked[0][1]
    one = site({"ConsumedCapacity": {"CapacityUnits": 3.0}}, meter=True)
    one.store.write(FENCED)
    assert one.client.asked[0][1]["ReturnConsumedCapacity"] == "INDEXES"
    several = site({"ConsumedCapacity": [{"CapacityUnits": 2.0}]}, meter=True)
    several.store.write(FENCED, Delete(OTHER))
    assert [*one.consumed, *several.consumed] == [
        ("put_item", {"CapacityUnits": 3.0}),
        ("transact_write_items", {"CapacityUnits": 2.0}),
    ]
