"""The dispatcher's handlers on the events that Lambda documents, and the answers that it documents for them."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from levante_core.adapters.dynamodb.images import stream_record
from levante_core.adapters.offloading import OffloadingStore
from levante_core.domain.executions.execution import RunKey
from levante_core.errors import Unavailable
from levante_core.ports.queues import OutgoingMessage
from levante_core.protocol.workers import TaskQueue
from levante_core.services.dispatch.containment import MOST_OF_ONE, OUTAGE
from levante_dispatcher.changes import MOST_TRIES
from levante_dispatcher.handlers import MOST_DELIVERIES, DispatcherHandlers, build_handlers, without_halving
from levante_local.payload_files import PayloadFiles
from tests.support.place import SPACE, Place

BEYOND_DEDUPLICATION = timedelta(minutes=6)
MISSING = json.dumps({"payload_sha256": "0" * 64})


@pytest.fixture
def handlers(place: Place, tmp_path: Path) -> DispatcherHandlers:
    return build_handlers(place.engine, OffloadingStore(place.store, PayloadFiles(tmp_path / "payloads")).resolved)


def started(place: Place, count: int) -> list[RunKey]:
    """Start executions whose tasks are lost, and forgotten by deduplication."""
    runs = [place.start(execution_id=f"e{number}") for number in range(count)]
    place.lose_messages()
    place.clock.advance(BEYOND_DEDUPLICATION.total_seconds())
    return runs


def stream_event(place: Place) -> dict[str, Any]:
    """Return the starts of executions as Lambda hands them over.

    Source: Lambda developer guide, DynamoDB, example event (read 2026-11-23).
    """
    changes = [one for one in place.store.read_changes(None, 1000) if one.key.partition.startswith("X#")]
    records = [stream_record(change) for change in changes]
    for record in records:
        record |= {"eventVersion": "1.1", "awsRegion": "us-east-1", "eventSourceARN": "arn:aws:dynamodb:us-east-1:1:table/t"}
        record["dynamodb"] |= {
            "ApproximateCreationDateTime": 1767225600.0,
            "SizeBytes": 26,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        }
    return {"Records": records}


def poison(event: dict[str, Any], positions: Sequence[int]) -> list[str]:
    """Let records refer to a payload that is not there. Returns their sequence numbers."""
    for position in positions:
        event["Records"][position]["dynamodb"]["NewImage"]["d.start"] = {"S": MISSING}
    return [event["Records"][position]["dynamodb"]["SequenceNumber"] for position in positions]


def reported(answer: dict[str, Any]) -> list[str]:
    assert set(answer) == {"batchItemFailures"}
    assert all(set(failure) == {"itemIdentifier"} for failure in answer["batchItemFailures"])
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def sent_for(place: Place) -> Counter[str]:
    return Counter(task.execution_id for task in place.tasks(TaskQueue.WORKFLOW))


def test_stream_when_every_record_is_good_then_all_go_out_in_one_send_per_queue(
    place: Place, handlers: DispatcherHandlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a batch asks for costs as few sends as possible: SQS takes ten messages at once."""
    runs = started(place, 8)
    sends: list[int] = []
    send = place.queues.send

    def counted(queue: str, messages: Sequence[OutgoingMessage]) -> None:
        sends.append(len(messages))
        send(queue, messages)

    monkeypatch.setattr(place.queues, "send", counted)
    assert reported(handlers.stream(stream_event(place), None)) == []
    assert sends == [8]
    assert sent_for(place) == Counter(run.execution_id for run in runs)


@pytest.mark.parametrize("bad", [[0], [7], [0, 2, 4, 6], list(range(8))], ids=["first", "last", "half", "all"])
def test_stream_when_some_records_are_poison_then_they_alone_are_parked_and_the_rest_is_sent(
    place: Place, handlers: DispatcherHandlers, bad: list[int]
) -> None:
    """A record that nobody can deal with holds up no other one, and stays in sight."""
    runs = started(place, 8)
    event = stream_event(place)
    poison(event, bad)
    assert reported(without_halving(handlers.stream)(event, None)) == []
    assert sent_for(place) == Counter(run.execution_id for position, run in enumerate(runs) if position not in bad)
    page = place.engine.parking.list(SPACE, 100, None)
    assert {one.owner.execution_id for one in page.items} == {runs[position].execution_id for position in bad}
    assert page.count == len(bad)


def test_stream_when_its_batch_comes_again_then_a_record_is_parked_once(place: Place, handlers: DispatcherHandlers) -> None:
    """The feed delivers at least once; what is parked is counted once."""
    started(place, 4)
    event = stream_event(place)
    poison(event, [1])
    handlers.stream(event, None)
    handlers.stream(event, None)
    assert place.engine.parking.list(SPACE, 100, None).count == 1


def down(queue: str, _: Sequence[OutgoingMessage]) -> None:
    raise Unavailable(f"{queue} is down")


