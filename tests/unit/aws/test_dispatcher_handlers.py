"""The dispatcher's handlers on the events that Lambda documents, and the answers that it documents for them."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from levante_core.adapters.images import stream_record
from levante_core.domain.execution import RunKey
from levante_core.errors import Unavailable
from levante_core.ports.queues import OutgoingMessage
from levante_core.protocol.workers import TaskQueue
from levante_core.records.offloading import OffloadingStore
from levante_dispatcher.handlers import DispatcherHandlers, build_handlers, record_by_record
from levante_local.payload_files import PayloadFiles
from tests.support.place import Place

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
    assert reported(record_by_record(handlers.stream)(stream_event(place), None)) == []
    assert sends == [8]
    assert sent_for(place) == Counter(run.execution_id for run in runs)


@pytest.mark.parametrize("bad", [[0], [7], [0, 2, 4, 6], list(range(8))], ids=["first", "last", "half", "all"])
def test_stream_when_some_records_are_poison_then_they_alone_are_reported_and_the_rest_is_sent(
    place: Place, handlers: DispatcherHandlers, bad: list[int]
) -> None:
    """A record that nobody can deal with holds up no other one, and Lambda learns its sequence number."""
    runs = started(place, 8)
    event = stream_event(place)
    sequences = poison(event, bad)
    assert reported(record_by_record(handlers.stream)(event, None)) == sequences
    assert sent_for(place) == Counter(run.execution_id for position, run in enumerate(runs) if position not in bad)


def test_stream_when_lambda_goes_on_at_the_first_failure_then_nothing_is_sent_twice(
    place: Place, handlers: DispatcherHandlers
) -> None:
    """Lambda repeats a batch from the first reported record on; the queues drop what they have seen."""
    runs = started(place, 4)
    event = stream_event(place)
    poison(event, [1])
    handler = record_by_record(handlers.stream)
    handler(event, None)
    handler({"Records": event["Records"][1:]}, None)
    assert sent_for(place) == Counter(run.execution_id for position, run in enumerate(runs) if position != 1)


def test_stream_when_the_queues_are_down_then_the_batch_fails_at_once(
    place: Place, handlers: DispatcherHandlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage is no record's fault: trying a hundred records one by one would only run into the time limit."""
    started(place, 4)
    attempts: list[str] = []

    def down(queue: str, _: Sequence[OutgoingMessage]) -> None:
        attempts.append(queue)
        raise Unavailable("SQS is down")

    monkeypatch.setattr(place.queues, "send", down)
    with pytest.raises(Unavailable):
        record_by_record(handlers.stream)(stream_event(place), None)
    assert len(attempts) == 1


def test_stream_when_it_fails_on_one_machine_then_it_raises(place: Place, handlers: DispatcherHandlers) -> None:
    """The local host acknowledges a batch when the handler returns, so the plain handler never answers with failures."""
    started(place, 2)
    event = stream_event(place)
    poison(event, [0])
    with pytest.raises(Exception, match="payload"):
        handlers.stream(event, None)


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


def test_timers_when_half_of_the_messages_are_poison_then_only_those_come_again(
    place: Place, handlers: DispatcherHandlers
) -> None:
    """Messages of the timers queue have nothing to do with one another."""
    runs = [place.start(execution_id=f"e{number}", timeout=timedelta(minutes=5)) for number in range(2)]
    handlers.stream(stream_event(place), None)
    place.clock.advance(300)
    deadlines = place.due()
    assert len(deadlines) == len(runs)
    answer = handlers.timers(sqs_event([deadlines[0], "{}", deadlines[1], "no JSON"]), None)
    assert reported(answer) == ["m1", "m3"]
    assert [place.status(run) for run in runs] == ["TIMED_OUT", "TIMED_OUT"]


def test_timers_when_every_message_fails_then_all_are_reported(place: Place, handlers: DispatcherHandlers) -> None:
    """Reporting all is as good as raising, and the function does not count as broken."""
    assert reported(handlers.timers(sqs_event(["{}", "[]"]), None)) == ["m0", "m1"]


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
