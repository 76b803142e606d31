import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, NoCredentialsError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from levante_core.adapters.aws.calls import ServiceRefused
from levante_core.adapters.dynamodb.calls import Patience
from levante_core.adapters.sqs.batches import MOST_BYTES, MOST_IN_A_BATCH
from levante_core.adapters.sqs.client import MOST_DELIVERIES, MOST_NAME_CHARACTERS
from levante_core.adapters.sqs.queues import SqsQueues
from levante_core.domain.names import Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import NotFound, Unavailable
from levante_core.ports.queues import OutgoingMessage
from levante_core.protocol.workers import TaskQueue
from levante_core.services.dispatch.sender import TIMERS_QUEUE, queue_name

FIFO = "tasks.fifo"
LOST_ANSWER = ReadTimeoutError(endpoint_url="https://sqs")


def error(code: str, status: int = 400) -> ClientError:
    """Build an error as botocore parses it from an answer."""
    return ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Op")


NO_QUEUE = error("AWS.SimpleQueueService.NonExistentQueue")
THROTTLED = error("RequestThrottled", 403)
DENIED = error("AccessDenied", 403)

PASSING = [
    THROTTLED,
    error("ThrottlingException"),
    error("KmsThrottled"),
    error("Whatever", 503),
    error("InternalFailure", 500),
    LOST_ANSWER,
    ConnectionClosedError(endpoint_url="https://sqs"),
]

Hitch: TypeAlias = Exception | Mapping[str, str]
"""What goes wrong with a request: all of it, or by body or receipt the code that one part of it fails with."""