def test_stream_when_the_queues_are_down_then_the_batch_comes_again_whole_and_nothing_is_parked(
    place: Place, handlers: DispatcherHandlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage is no record's fault: trying a hundred records one by one would only run into the time limit."""
    started(place, 20)
    event = stream_event(place)
    attempts: list[str] = []

    def counted(queue: str, messages: Sequence[OutgoingMessage]) -> None:
        attempts.append(queue)
        down(queue, messages)

    monkeypatch.setattr(place.queues, "send", counted)
    for _ in range(10):
        with pytest.raises(Unavailable):
            handlers.stream(event, None)
    assert reported(without_halving(handlers.stream)(event, None)) == [event["Records"][0]["dynamodb"]["SequenceNumber"]]
    assert len(attempts) <= 11 * (1 + OUTAGE)
    assert place.engine.parking.list(SPACE, 100, None).count == 0


def test_stream_when_one_execution_alone_stays_unavailable_then_it_is_parked_in_the_end(
    place: Place, handlers: DispatcherHandlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell whether it is alone with its fault; the feed must go on to find out."""
    started(place, 1)
    event = stream_event(place)
    with monkeypatch.context() as patched:
        patched.setattr(place.queues, "send", down)
        for _ in range(MOST_TRIES - 1):
            with pytest.raises(Unavailable):
                handlers.stream(event, None)
        assert reported(handlers.stream(event, None)) == []
    assert place.engine.parking.list(SPACE, 100, None).count == 1
    place.clock.advance(60)
    assert handlers.sweep({}, None) == {"parked": 1}
    assert place.engine.parking.list(SPACE, 100, None).count == 0


def test_stream_when_one_deployments_queue_is_down_then_the_others_go_on_and_its_records_are_parked(
    place: Place, handlers: DispatcherHandlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records of a deployment that is down come first, and are not all tried before anybody else's turn is."""
    started(place, 10)
    event = stream_event(place)
    for record in event["Records"][8:]:
        record["dynamodb"]["NewImage"]["a.deployment_name"] = {"S": "other"}
    send, attempts = place.queues.send, Counter[bool]()

    def half_down(queue: str, messages: Sequence[OutgoingMessage]) -> None:
        attempts[queue.startswith("other")] += 1
        if not queue.startswith("other"):
            down(queue, messages)
        send(queue, messages)

    monkeypatch.setattr(place.queues, "send", half_down)
    assert reported(handlers.stream(event, None)) == []
    assert place.engine.parking.list(SPACE, 100, None).count == 8
    assert attempts[False] <= 1 + MOST_OF_ONE + 1


def sqs_event(bodies: Sequence[str]) -> dict[str, Any]:
    """Return messages as Lambda hands them over. Source: Lambda developer guide, SQS, example event (read 2026-11-23)."""
    return {
        "Records": [
            {
                "messageId": f"m{number}",
                "receiptHandle": f"r{number}",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1767225600000",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1767225600001",
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:timers",
                "awsRegion": "us-east-1",
            }
            for number, body in enumerate(bodies)
        ]
    }


def test_timers_when_half_of_the_messages_are_poison_then_only_those_are_parked(
    place: Place, handlers: DispatcherHandlers
) -> None:
    """Messages of the timers queue have nothing to do with one another."""
    runs = [place.start(execution_id=f"e{number}", timeout=timedelta(minutes=5)) for number in range(2)]
    handlers.stream(stream_event(place), None)
    place.clock.advance(300)
    deadlines = place.due()
    assert len(deadlines) == len(runs)
    answer = handlers.timers(sqs_event([deadlines[0], "{}", deadlines[1], "no JSON"]), None)
    assert reported(answer) == []
    assert [place.status(run) for run in runs] == ["TIMED_OUT", "TIMED_OUT"]
    assert [one.kind for one in place.engine.parking.list(SPACE, 100, None).items] == ["timer", "timer"]


def test_timers_when_something_is_unavailable_then_the_message_comes_again_some_times_and_is_parked_then(
    place: Place, handlers: DispatcherHandlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before SQS gives a message up, it is somewhere from where it goes on by itself."""
    run = place.start(timeout=timedelta(minutes=5))
    handlers.stream(stream_event(place), None)
    place.clock.advance(300)
    event = sqs_event(place.due())

    def unavailable(_: object, __: object) -> None:
        raise Unavailable("the run's partition is throttled")

    with monkeypatch.context() as patched:
        patched.setattr(type(place.engine.closing), "time_out", unavailable)
        assert reported(handlers.timers(event, None)) == ["m0"]
        event["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(MOST_DELIVERIES)
        assert reported(handlers.timers(event, None)) == []
    place.clock.advance(60)
    handlers.sweep({}, None)
    assert place.status(run) == "TIMED_OUT"
    assert place.engine.parking.list(SPACE, 100, None).count == 0


def test_sweep_when_its_first_half_fails_then_lost_messages_are_noticed_all_the_same(
    place: Place, handlers: DispatcherHandlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer that cannot be moved must not keep every run from being looked after."""
    run = place.start()
    place.lose_messages()
    place.clock.advance(61)

    def broken(_: object) -> None:
        raise RuntimeError("a damaged timer item")

    monkeypatch.setattr(type(place.engine.due), "sweep", broken)
    with pytest.raises(RuntimeError, match="damaged"):
        handlers.sweep({}, None)
    assert sent_for(place) == Counter([run.execution_id])