@dataclass
class FlakySqs:
    """Keeps what it is sent unless a hitch is next. An operation's hitches come in order; the last may come for ever."""

    hitches: Mapping[str, Sequence[Hitch | None]] = field(default_factory=dict)
    for_ever: bool = False
    queues: dict[str, dict[str, str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    stock: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def create_queue(self, **parameters: Any) -> Mapping[str, Any]:
        self._asked("create_queue", parameters)
        self.queues[parameters["QueueName"]] = parameters["Attributes"]
        self.tags = parameters.get("tags", {})
        return {"QueueUrl": f"url/{parameters['QueueName']}"}

    def get_queue_url(self, **parameters: Any) -> Mapping[str, Any]:
        self._asked("get_queue_url", parameters)
        if parameters["QueueName"] not in self.queues:
            raise NO_QUEUE
        return {"QueueUrl": f"url/{parameters['QueueName']}"}

    def get_queue_attributes(self, **parameters: Any) -> Mapping[str, Any]:
        self._asked("get_queue_attributes", parameters)
        return {"Attributes": {}}

    def send_message_batch(self, **parameters: Any) -> Mapping[str, Any]:
        failing = self._asked("send_message_batch", parameters)
        return self._each(parameters, failing, "MessageBody", self.accepted.append)

    def change_message_visibility_batch(self, **parameters: Any) -> Mapping[str, Any]:
        return self._each(parameters, self._asked("change", parameters), "ReceiptHandle", self.accepted.append)

    def delete_message_batch(self, **parameters: Any) -> Mapping[str, Any]:
        return self._each(parameters, self._asked("delete", parameters), "ReceiptHandle", self.accepted.append)

    def receive_message(self, **parameters: Any) -> Mapping[str, Any]:
        self._asked("receive_message", parameters)
        taken = self.stock[: parameters["MaxNumberOfMessages"]]
        del self.stock[: len(taken)]
        return {"Messages": taken} if taken else {}

    def of(self, operation: str) -> list[dict[str, Any]]:
        """What was asked, oldest first."""
        return [parameters for name, parameters in self.requests if name == operation]

    def _asked(self, operation: str, parameters: dict[str, Any]) -> Mapping[str, str]:
        hitches = self.hitches.get(operation, ())
        number = len(self.of(operation))
        self.requests.append((operation, parameters))
        if self.for_ever:
            number = min(number, len(hitches) - 1)
        hitch = hitches[number] if 0 <= number < len(hitches) else None
        if isinstance(hitch, Exception):
            raise hitch
        return hitch or {}

    def _each(
        self, parameters: Mapping[str, Any], failing: Mapping[str, str], key: str, accept: Callable[[dict[str, Any]], None]
    ) -> Mapping[str, Any]:
        assert len(parameters["Entries"]) <= MOST_IN_A_BATCH
        failed = []
        done = []
        for entry in parameters["Entries"]:
            code = failing.get(entry[key])
            if code:
                failed.append({"Id": entry["Id"], "Code": code, "SenderFault": code != "InternalError", "Message": "no"})
            else:
                done.append({"Id": entry["Id"]})
                accept(entry)
        return {"Successful": done, "Failed": failed}


@dataclass
class Site:
    """Queues on a flaky SQS, whose time passes only in pauses."""

    sqs: FlakySqs
    queues: SqsQueues
    pauses: list[float]


def site(hitches: Mapping[str, Sequence[Hitch | None]] | None = None, *, for_ever: bool = False, **options: Any) -> Site:
    sqs = FlakySqs(hitches or {}, for_ever=for_ever, queues={f"p_{FIFO}": {}, "p_timers": {}})
    pauses: list[float] = []
    patience = Patience(10, lambda: sum(pauses), pauses.append)
    return Site(sqs, SqsQueues(sqs, "p", patience=patience, **options), pauses)


def to(group: str, body: str) -> OutgoingMessage:
    return OutgoingMessage(body, group, f"{group}-{body}")


def accepted(sqs: FlakySqs) -> list[str]:
    return [entry["MessageBody"] for entry in sqs.accepted]


def in_stock(number: int) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "1700000000123"}
    return {"Body": f"b{number}", "ReceiptHandle": f"r{number}", "Attributes": attributes}


CALLS: dict[str, Callable[[SqsQueues], object]] = {
    "get_queue_url": lambda queues: queues.send(FIFO, [to("g", "a")]),
    "send_message_batch": lambda queues: queues.send(FIFO, [to("g", "a")]),
    "receive_message": lambda queues: queues.receive(FIFO, limit=1, wait_seconds=0, visibility_seconds=30),
    "change": lambda queues: queues.extend(FIFO, ["r"], 30),
    "delete": lambda queues: queues.delete(FIFO, ["r"]),
}


class TestFailures:
    @pytest.mark.parametrize("hitch", PASSING, ids=str)
    @pytest.mark.parametrize("operation", CALLS)
    def test_call_when_a_failure_passes_then_it_is_repeated(self, operation: str, hitch: Exception) -> None:
        """Throttling, faults of the service and lost connections are waited out."""
        here = site({operation: [hitch, hitch]})
        CALLS[operation](here.queues)
        assert len(here.sqs.of(operation)) == 3
        assert here.pauses == sorted(here.pauses)

    @pytest.mark.parametrize("operation", CALLS)
    def test_call_when_a_failure_stays_then_unavailable_is_raised_in_time(self, operation: str) -> None:
        """Patience ends; whoever called may call again."""
        here = site({operation: [THROTTLED]}, for_ever=True)
        with pytest.raises(Unavailable, match="10 s"):
            CALLS[operation](here.queues)
        assert sum(here.pauses) <= 10

    @pytest.mark.parametrize("operation", CALLS)
    @pytest.mark.parametrize("hitch", [DENIED, NoCredentialsError()], ids=str)
    def test_call_when_refused_then_it_is_not_repeated(self, operation: str, hitch: Exception) -> None:
        """What does not pass is said at once."""
        here = site({operation: [hitch]})
        with pytest.raises(ServiceRefused):
            CALLS[operation](here.queues)
        assert here.pauses == []

    @pytest.mark.parametrize("operation", sorted(set(CALLS) - {"get_queue_url"}))
    def test_call_when_the_queue_was_deleted_then_its_address_is_forgotten(self, operation: str) -> None:
        """A queue that is made anew is found anew."""
        here = site({operation: [None, NO_QUEUE]})
        CALLS[operation](here.queues)
        with pytest.raises(NotFound, match="tasks"):
            CALLS[operation](here.queues)
        CALLS[operation](here.queues)
        assert len(here.sqs.of("get_queue_url")) == 2


class TestSending:
    def test_send_when_messages_are_many_then_they_go_in_tens(self) -> None:
        """Messages of different groups share requests."""
        here = site()
        here.queues.send(FIFO, [to(f"g{number}", str(number)) for number in range(25)])
        assert [len(request["Entries"]) for request in here.sqs.of("send_message_batch")] == [10, 10, 5]
        assert accepted(here.sqs) == [str(number) for number in range(25)]

    def test_send_when_messages_are_large_then_no_request_is_over_the_limit(self) -> None:
        """One request carries a mebibyte; size is counted in bytes, not in characters."""
        here = site()
        here.queues.send(FIFO, [to(f"g{number}", "ß" * (MOST_BYTES // 6)) for number in range(7)])
        assert [len(request["Entries"]) for request in here.sqs.of("send_message_batch")] == [3, 3, 1]

    def test_send_when_one_message_is_too_large_then_nothing_is_sent(self) -> None:
        """A bad call is refused as a whole."""
        here = site()
        with pytest.raises(ValueError, match="bytes"):
            here.queues.send(FIFO, [to("g", "a"), to("g", "x" * (MOST_BYTES + 1))])
        assert here.sqs.requests == []

    @given(
        groups=st.lists(st.sampled_from("abc"), min_size=1, max_size=30),
        failing=st.lists(st.sets(st.integers(0, 29)), max_size=6),
    )
    def test_send_when_parts_fail_then_no_message_overtakes_another_of_its_group(
        self, groups: list[str], failing: list[set[int]]
    ) -> None:
        """Each group's messages are accepted once and in order, whatever part of a request fails how often."""
        hitches = [{str(number): "InternalError" for number in numbers} for numbers in failing]
        here = site({"send_message_batch": hitches})
        here.queues.send(FIFO, [to(group, str(number)) for number, group in enumerate(groups)])
        by_group: dict[str, list[int]] = defaultdict(list)
        for entry in here.sqs.accepted:
            by_group[entry["MessageGroupId"]].append(int(entry["MessageBody"]))
        assert by_group == {group: [number for number, its in enumerate(groups) if its == group] for group in set(groups)}

    def test_send_when_a_part_fails_for_ever_then_nothing_of_its_group_is_sent_after_it(self) -> None:
        """Unavailable says that the call may be repeated: what was sent then is dropped, and the rest follows in order."""
        here = site({"send_message_batch": [{"g1": "InternalError"}]}, for_ever=True)
        with pytest.raises(Unavailable):
            here.queues.send(FIFO, [to("g", "g1"), to("g", "g2"), to("h", "h1")])
        assert accepted(here.sqs) == ["h1"]

    def test_send_when_a_message_is_refused_then_that_is_said(self) -> None:
        """A message that SQS will never take is no reason to wait."""
        here = site({"send_message_batch": [{"a": "InvalidParameterValue"}]})
        with pytest.raises(ServiceRefused, match="InvalidParameterValue"):
            here.queues.send(FIFO, [to("g", "a")])
        assert here.pauses == []

    @given(st.text(st.characters(codec="utf-8")))
    def test_send_when_a_document_has_any_characters_then_sqs_takes_it_and_it_reads_the_same(self, text: str) -> None:
        """SQS refuses U+FFFE and U+FFFF, which a JSON document may have. Source: SQS API, SendMessage (2026-11-23)."""
        here = site()
        here.queues.send(FIFO, [to("g", json.dumps({"text": text}, ensure_ascii=False))])
        (body,) = accepted(here.sqs)
        assert not set(body) & {"\ufffe", "\uffff"}
        assert json.loads(body) == {"text": text}

    def test_send_when_there_is_nothing_to_send_then_nothing_is_asked(self) -> None:
        """An empty call costs nothing."""
        here = site()
        here.queues.send(FIFO, [])
        assert here.queues.extend(FIFO, [], 30) == []
        here.queues.delete(FIFO, [])
        assert here.sqs.requests == []


class TestReceiving:
    def test_receive_when_more_than_ten_are_wanted_then_only_the_first_request_waits(self) -> None:
        """Once there is something to do, nobody waits for more of it."""
        here = site()
        here.sqs.stock = [in_stock(number) for number in range(25)]
        taken = here.queues.receive(FIFO, limit=23, wait_seconds=20, visibility_seconds=30)
        assert [message.receipt for message in taken] == [f"r{number}" for number in range(23)]
        asked = here.sqs.of("receive_message")
        assert [one["MaxNumberOfMessages"] for one in asked] == [10, 10, 3]
        assert [one["WaitTimeSeconds"] for one in asked] == [20, 0, 0]

    def test_receive_when_fewer_come_than_asked_for_then_it_is_not_asked_again(self) -> None:
        """An empty request costs as much as a full one."""
        here = site()
        here.sqs.stock = [in_stock(number) for number in range(13)]
        assert len(here.queues.receive(FIFO, limit=100, wait_seconds=0, visibility_seconds=30)) == 13
        assert len(here.sqs.of("receive_message")) == 2

    @pytest.mark.parametrize("hitch", [DENIED, NO_QUEUE, THROTTLED], ids=str)
    def test_receive_when_a_later_request_fails_then_what_was_taken_is_returned(self, hitch: ClientError) -> None:
        """What is in flight to us and not handed on would look like a lost worker."""
        here = site({"receive_message": [None, *[hitch] * 1000]})
        here.sqs.stock = [in_stock(number) for number in range(15)]
        assert len(here.queues.receive(FIFO, limit=15, wait_seconds=0, visibility_seconds=30)) == 10

    def test_receive_when_the_answer_was_lost_then_the_same_messages_are_asked_for(self) -> None:
        """FIFO queues know a repeated attempt by its id; each other attempt has an id of its own."""
        here = site({"receive_message": [LOST_ANSWER]})
        for _ in range(2):
            here.queues.receive(FIFO, limit=1, wait_seconds=0, visibility_seconds=30)
        first, repeat, other = (one["ReceiveRequestAttemptId"] for one in here.sqs.of("receive_message"))
        assert first == repeat != other

    def test_receive_when_the_queue_is_no_fifo_queue_then_attempts_have_no_ids(self) -> None:
        """SQS refuses them there."""
        here = site()
        here.queues.receive("timers", limit=1, wait_seconds=0, visibility_seconds=30)
        assert "ReceiveRequestAttemptId" not in here.sqs.of("receive_message")[0]

    def test_receive_when_times_are_no_whole_seconds_then_they_are_rounded_up(self) -> None:
        """A lease is never shorter than asked for, and a short wait never becomes none at all."""
        here = site()
        here.queues.receive(FIFO, limit=1, wait_seconds=0.2, visibility_seconds=29.1)
        here.queues.extend(FIFO, ["r"], 0.5)
        (asked,) = here.sqs.of("receive_message")
        assert (asked["WaitTimeSeconds"], asked["VisibilityTimeout"]) == (1, 30)
        assert here.sqs.of("change")[0]["Entries"][0]["VisibilityTimeout"] == 1

    def test_receive_when_it_fails_while_it_waits_then_it_waits_no_longer_in_all(self) -> None:
        """A repeat waits for what is left of the time."""
        here = site({"receive_message": [THROTTLED] * 8})
        here.queues.receive(FIFO, limit=1, wait_seconds=3, visibility_seconds=30)
        waits = [one["WaitTimeSeconds"] for one in here.sqs.of("receive_message")]
        assert waits == sorted(waits, reverse=True)
        assert waits[0] == 3 > waits[-1]


class TestReceipts:
    @pytest.mark.parametrize(
        "code", ["ReceiptHandleIsInvalid", "AWS.SimpleQueueService.MessageNotInflight", "InvalidParameterValue"]
    )
    def test_extend_when_receipts_are_refused_then_they_are_lost_and_the_others_prolonged(self, code: str) -> None:
        """Each receipt is answered for itself, over any number of requests."""
        here = site({"change": [{"r3": code}, {"r17": code}]})
        receipts = [f"r{number}" for number in range(25)]
        assert here.queues.extend(FIFO, receipts, 30) == ["r3", "r17"]
        assert len(here.sqs.accepted) == 23

    def test_extend_when_a_part_fails_in_passing_then_only_that_is_repeated(self) -> None:
        """Neither lost nor forgotten: asked for again."""
        here = site({"change": [{"r1": "InternalError", "r2": "ReceiptHandleIsInvalid"}]})
        assert here.queues.extend(FIFO, ["r0", "r1", "r2"], 0) == ["r2"]
        assert [len(one["Entries"]) for one in here.sqs.of("change")] == [3, 1]

    def test_extend_when_a_receipt_is_empty_then_it_is_lost(self) -> None:
        """SQS would refuse the request that it is in, and the good receipts with it."""
        here = site()
        assert here.queues.extend(FIFO, ["", "r"], 30) == [""]

    def test_extend_when_refused_for_another_reason_then_that_is_said(self) -> None:
        """What nobody expected is not taken for a lost lease."""
        here = site({"change": [{"r": "SomethingNew"}]})
        with pytest.raises(ServiceRefused, match="SomethingNew"):
            here.queues.extend(FIFO, ["r"], 30)

    def test_delete_when_receipts_are_lost_then_the_others_are_deleted(self) -> None:
        """Whose lease is lost has nothing to delete any more."""
        here = site({"delete": [{"r0": "ReceiptHandleIsInvalid"}]})
        here.queues.delete(FIFO, ["r0", "r1"])
        assert [entry["ReceiptHandle"] for entry in here.sqs.accepted] == ["r1"]


class TestMaking:
    def test_ensure_when_the_queue_is_missing_then_it_is_made_and_left_alone_for_a_second(self) -> None:
        """FIFO queues have the throughput of each group, longest retention, encryption and a way out for dead letters."""
        here = site(dead_letter_arn="arn:dead", tags={"stage": "test"})
        here.queues.ensure("new.fifo")
        made = here.sqs.queues["p_new.fifo"]
        assert json.loads(made.pop("RedrivePolicy")) == {
            "deadLetterTargetArn": "arn:dead",
            "maxReceiveCount": MOST_DELIVERIES,
        }
        assert made == {
            "FifoQueue": "true",
            "ContentBasedDeduplication": "false",
            "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId",
            "MessageRetentionPeriod": "1209600",
            "VisibilityTimeout": "30",
            "SqsManagedSseEnabled": "true",
        }
        assert here.sqs.tags == {"stage": "test"}
        assert here.pauses == [1.0]
        here.queues.send("new.fifo", [to("g", "a")])
        assert len(here.sqs.of("get_queue_url")) == 1

    def test_ensure_when_the_queue_is_a_standard_one_then_fifo_attributes_are_left_out(self) -> None:
        """A standard queue can have no FIFO queue for its dead letters."""
        here = site(dead_letter_arn="arn:dead", kms_key_arn="arn:key")
        here.queues.ensure("new")
        assert here.sqs.queues["p_new"] == {
            "MessageRetentionPeriod": "1209600",
            "VisibilityTimeout": "30",
            "KmsMasterKeyId": "arn:key",
        }

    def test_ensure_when_the_queue_is_there_then_nothing_is_made(self) -> None:
        """The template's queues and those of earlier versions stay as they are."""
        here = site()
        here.queues.ensure(FIFO)
        assert here.sqs.of("create_queue") == []
        assert here.pauses == []

    def test_ensure_when_another_one_was_first_with_other_attributes_then_that_queue_is_taken(self) -> None:
        """Two versions of us that race end with one queue."""

        class Raced(FlakySqs):
            def create_queue(self, **parameters: Any) -> Mapping[str, Any]:
                self.queues[parameters["QueueName"]] = {}
                raise error("QueueAlreadyExists")

        sqs = Raced()
        queues = SqsQueues(sqs, "p")
        queues.ensure(FIFO)
        assert queues.url(FIFO) == f"url/p_{FIFO}"

    def test_ensure_when_the_queue_was_deleted_since_then_it_is_made_again(self) -> None:
        """An address that we remember is no proof."""
        here = site()
        here.queues.ensure(FIFO)
        here.sqs.queues.clear()
        here.queues.ensure(FIFO)
        assert f"p_{FIFO}" in here.sqs.queues

    def test_ensure_when_one_of_this_name_was_deleted_just_now_then_unavailable_is_raised(self) -> None:
        """SQS keeps a name for a minute; whoever called may call again."""
        here = site({"create_queue": [error("AWS.SimpleQueueService.QueueDeletedRecently")]}, for_ever=True)
        with pytest.raises(Unavailable):
            here.queues.ensure("new.fifo")

    def test_ensure_when_it_may_not_make_queues_then_that_is_said(self) -> None:
        """A missing permission does not pass."""
        here = site({"create_queue": [DENIED]})
        with pytest.raises(ServiceRefused, match=r"new\.fifo"):
            here.queues.ensure("new.fifo")

    def test_prefix_when_longest_then_all_names_of_the_core_fit(self) -> None:
        """SQS allows 80 characters. Source: SQS quotas (read 2026-11-23)."""
        queues = SqsQueues(FlakySqs(), "p" * 24)
        longest = WorkerPool.parse("d" * 128)
        names = [queue_name(Workspace("w"), longest, queue) for queue in TaskQueue]
        assert max(len(queues.name(name)) for name in [*names, TIMERS_QUEUE]) == MOST_NAME_CHARACTERS

    @pytest.mark.parametrize("prefix", ["", "p" * 25, "with space", "dot.ted", "under_score", "new\n"])
    def test_prefix_when_it_makes_no_names_then_it_is_refused_at_once(self, prefix: str) -> None:
        """Better now than when the first worker registers."""
        with pytest.raises(ValueError, match="1 to 24 letters"):
            SqsQueues(FlakySqs(), prefix)
